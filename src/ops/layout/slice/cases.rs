//! Conformance cases: every axis, ranges that start on whole vectors and ranges that do not, empty and full ones, a split.

use std::ops::Range;

use super::{NAME, slice, split};
use crate::check::{Bench, Case, Work};
use crate::ops::layout::DTYPES;
use crate::tensor::DType;

pub(crate) fn cases() -> Vec<Case> {
    let problems: [(&'static [usize], usize, Range<usize>); 14] = [
        (&[1], 0, 0..1),
        (&[5], 0, 4..5),
        (&[64], 0, 8..64),
        (&[65], 0, 1..65),
        (&[1000], 0, 63..160),
        (&[7, 3], 0, 2..2),
        (&[0, 3], 1, 1..3),
        (&[7, 8], 1, 4..8),
        (&[7, 8], 1, 3..7),
        (&[7, 9], 1, 4..8),
        (&[9, 4], 0, 3..9),
        (&[3, 5, 4], 1, 1..4),
        (&[3, 5, 2, 3], 2, 1..2),
        (&[2, 1, 2, 1, 2, 3, 2, 3], 5, 1..3),
    ];
    let mut cases = Vec::new();
    for (dtype, amplitude) in DTYPES {
        for (shape, axis, range) in problems.clone() {
            let label = format!("{dtype} {} with {range:?} along {axis}", crate::Shape::from(shape));
            cases.push(Case::new(NAME, label, move |problem| {
                let x = problem.random("x", dtype, shape, amplitude)?;
                Ok(vec![slice(&mut problem.graph, x, axis, range.clone())?])
            }));
        }
        cases.push(Case::new(NAME, format!("{dtype} [5, 24] split along 1"), move |problem| {
            let x = problem.random("x", dtype, [5, 24], amplitude)?;
            split(&mut problem.graph, x, 1, &[8, 0, 3, 13])
        }));
    }
    cases
}

/// One read and one write of every element of the result.
pub(crate) fn benches() -> Vec<Bench> {
    vec![Bench::new(NAME, "1M f32, a third of the columns", Work::Bytes(8 << 20), |problem| {
        let x = problem.random("x", DType::F32, [1024, 3072], 1.0)?;
        Ok(vec![slice(&mut problem.graph, x, 1, 1024..2048)?])
    })]
}
