//! Conformance cases: those of the forward pass, and rows whose largest element is there more than once.

use super::{NAME, pool_backward};
use crate::Result;
use crate::check::{Bench, Case, Problem, Work};
use crate::graph::Value;
use crate::ops::pool::{Pool, cases_of, pool};
use crate::tensor::{DType, HostTensor};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = cases_of(NAME, append);
    for (dtype, width) in [(DType::F32, 5), (DType::F32, 8), (DType::F16, 8)] {
        cases.push(Case::new(NAME, format!("{dtype} Max of ties, width {width}"), move |problem| {
            let elements: Vec<f32> = (0..2 * 65 * width).map(|i| (i * 7 % 3) as f32).collect();
            let x = problem.input("x", HostTensor::from_f32(dtype, [2, 65, width], &elements)?)?;
            append(problem, x, &Pool::max())
        }));
    }
    cases
}

fn append(problem: &mut Problem, x: Value, spec: &Pool) -> Result<Vec<Value>> {
    // Only for its shape: what nobody reads does not run.
    let pooled = pool(&mut problem.graph, x, spec)?;
    let desc = problem.desc(pooled)?.clone();
    let upstream = problem.random("upstream", desc.dtype, desc.shape, 2.0)?;
    Ok(vec![pool_backward(&mut problem.graph, x, upstream, spec)?])
}

/// One write of every element; what is read is little beside it.
pub(crate) fn benches() -> Vec<Bench> {
    let bench = |[batch, time]: [usize; 2]| {
        let bytes = Work::Bytes((batch * time * 384 * 4) as u64);
        Bench::new(NAME, format!("mean of {batch} x {time} x 384 f32"), bytes, move |problem| {
            let x = problem.random("x", DType::F32, [batch, time, 384], 1.0)?;
            let upstream = problem.random("upstream", DType::F32, [batch, 384], 1.0)?;
            Ok(vec![pool_backward(&mut problem.graph, x, upstream, &Pool::mean())?])
        })
    };
    [[16, 128], [1, 2048]].map(bench).into()
}
