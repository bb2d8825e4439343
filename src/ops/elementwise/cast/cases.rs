//! Conformance cases: both directions, at widths that fill vectors and at widths that do not.

use super::{NAME, cast};
use crate::check::{Bench, Case, Work};
use crate::tensor::DType;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (from, to) in [(DType::F32, DType::F16), (DType::F16, DType::F32), (DType::F16, DType::F16)] {
        for elements in [0, 1, 63, 64, 1001] {
            cases.push(Case::new(NAME, format!("{from} to {to}, {elements} elements"), move |problem| {
                let x = problem.random("x", from, [elements], 100.0)?;
                Ok(vec![cast(&mut problem.graph, x, to)?])
            }));
        }
    }
    cases
}

/// One read and one write of every element.
pub(crate) fn benches() -> Vec<Bench> {
    let to_f16 = Bench::new(NAME, "1M f32 to f16", Work::Bytes(6 << 20), |problem| {
        let x = problem.random("x", DType::F32, [1 << 20], 1.0)?;
        Ok(vec![cast(&mut problem.graph, x, DType::F16)?])
    });
    vec![to_f16.f16()]
}
