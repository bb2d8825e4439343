//! Conformance cases: whole vectors of a head and not, taps on either side, more taps than places, segments.

use super::{NAME, dynamic_conv};
use crate::Result;
use crate::check::{Bench, Case, Problem, Work};
use crate::graph::Value;
use crate::tensor::{DType, HostTensor};

/// Batch, time, heads, channels of a head, taps, and those before a place.
type Extents = [usize; 6];

fn record(
    problem: &mut Problem,
    dtype: DType,
    [batch, time, heads, size, taps, before]: Extents,
    segments: bool,
) -> Result<Value> {
    let x = problem.random("x", dtype, [batch, time, heads * size], 1.0)?;
    let kernels = problem.random("kernels", dtype, [batch, time, heads, taps], 1.0)?;
    let segments = match segments {
        true => {
            let ids = (0..batch * time).map(|at| (at % time / 4) as i32).collect();
            Some(problem.input("segments", HostTensor::i32([batch, time], ids)?)?)
        }
        false => None,
    };
    dynamic_conv(&mut problem.graph, x, kernels, before, segments)
}

pub(crate) fn cases() -> Vec<Case> {
    let extents: [Extents; 8] = [
        [2, 19, 2, 4, 5, 4],
        [2, 19, 2, 8, 3, 1],
        [1, 13, 3, 5, 4, 1],
        [2, 4, 2, 4, 7, 6],
        [1, 1, 1, 1, 1, 0],
        [3, 70, 1, 12, 31, 15],
        [2, 9, 8, 1, 3, 0],
        [0, 5, 2, 4, 3, 2],
    ];
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        for extents in extents {
            let [batch, time, heads, size, taps, before] = extents;
            let label =
                format!("{dtype} {batch} x {time}, {heads} heads of {size}, {taps} taps, {before} before");
            cases.push(Case::new(NAME, label, move |problem| {
                Ok(vec![record(problem, dtype, extents, false)?])
            }));
        }
    }
    cases.push(Case::new(NAME, "f32 in segments", |problem| {
        Ok(vec![record(problem, DType::F32, [2, 19, 2, 4, 5, 2], true)?])
    }));
    cases
}

pub(crate) fn benches() -> Vec<Bench> {
    let work = Work::Flops(2 * 1024 * 512 * 7);
    vec![Bench::new(NAME, "1024 x 512, 8 heads, 7 taps, f32", work, |problem| {
        Ok(vec![record(problem, DType::F32, [1, 1024, 8, 64, 7, 6], false)?])
    })]
}
