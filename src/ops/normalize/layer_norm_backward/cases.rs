//! Conformance cases.

use super::{NAME, layer_norm_backward};
use crate::check::{Bench, Case, Work};
use crate::ops::normalize::backward::{Call, cases_of};
use crate::tensor::DType;

pub(crate) fn cases() -> Vec<Case> {
    cases_of(NAME, 3, |problem, Call { x, weight, upstream, sum_upstream, eps }| {
        let (dx, d_weight, d_bias) =
            layer_norm_backward(&mut problem.graph, x, weight, upstream, sum_upstream, eps)?;
        Ok(vec![dx, d_weight, d_bias])
    })
}

/// One read of both and one write of dx, and for d_weight one read of both by each of its two kernels.
pub(crate) fn benches() -> Vec<Bench> {
    let mut benches = Vec::new();
    for [rows, width] in [[4096, 384], [4096, 768], [64, 65_536]] {
        for (part, passes) in [("dx", 3), ("d_weight", 4)] {
            let bytes = (rows * width * 4 * passes) as u64;
            let label = format!("{rows} x {width} f32, {part}");
            benches.push(Bench::new(NAME, label, Work::Bytes(bytes), move |problem| {
                let x = problem.random("x", DType::F32, [rows, width], 1.0)?;
                let weight = problem.random("weight", DType::F32, [width], 1.0)?;
                let upstream = problem.random("upstream", DType::F32, [rows, width], 1.0)?;
                let gradients = layer_norm_backward(&mut problem.graph, x, weight, upstream, None, 1e-5)?;
                Ok(vec![if part == "dx" { gradients.0 } else { gradients.1 }])
            }));
        }
    }
    benches
}
