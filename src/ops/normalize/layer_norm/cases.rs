//! Conformance cases.

use super::{LayerNorm, NAME, layer_norm, layer_norm_with_sum};
use crate::check::{Bench, Case, Work};
use crate::ops::normalize::cases::{Call, cases_of};
use crate::tensor::DType;

pub(crate) fn cases() -> Vec<Case> {
    cases_of(NAME, true, |problem, x, weight, Call { eps, bias, residual, sum }| {
        let mut spec = LayerNorm::new(eps);
        if let Some(residual) = residual {
            spec = spec.residual(residual);
        }
        if !sum {
            return Ok(vec![layer_norm(&mut problem.graph, x, weight, bias, &spec)?]);
        }
        let (y, sum) = layer_norm_with_sum(&mut problem.graph, x, weight, bias, &spec)?;
        Ok(vec![y, sum])
    })
}

/// One read and one write of every element, and one more read where there is a residual.
pub(crate) fn benches() -> Vec<Bench> {
    let mut benches = Vec::new();
    for [rows, width] in [[2048, 384], [2048, 768], [64, 65_536]] {
        for (label, residual) in [("", false), (" + residual", true)] {
            let bytes = (rows * width * if residual { 12 } else { 8 }) as u64;
            let label = format!("{rows} x {width} f32{label}");
            benches.push(Bench::new(NAME, label, Work::Bytes(bytes), move |problem| {
                let x = problem.random("x", DType::F32, [rows, width], 1.0)?;
                let weight = problem.random("weight", DType::F32, [width], 1.0)?;
                let bias = problem.random("bias", DType::F32, [width], 1.0)?;
                let mut spec = LayerNorm::new(1e-5);
                if residual {
                    spec = spec.residual(problem.random("residual", DType::F32, [rows, width], 1.0)?);
                }
                Ok(vec![layer_norm(&mut problem.graph, x, weight, Some(bias), &spec)?])
            }));
        }
    }
    benches
}
