//! Conformance cases: every type, read by a step, handed out as it is and under another shape, and empty.

use super::{NAME, constant};
use crate::check::Case;
use crate::ops::{add, reshape};
use crate::tensor::{DType, HostTensor};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        cases.push(Case::new(NAME, format!("{dtype} added, handed out, and reshaped"), move |problem| {
            let data =
                HostTensor::from_f32(dtype, [3, 5], &(0..15).map(|x| x as f32 / 4.0).collect::<Vec<_>>())?;
            let data = constant(&mut problem.graph, data)?;
            let x = problem.random("x", dtype, [3, 5], 1.0)?;
            let sum = add(&mut problem.graph, data, x)?;
            Ok(vec![sum, data, reshape(&mut problem.graph, data, [15])?])
        }));
    }
    cases.push(Case::new(NAME, "i32", |problem| {
        Ok(vec![constant(&mut problem.graph, HostTensor::i32([3], vec![-1, 0, 7])?)?])
    }));
    cases.push(Case::new(NAME, "empty", |problem| {
        Ok(vec![constant(&mut problem.graph, HostTensor::f32([0, 2], Vec::new())?)?])
    }));
    cases
}
