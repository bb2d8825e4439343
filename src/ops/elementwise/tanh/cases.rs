//! Conformance cases, and the function's far ends.

use super::{NAME, tanh};
use crate::check::{Bench, Case, DIVISION_ULPS, Work, exp_ulps};
use crate::ops::elementwise::unary::activation_cases;
use crate::tensor::DType;

/// Around 0.6, where polynomial and exponential meet, and 10, from where the result is 1.
const TURNS: &[f32] = &[-11.0, -10.0, -9.9, -0.61, -0.59, 0.59, 0.61, 10.0];

pub(crate) fn cases() -> Vec<Case> {
    // The exponential, of -1.2 at most, is less than half of the result it is above and below the fraction bar of.
    let ulps = exp_ulps(1.2) + DIVISION_ULPS;
    activation_cases(NAME, tanh, TURNS).into_iter().map(|case| case.builtin_ulps(ulps)).collect()
}

/// One read and one write of every element.
pub(crate) fn benches() -> Vec<Bench> {
    vec![Bench::new(NAME, "1M f32", Work::Bytes(8 << 20), |problem| {
        let x = problem.random("x", DType::F32, [1 << 20], 1.0)?;
        Ok(vec![tanh(&mut problem.graph, x)?])
    })]
}
