//! Conformance cases: every axis, zeros before, behind and on both sides, whole vectors and not, empty values.

use super::{NAME, pad};
use crate::check::{Bench, Case, Work};
use crate::tensor::DType;

pub(crate) fn cases() -> Vec<Case> {
    let problems: [(&'static [usize], usize, usize, usize); 16] = [
        (&[1], 0, 0, 2),
        (&[1], 0, 0, 1),
        (&[2], 0, 61, 63),
        (&[56], 0, 8, 64),
        (&[64], 0, 1, 65),
        (&[97], 0, 3, 1000),
        (&[0], 0, 2, 5),
        (&[3, 0], 1, 0, 4),
        (&[0, 4], 1, 4, 12),
        (&[2, 4], 1, 4, 12),
        (&[2, 4], 1, 3, 12),
        (&[2, 3, 4], 1, 1, 5),
        (&[2, 3, 4], 0, 7, 9),
        (&[7, 3], 0, 0, 9),
        (&[3, 2, 3, 3], 1, 1, 4),
        (&[2, 1, 2, 1, 2, 1, 2, 3], 4, 1, 3),
    ];
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        for (shape, axis, start, extent) in problems {
            let label =
                format!("{dtype} {} from {start} on of {extent} along {axis}", crate::Shape::from(shape));
            cases.push(Case::new(NAME, label, move |problem| {
                let x = problem.random("x", dtype, shape, 1.0)?;
                Ok(vec![pad(&mut problem.graph, x, axis, start, extent)?])
            }));
        }
    }
    cases
}

/// One read of every element and one write of every element of the result.
pub(crate) fn benches() -> Vec<Bench> {
    vec![Bench::new(NAME, "1M f32, a third of the columns", Work::Bytes(16 << 20), |problem| {
        let x = problem.random("x", DType::F32, [1024, 1024], 1.0)?;
        Ok(vec![pad(&mut problem.graph, x, 1, 1024, 3072)?])
    })]
}
