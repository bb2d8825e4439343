//! Conformance cases, and the function's far ends.

use super::{NAME, gelu_tanh};
use crate::check::{Bench, Case, DIVISION_ULPS, Work, exp_ulps};
use crate::ops::elementwise::unary::activation_cases;
use crate::tensor::DType;

/// Around 20, from where the argument of the exponential stays.
const TURNS: &[f32] = &[-21.0, -20.0, -19.9, -5.0, 5.0, 19.9, 20.0, 21.0];

pub(crate) fn cases() -> Vec<Case> {
    // The largest result of each case is that of a positive x, where the exponential is more than a quarter of the divisor only
    // for exponents of at most 1.
    let ulps = exp_ulps(1.0) + DIVISION_ULPS;
    activation_cases(NAME, gelu_tanh, TURNS).into_iter().map(|case| case.builtin_ulps(ulps)).collect()
}

/// One read and one write of every element.
pub(crate) fn benches() -> Vec<Bench> {
    vec![Bench::new(NAME, "1M f32", Work::Bytes(8 << 20), |problem| {
        let x = problem.random("x", DType::F32, [1 << 20], 1.0)?;
        Ok(vec![gelu_tanh(&mut problem.graph, x)?])
    })]
}
