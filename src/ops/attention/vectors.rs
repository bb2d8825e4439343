//! Sums over channels, for the references.

use crate::tensor::Real;

/// `sum_c a_c b_c`
pub(super) fn dot<R: Real>(a: &[R], b: &[R]) -> R {
    a.iter().zip(b).fold(R::zero(), |sum, (&a, &b)| sum + a * b)
}

/// `sum += factor * x`
pub(super) fn add<R: Real>(sum: &mut [R], factor: R, x: &[R]) {
    sum.iter_mut().zip(x).for_each(|(sum, &x)| *sum += factor * x);
}
