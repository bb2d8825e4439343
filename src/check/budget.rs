//! How far a result may lie from the exact one.

use super::case::{Case, Problem};
use crate::tensor::{Array, DType, HostTensor};
use crate::{Result, cpu};

/// The worst element of a comparison, in units of its budget: at most 1 is within.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
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

/// Magnitudes from here on stand for "nothing" (the log-sum-exp of a row without keys): they must be right to rounding, and
/// say nothing about how large a result is.
const SENTINEL: f64 = 1e29;

/// What `exp` may lose by WGSL ("Accuracy of Concrete Floating Point Expressions") for arguments of at most `span` in
/// magnitude, in units of the last place.
pub fn exp_ulps(span: f64) -> f64 {
    3.0 + 2.0 * span
}

/// What a division may lose by WGSL, in units of the last place.
pub const DIVISION_ULPS: f64 = 2.5;

/// What `inverseSqrt` may lose by WGSL, in units of the last place.
pub const INVERSE_SQRT_ULPS: f64 = 2.0;

/// What `sqrt` may lose by WGSL, which has it inherit from `1.0 / inverseSqrt(x)`.
pub const SQRT_ULPS: f64 = INVERSE_SQRT_ULPS + DIVISION_ULPS;

/// What one output of a case must be, and how far off each element may lie.
#[derive(Clone, Debug)]
pub struct Expectation {
    exact: Vec<f64>,
    /// The part of the budget that all elements share.
    shared: f64,
    /// The rounding of the result itself, relative to the element.
    rounding: f64,
}

impl Expectation {
    /// One expectation for each output of `problem`, with the built-in functions' allowance of `case`.
    pub fn of(case: &Case, problem: &Problem) -> Result<Vec<Self>> {
        let exact = cpu::run_exact(&problem.graph, &problem.inputs())?;
        let stored = cpu::run_in_storage_precision(&problem.graph, &problem.inputs())?;
        let dtypes =
            problem.graph.outputs().iter().map(|(_, value)| problem.graph.desc(*value).map(|d| d.dtype));
        exact
            .iter()
            .zip(&stored)
            .zip(dtypes)
            .map(|((exact, stored), dtype)| Ok(Self::new(exact, stored, dtype?, case.allowed_ulps())))
            .collect()
    }

    /// From the exact result, and from what the reference makes of the problem in storage precision.
    fn new(exact: &Array<f64>, stored: &Array<f32>, dtype: DType, builtin_ulps: f64) -> Self {
        if dtype.is_integer() {
            let exact = exact.indices().iter().map(|&index| index as f64).collect();
            return Self { exact, shared: 0.0, rounding: 0.0 };
        }
        let ordinary =
            || exact.reals().iter().zip(stored.reals()).filter(|(exact, _)| exact.abs() < SENTINEL);
        let naive = ordinary().map(|(exact, &stored)| (exact - f64::from(stored)).abs()).fold(0.0, f64::max);
        let largest = ordinary().map(|(exact, _)| exact.abs()).fold(0.0, f64::max);
        Self {
            exact: exact.reals().to_vec(),
            shared: 2.0 * naive + (1.0 + builtin_ulps) * f64::from(f32::EPSILON) * largest,
            rounding: match dtype {
                DType::F16 => f64::from(half::f16::EPSILON),
                _ => f64::from(f32::EPSILON),
            },
        }
    }

    /// Number of elements.
    pub(super) fn elements(&self) -> usize {
        self.exact.len()
    }

    fn budget(&self, exact: f64) -> f64 {
        let shared = if exact.abs() < SENTINEL { self.shared } else { 0.0 };
        shared + self.rounding * exact.abs()
    }

    /// The worst element of `found`, which holds all of the output or its first elements.
    pub fn deviation(&self, found: &HostTensor) -> Deviation {
        let mut worst = Deviation { of_budget: 0.0, error: 0.0, index: 0, found: 0.0, exact: 0.0 };
        for (index, (found, &exact)) in found.to_f64().into_iter().zip(&self.exact).enumerate() {
            let error = (found - exact).abs();
            let of_budget = match error {
                0.0 => 0.0,
                error if error.is_finite() => error / self.budget(exact),
                _ => f64::INFINITY,
            };
            if of_budget > worst.of_budget {
                worst = Deviation { of_budget, error, index, found, exact };
            }
        }
        worst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(found: &[f32], exact: &[f64]) -> f64 {
        let stored = Array::real([exact.len()], exact.iter().map(|&x| x as f32).collect());
        let exact = Array::real([exact.len()], exact.to_vec());
        let found = HostTensor::f32([found.len()], found.to_vec()).unwrap();
        Expectation::new(&exact, &stored, DType::F32, 0.0).deviation(&found).of_budget
    }

    #[test]
    fn a_rounded_result_passes_and_a_wrong_or_missing_one_does_not() {
        assert!(compare(&[1.0 / 3.0, 100.0], &[1.0 / 3.0, 100.0]) <= 1.0);
        assert!(compare(&[1.0001 / 3.0, 1.0], &[1.0 / 3.0, 1.0]) > 1.0);
        assert_eq!(compare(&[f32::NAN], &[1.0]), f64::INFINITY);
        assert_eq!(compare(&[f32::INFINITY], &[1.0]), f64::INFINITY);
        assert_eq!(compare(&[0.0], &[0.0]), 0.0);
        assert!(compare(&[-1e30, 1.001], &[-1e30, 1.0]) > 1.0, "a sentinel must not excuse the others");
        assert!(compare(&[-1.001e30, 1.0], &[-1e30, 1.0]) > 1.0);
    }
}
