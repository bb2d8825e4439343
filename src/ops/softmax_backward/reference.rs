//! The CPU reference.

use crate::tensor::{Array, Real};

pub(super) fn backward<R: Real>(y: &Array<R>, upstream: &Array<R>) -> Array<R> {
    let width = y.dims()[y.dims().len() - 1].max(1);
    let mut dx = Vec::with_capacity(y.reals().len());
    for (y, dy) in y.reals().chunks(width).zip(upstream.reals().chunks(width)) {
        let sum: R = y.iter().zip(dy).map(|(&y, &dy)| y * dy).sum();
        dx.extend(y.iter().zip(dy).map(|(&y, &dy)| y * (dy - sum)));
    }
    Array::real(y.shape().clone(), dx)
}
