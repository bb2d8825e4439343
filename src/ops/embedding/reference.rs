//! The CPU reference.

use crate::tensor::{Array, Real, Shape};

pub(super) fn forward<R: Real>(inputs: &[&Array<R>]) -> Array<R> {
    let width = inputs[0].dims()[1];
    let shape = Shape::from([inputs[1].dims(), &[width]].concat());
    let mut sums = vec![R::zero(); shape.elements()];
    for pair in inputs.chunks_exact(2) {
        let (table, ids) = (pair[0], pair[1]);
        for (sum, &id) in sums.chunks_mut(width).zip(ids.indices()) {
            let row = usize::try_from(id).ok().and_then(|id| table.reals().chunks(width).nth(id));
            for (sum, &x) in sum.iter_mut().zip(row.into_iter().flatten()) {
                *sum += x;
            }
        }
    }
    Array::real(shape, sums)
}
