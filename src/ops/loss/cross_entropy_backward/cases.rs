//! Conformance cases: those of the forward pass, whose log-sum-exp they take.

use super::{CrossEntropy, NAME, cross_entropy_backward};
use crate::check::{Bench, Case, Work};
use crate::ops::loss::cross_entropy::{cross_entropy_with_lse, setups};
use crate::tensor::{DType, HostTensor};

pub(crate) fn cases() -> Vec<Case> {
    setups()
        .into_iter()
        .enumerate()
        .map(|(i, setup)| {
            let (ulps, with_lse) = (setup.ulps(), i % 3 == 0);
            let what = if with_lse { ", with a gradient of lse" } else { "" };
            let case = Case::new(NAME, format!("{}{what}", setup.label()), move |problem| {
                let (logits, targets) = setup.inputs(problem)?;
                let spec = setup.spec();
                let upstream = problem.input("upstream", HostTensor::f32([1], vec![-1.5])?)?;
                let (_, lse) = cross_entropy_with_lse(&mut problem.graph, logits, targets, &spec)?;
                let d_lse = problem.desc(lse)?.shape.clone();
                let d_lse =
                    with_lse.then(|| problem.random("lse upstream", DType::F32, d_lse, 0.1)).transpose()?;
                let graph = &mut problem.graph;
                Ok(vec![cross_entropy_backward(graph, logits, targets, lse, upstream, d_lse, &spec)?])
            });
            case.builtin_ulps(ulps)
        })
        .collect()
}

/// One read of every logit and one write of its gradient.
pub(crate) fn benches() -> Vec<Bench> {
    let bench = |[rows, classes]: [usize; 2]| {
        let bytes = Work::Bytes((rows * classes * 8) as u64);
        Bench::new(NAME, format!("{rows} x {classes} f32"), bytes, move |problem| {
            let logits = problem.random("logits", DType::F32, [rows, classes], 1.0)?;
            let targets = (0..rows).map(|row| (row / 64) as i32).collect();
            let targets = problem.input("targets", HostTensor::i32([rows], targets)?)?;
            let lse = problem.random("lse", DType::F32, [rows], 1.0)?;
            let upstream = problem.random("upstream", DType::F32, [1], 1.0)?;
            let spec = CrossEntropy::new();
            Ok(vec![cross_entropy_backward(&mut problem.graph, logits, targets, lse, upstream, None, &spec)?])
        })
    };
    [[4096, 1000], [256, 30_522]].map(bench).into()
}
