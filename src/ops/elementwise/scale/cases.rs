//! Conformance cases.

use super::{NAME, scale};
use crate::check::{Bench, Case, Work};
use crate::ops::elementwise::unary::cases_of;
use crate::tensor::DType;

pub(crate) fn cases() -> Vec<Case> {
    cases_of(NAME, |graph, x| scale(graph, x, -0.3))
}

/// One read and one write of every element.
pub(crate) fn benches() -> Vec<Bench> {
    vec![Bench::new(NAME, "1M f32", Work::Bytes(8 << 20), |problem| {
        let x = problem.random("x", DType::F32, [1 << 20], 1.0)?;
        Ok(vec![scale(&mut problem.graph, x, 0.5)?])
    })]
}
