//! The CPU reference: `c[row, column] = sum_inner a[row, inner] b[inner, column]`, one matrix after the other.

use super::{Geometry, Placement};
use crate::tensor::{Array, Real, Strided};

pub(in crate::ops) fn forward<R: Real>(a: &Array<R>, b: &Array<R>, geometry: &Geometry) -> Array<R> {
    let Geometry { batch, heads, rows, columns, inner, .. } = *geometry;
    let mut c = vec![R::zero(); geometry.shape.elements()];
    let mut product = vec![R::zero(); rows * columns];
    for (batch, head) in (0..batch).flat_map(|batch| (0..heads).map(move |head| (batch, head))) {
        let a = strided(a, &geometry.a, batch, head);
        let b = strided(b, &geometry.b, batch, head);
        R::gemm(a, b, &mut product, [rows, inner, columns]);
        for (row, line) in product.chunks_exact(columns.max(1)).enumerate() {
            let first = geometry.c.offset(batch, head, row, 0);
            c[first..first + columns].copy_from_slice(line);
        }
    }
    Array::real(geometry.shape.clone(), c)
}

/// One matrix of an operand, in the product's order of axes.
fn strided<'a, R: Real>(
    array: &'a Array<R>,
    placement: &Placement,
    batch: usize,
    head: usize,
) -> Strided<'a, R> {
    let strides = if placement.transposed { [1, placement.line] } else { [placement.line, 1] };
    Strided { slice: array.reals(), first: placement.offset(batch, head, 0, 0), strides }
}
