//! Gradients held to central differences, in f64.

use crate::check::Random;
use crate::tensor::{Array, Shape};

/// Elements in `[-1, 1)`, by `seed`.
pub(super) fn random(shape: impl Into<Shape>, seed: u64) -> Array<f64> {
    let (shape, mut random) = (shape.into(), Random::new(seed));
    let elements = (0..shape.elements()).map(|_| random.next_f32().into()).collect();
    Array::real(shape, elements)
}

/// The sum of products: a loss whose gradient with respect to `a` is `b`.
pub(super) fn dot(a: &Array<f64>, b: &Array<f64>) -> f64 {
    a.reals().iter().zip(b.reals()).map(|(a, b)| a * b).sum()
}

/// Asserts that `gradient` is that of `loss` at `x`.
pub(super) fn assert_gradient(gradient: &Array<f64>, x: &Array<f64>, loss: impl Fn(&Array<f64>) -> f64) {
    const STEP: f64 = 1e-5;
    assert_eq!(gradient.shape(), x.shape());
    for i in 0..x.reals().len() {
        let beside = |step: f64| {
            let mut moved = x.reals().to_vec();
            moved[i] += step;
            loss(&Array::real(x.shape().clone(), moved))
        };
        let (slope, found) = ((beside(STEP) - beside(-STEP)) / (2.0 * STEP), gradient.reals()[i]);
        assert!((slope - found).abs() <= 1e-7 * (1.0 + slope.abs()), "element {i}: {found}, not {slope}");
    }
}
