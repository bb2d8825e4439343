//! Conformance cases.

use super::{NAME, kl_divergence};
use crate::check::{Bench, Case, DIVISION_ULPS, Work, exp_ulps};
use crate::ops::loss::pair::cases::of;
use crate::tensor::DType;

pub(crate) fn cases() -> Vec<Case> {
    of(NAME, 4.0, |problem, a, b| kl_divergence(&mut problem.graph, a, b))
        .into_iter()
        .map(|case| case.builtin_ulps(exp_ulps(4.0) + DIVISION_ULPS))
        .collect()
}

/// One read of every element of both.
pub(crate) fn benches() -> Vec<Bench> {
    vec![Bench::new(NAME, "2048 x 1000 f32", Work::Bytes(2048 * 1000 * 8), |problem| {
        let a = problem.random("a", DType::F32, [2048, 1000], 1.0)?;
        let b = problem.random("b", DType::F32, [2048, 1000], 1.0)?;
        Ok(vec![kl_divergence(&mut problem.graph, a, b)?])
    })]
}
