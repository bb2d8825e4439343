//! How far a result may lie from the exact one.

use crate::tensor::{Array, DType, HostTensor};

/// The worst element of a comparison, in units of its budget: at most 1 is within.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deviation {
    /// Distance from the exact value over the budget; infinite for a value that is not finite.
    pub of_budget: f64,
    /// The distance itself.
    pub error: f64,
    /// Where the worst element is.
    pub index: usize,
    /// What was computed there.
    pub found: f64,
    /// The exact value there.
    pub exact: f64,
}

/// Compares `found` with `exact`, given what the reference makes of the problem in storage precision.
pub(super) fn deviation(
    found: &HostTensor,
    exact: &Array<f64>,
    stored: &Array<f32>,
    builtin_ulps: f64,
) -> Deviation {
    let exact = exact.reals();
    let naive = exact.iter().zip(stored.reals()).map(|(e, &s)| (e - f64::from(s)).abs()).fold(0.0, f64::max);
    let largest = exact.iter().copied().map(f64::abs).fold(0.0, f64::max);
    let rounding = match found.dtype() {
        DType::F16 => f64::from(half::f16::EPSILON),
        _ => f64::from(f32::EPSILON),
    };
    let shared = 2.0 * naive + (1.0 + builtin_ulps) * f64::from(f32::EPSILON) * largest;
    let mut worst = Deviation { of_budget: 0.0, error: 0.0, index: 0, found: 0.0, exact: 0.0 };
    for (index, (found, &exact)) in found.to_f64().into_iter().zip(exact).enumerate() {
        let error = (found - exact).abs();
        let budget = shared + rounding * exact.abs();
        let of_budget = match error {
            0.0 => 0.0,
            error if error.is_finite() => error / budget,
            _ => f64::INFINITY,
        };
        if of_budget > worst.of_budget {
            worst = Deviation { of_budget, error, index, found, exact };
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(found: &[f32], exact: &[f64]) -> f64 {
        let stored = Array::real([exact.len()], exact.iter().map(|&x| x as f32).collect());
        let exact = Array::real([exact.len()], exact.to_vec());
        deviation(&HostTensor::f32([found.len()], found.to_vec()).unwrap(), &exact, &stored, 0.0).of_budget
    }

    #[test]
    fn a_rounded_result_passes_and_a_wrong_or_missing_one_does_not() {
        assert!(compare(&[1.0 / 3.0, 100.0], &[1.0 / 3.0, 100.0]) <= 1.0);
        assert!(compare(&[1.0001 / 3.0, 1.0], &[1.0 / 3.0, 1.0]) > 1.0);
        assert_eq!(compare(&[f32::NAN], &[1.0]), f64::INFINITY);
        assert_eq!(compare(&[f32::INFINITY], &[1.0]), f64::INFINITY);
        assert_eq!(compare(&[0.0], &[0.0]), 0.0);
    }
}
