//! The CPU reference.

use crate::tensor::{Array, Real};

pub(super) fn forward<R: Real>(x: &Array<R>) -> Array<R> {
    let width = x.dims()[x.dims().len() - 1].max(1);
    let mut y = Vec::with_capacity(x.reals().len());
    for row in x.reals().chunks(width) {
        let max = row.iter().copied().fold(row[0], R::max);
        let sum: R = row.iter().map(|&x| (x - max).exp()).sum();
        y.extend(row.iter().map(|&x| (x - max) - sum.ln()));
    }
    Array::real(x.shape().clone(), y)
}
