//! The CPU reference: `c[row, column] = sum_inner a[row, inner] b[inner, column]`.

use super::Geometry;
use crate::tensor::{Array, Real};

pub(super) fn forward<R: Real>(a: &Array<R>, b: &Array<R>, geometry: &Geometry) -> Array<R> {
    let Geometry { batch, heads, rows, columns, inner, .. } = *geometry;
    let mut c = vec![R::zero(); geometry.shape.elements()];
    // One row of `c` at a time, in the order that reads `b` along its contiguous axis.
    let mut sums = vec![R::zero(); columns];
    for (batch, head) in (0..batch).flat_map(|batch| (0..heads).map(move |head| (batch, head))) {
        for row in 0..rows {
            sums.fill(R::zero());
            for k in 0..inner {
                let from_a = a.reals()[geometry.a.offset(batch, head, row, k)];
                for (column, sum) in sums.iter_mut().enumerate() {
                    *sum += from_a * b.reals()[geometry.b.offset(batch, head, k, column)];
                }
            }
            let first = geometry.c.offset(batch, head, row, 0);
            c[first..first + columns].copy_from_slice(&sums);
        }
    }
    Array::real(geometry.shape.clone(), c)
}
