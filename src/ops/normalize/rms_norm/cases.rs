//! Conformance cases.

use super::{NAME, RmsNorm, rms_norm, rms_norm_with_sum};
use crate::check::{Bench, Case, Work};
use crate::ops::normalize::cases::{Call, cases_of};
use crate::tensor::DType;

pub(crate) fn cases() -> Vec<Case> {
    cases_of(NAME, false, |problem, x, weight, Call { eps, residual, sum, .. }| {
        let mut spec = RmsNorm::new(eps);
        if let Some(residual) = residual {
            spec = spec.residual(residual);
        }
        if !sum {
            return Ok(vec![rms_norm(&mut problem.graph, x, weight, &spec)?]);
        }
        let (y, sum) = rms_norm_with_sum(&mut problem.graph, x, weight, &spec)?;
        Ok(vec![y, sum])
    })
}

/// One read and one write of every element.
pub(crate) fn benches() -> Vec<Bench> {
    let bench = |[rows, width]: [usize; 2]| {
        let bytes = Work::Bytes((rows * width * 8) as u64);
        Bench::new(NAME, format!("{rows} x {width} f32"), bytes, move |problem| {
            let x = problem.random("x", DType::F32, [rows, width], 1.0)?;
            let weight = problem.random("weight", DType::F32, [width], 1.0)?;
            Ok(vec![rms_norm(&mut problem.graph, x, weight, &RmsNorm::new(1e-5))?])
        })
    };
    [[2048, 384], [64, 65_536]].map(bench).into()
}
