//! Conformance cases.

use super::{NAME, kl_divergence_backward};
use crate::check::{Bench, Case, DIVISION_ULPS, Work, exp_ulps};
use crate::ops::loss::pair::cases::of_backward;
use crate::tensor::DType;

pub(crate) fn cases() -> Vec<Case> {
    of_backward(NAME, 4.0, |problem, [a, b, upstream]| {
        kl_divergence_backward(&mut problem.graph, a, b, upstream)
    })
    .into_iter()
    .map(|case| case.builtin_ulps(exp_ulps(4.0) + DIVISION_ULPS))
    .collect()
}

/// One read of every element of both, and one write of one gradient.
pub(crate) fn benches() -> Vec<Bench> {
    vec![Bench::new(NAME, "2048 x 1000 f32, of the first", Work::Bytes(2048 * 1000 * 12), |problem| {
        let a = problem.random("a", DType::F32, [2048, 1000], 1.0)?;
        let b = problem.random("b", DType::F32, [2048, 1000], 1.0)?;
        let upstream = problem.random("upstream", DType::F32, [1], 1.0)?;
        Ok(vec![kl_divergence_backward(&mut problem.graph, a, b, upstream)?.0])
    })]
}
