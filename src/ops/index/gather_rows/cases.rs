//! Conformance cases: batches, widths around the vector size, several indices of a position, indices without a row, and none at all.

use super::{NAME, gather_rows, gather_rows_summed};
use crate::check::{Bench, Case, Problem, Work};
use crate::graph::Value;
use crate::tensor::{DType, HostTensor};
use crate::{Result, Shape};

/// Indices that jump about among `rows`, every seventh outside, as many above as below where they are signed.
pub(in crate::ops::index) fn indices(
    problem: &mut Problem,
    shape: &[usize],
    rows: usize,
    signed: bool,
) -> Result<Value> {
    let place = |i: usize| if i % 7 == 6 { (rows + i / 7) as u32 } else { (i * 31 % rows.max(1)) as u32 };
    let count = shape.iter().product();
    let tensor = if signed {
        let signed = |i: usize| if i % 14 == 13 { -1 - i as i32 } else { place(i) as i32 };
        HostTensor::i32(shape, (0..count).map(signed).collect())?
    } else {
        HostTensor::u32(shape, (0..count).map(|i| if i % 14 == 13 { u32::MAX } else { place(i) }).collect())?
    };
    problem.input("indices", tensor)
}

pub(crate) fn cases() -> Vec<Case> {
    // The shape of x, and that of the indices.
    let problems: [(&'static [usize], &'static [usize]); 12] = [
        (&[1, 1], &[]),
        (&[3, 4], &[0]),
        (&[0, 4], &[5]),
        (&[3, 0], &[5]),
        (&[2, 2], &[1]),
        (&[65, 8], &[3, 1, 21]),
        (&[97, 65], &[64]),
        (&[1000, 1], &[1000]),
        (&[2, 5, 4], &[2, 9]),
        (&[0, 5, 4], &[0, 9]),
        (&[3, 2, 7, 3], &[3, 2, 5, 4]),
        (&[3, 2, 7, 8], &[3, 2]),
    ];
    let mut cases = Vec::new();
    for (dtype, amplitude) in [(DType::F32, 1.0), (DType::F16, 1.0), (DType::I32, 2e9), (DType::U32, 4e9)] {
        for (i, (shape, of_indices)) in problems.into_iter().enumerate() {
            let label = format!("{dtype} {} at {}", Shape::from(shape), Shape::from(of_indices));
            cases.push(Case::new(NAME, label, move |problem| {
                let x = problem.random("x", dtype, shape, amplitude)?;
                let indices = indices(problem, of_indices, shape[shape.len() - 2], i % 2 == 0)?;
                Ok(vec![gather_rows(&mut problem.graph, x, indices)?])
            }));
        }
    }
    let summed: [(&'static [usize], &'static [usize]); 6] = [
        (&[9, 4], &[3]),
        (&[9, 5], &[4, 1]),
        (&[9, 4], &[4, 0]),
        (&[300, 8], &[65, 3]),
        (&[2, 7, 3], &[2, 5, 4]),
        (&[2, 3, 7, 4], &[2, 3, 2, 5, 2]),
    ];
    for dtype in [DType::F32, DType::F16] {
        for (i, (shape, of_indices)) in summed.into_iter().enumerate() {
            let label = format!("{dtype} {} summed at {}", Shape::from(shape), Shape::from(of_indices));
            cases.push(Case::new(NAME, label, move |problem| {
                let x = problem.random("x", dtype, shape, 1.0)?;
                let indices = indices(problem, of_indices, shape[shape.len() - 2], i % 2 == 0)?;
                Ok(vec![gather_rows_summed(&mut problem.graph, x, indices)?])
            }));
        }
    }
    cases
}

/// One read of every row that is named and of every index, and one write of every element.
pub(crate) fn benches() -> Vec<Bench> {
    let problems = [(1 << 20, 1, 1 << 20), (1 << 16, 64, 1 << 14)];
    let benches = problems.into_iter().map(|(rows, width, positions)| {
        let work = Work::Bytes((positions * (8 * width + 4)) as u64);
        Bench::new(NAME, format!("{positions} of {rows} x {width} f32"), work, move |problem| {
            let x = problem.random("x", DType::F32, [rows, width], 1.0)?;
            let indices = (0..positions).map(|i| (i * 7919 % rows) as u32).collect();
            let indices = problem.input("indices", HostTensor::u32([positions], indices)?)?;
            Ok(vec![gather_rows(&mut problem.graph, x, indices)?])
        })
    });
    benches.collect()
}
