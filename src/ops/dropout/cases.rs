//! Conformance cases: vector and scalar widths, rates from none to nearly all, far seeds, streams and steps. Elements lie away from
//! 0, so that one kept by mistake shows.

use super::{Dropout, NAME, dropout};
use crate::Result;
use crate::check::{Bench, Case, Problem, Work};
use crate::graph::Value;
use crate::tensor::{DType, HostTensor, Shape};

fn dropped(problem: &mut Problem, dtype: DType, shape: Shape, spec: Dropout, step: u32) -> Result<Value> {
    let x: Vec<f32> = (0..shape.elements()).map(|i| [1.0, -1.5, 0.75, 2.0, -0.5][i % 5]).collect();
    let x = problem.input("x", HostTensor::from_f32(dtype, shape, &x)?)?;
    let step = problem.input("step", HostTensor::u32([1], vec![step])?)?;
    dropout(&mut problem.graph, x, &spec, step)
}

pub(crate) fn cases() -> Vec<Case> {
    let shapes: [&'static [usize]; 9] =
        [&[], &[0], &[1], &[2, 2], &[63], &[64], &[65, 4], &[97, 3], &[1000, 7]];
    let spec = Dropout { rate: 0.1, seed: 0x0123_4567_89AB_CDEF, stream: 3 };
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        for shape in shapes {
            let label = format!("{dtype} {}", Shape::from(shape));
            cases.push(Case::new(NAME, label, move |problem| {
                Ok(vec![dropped(problem, dtype, shape.into(), spec, 17)?])
            }));
        }
        for rate in [0.0, 1e-30, 0.5, 0.9, 1.0 - f32::EPSILON / 2.0] {
            let spec = Dropout { rate, ..spec };
            cases.push(Case::new(NAME, format!("{dtype} rate {rate:e}"), move |problem| {
                Ok(vec![dropped(problem, dtype, [100, 8].into(), spec, 1)?])
            }));
        }
    }
    for (seed, stream, step) in [(0, 0, 0), (u64::MAX, u32::MAX, u32::MAX), (1 << 32, 0, 0), (0, 0, 1 << 31)]
    {
        let spec = Dropout { rate: 0.5, seed, stream };
        let label = format!("seed {seed:#x}, stream {stream:#x}, step {step:#x}");
        cases.push(Case::new(NAME, label, move |problem| {
            Ok(vec![dropped(problem, DType::F32, [31, 4].into(), spec, step)?])
        }));
    }
    cases
}

/// One read and one write of every element.
pub(crate) fn benches() -> Vec<Bench> {
    vec![Bench::new(NAME, "1M f32", Work::Bytes(8 << 20), |problem| {
        let x = problem.random("x", DType::F32, [1 << 20], 1.0)?;
        let step = problem.input("step", HostTensor::u32([1], vec![0])?)?;
        let spec = Dropout { rate: 0.1, seed: 1, stream: 0 };
        Ok(vec![dropout(&mut problem.graph, x, &spec, step)?])
    })]
}
