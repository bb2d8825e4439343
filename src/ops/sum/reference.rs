//! The CPU reference.

use crate::tensor::{Array, Real, Shape};

pub(super) fn forward<R: Real>(x: &Array<R>, axes: &[usize]) -> Array<R> {
    let rank = x.shape().rank();
    let dims: Vec<usize> =
        (0..rank).map(|axis| if axes.contains(&axis) { 1 } else { x.dims()[axis] }).collect();
    let shape = Shape::from(dims);
    let (strides, x_strides) = (shape.strides(), x.shape().strides());
    let mut y = vec![R::zero(); shape.elements()];
    for (i, &x_i) in x.reals().iter().enumerate() {
        let position = |axis: usize| i / x_strides[axis] % x.dims()[axis];
        let kept = (0..rank).filter(|axis| !axes.contains(axis));
        let place: usize = kept.map(|axis| position(axis) * strides[axis]).sum();
        y[place] += x_i;
    }
    Array::real(shape, y)
}
