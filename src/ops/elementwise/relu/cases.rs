//! Conformance cases, some around the kink at 0.

use super::{NAME, relu};
use crate::check::{Bench, Case, Work};
use crate::ops::elementwise::unary::activation_cases;
use crate::tensor::DType;

pub(crate) fn cases() -> Vec<Case> {
    let mark = |case: Case| if case.label().ends_with("around 0") { case.kinked() } else { case };
    activation_cases(NAME, relu, &[]).into_iter().map(mark).collect()
}

/// One read and one write of every element.
pub(crate) fn benches() -> Vec<Bench> {
    vec![Bench::new(NAME, "1M f32", Work::Bytes(8 << 20), |problem| {
        let x = problem.random("x", DType::F32, [1 << 20], 1.0)?;
        Ok(vec![relu(&mut problem.graph, x)?])
    })]
}
