//! Conformance cases: packs and single elements.

use super::{NAME, accumulate};
use crate::check::{Bench, Case, Work};
use crate::tensor::DType;

pub(crate) fn cases() -> Vec<Case> {
    [&[1][..], &[63], &[65, 4], &[97, 3], &[0], &[1000, 12]]
        .into_iter()
        .map(|shape| {
            Case::new(NAME, format!("{shape:?}"), move |problem| {
                let total = problem.random("total", DType::F32, shape, 1.0)?;
                let gradient = problem.random("gradient", DType::F32, shape, 1.0)?;
                Ok(vec![accumulate(&mut problem.graph, total, gradient)?])
            })
        })
        .collect()
}

/// Two reads and one write of every element.
pub(crate) fn benches() -> Vec<Bench> {
    vec![Bench::new(NAME, "1M f32", Work::Bytes(12 << 20), |problem| {
        let total = problem.random("total", DType::F32, [1 << 20], 1.0)?;
        let gradient = problem.random("gradient", DType::F32, [1 << 20], 1.0)?;
        Ok(vec![accumulate(&mut problem.graph, total, gradient)?])
    })]
}
