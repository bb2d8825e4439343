//! Conformance cases, and the function's far ends.

use super::{NAME, gelu};
use crate::check::{Bench, Case, Work, exp_ulps};
use crate::ops::elementwise::unary::activation_cases;
use crate::tensor::DType;

/// Where the two polynomials of the error function meet and end.
const TURNS: &[f32] = &[-6.0, -5.6, -1.3, -1.27, -0.5, 0.5, 1.27, 1.28];

pub(crate) fn cases() -> Vec<Case> {
    // The exponent is at most 1 where the exponential is more than half of the result, and weighs less elsewhere.
    activation_cases(NAME, gelu, TURNS).into_iter().map(|case| case.builtin_ulps(exp_ulps(1.0))).collect()
}

/// One read and one write of every element.
pub(crate) fn benches() -> Vec<Bench> {
    vec![Bench::new(NAME, "1M f32", Work::Bytes(8 << 20), |problem| {
        let x = problem.random("x", DType::F32, [1 << 20], 1.0)?;
        Ok(vec![gelu(&mut problem.graph, x)?])
    })]
}
