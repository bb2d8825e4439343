//! Conformance cases: every axis, parts that are whole vectors and parts that are not, empty ones, one value twice.

use super::{NAME, concat};
use crate::Result;
use crate::check::{Bench, Case, Work};
use crate::ops::layout::DTYPES;
use crate::tensor::DType;

pub(crate) fn cases() -> Vec<Case> {
    // A shape, the axis, and every part's extent along it.
    let problems: [(&'static [usize], usize, &'static [usize]); 14] = [
        (&[0], 0, &[1]),
        (&[0], 0, &[4, 3, 1]),
        (&[0], 0, &[63, 64, 65]),
        (&[0], 0, &[0, 0]),
        (&[5, 0], 1, &[2, 0, 3]),
        (&[5, 0], 1, &[4, 8]),
        (&[5, 0], 1, &[4, 6, 2]),
        (&[0, 97], 0, &[2, 3]),
        (&[0, 1000], 0, &[1, 2]),
        (&[2, 0, 3], 1, &[1, 2, 3, 4, 5]),
        (&[2, 0, 4], 1, &[1, 2]),
        (&[0, 3], 1, &[2, 1]),
        (&[3, 2, 0, 2, 2], 2, &[2, 1]),
        (&[1, 2, 1, 2, 1, 2, 1, 0], 7, &[3, 2]),
    ];
    let mut cases = Vec::new();
    for (dtype, amplitude) in DTYPES {
        for (shape, axis, extents) in problems {
            let label = format!("{dtype} {} with {extents:?} along {axis}", crate::Shape::from(shape));
            cases.push(Case::new(NAME, label, move |problem| {
                let mut part = |(i, &extent): (usize, &usize)| {
                    let mut shape = shape.to_vec();
                    shape[axis] = extent;
                    problem.random(&format!("value {i}"), dtype, shape, amplitude)
                };
                let parts = extents.iter().enumerate().map(&mut part).collect::<Result<Vec<_>>>()?;
                Ok(vec![concat(&mut problem.graph, &parts, axis)?])
            }));
        }
        cases.push(Case::new(NAME, format!("{dtype} one value twice"), move |problem| {
            let x = problem.random("x", dtype, [3, 5], amplitude)?;
            Ok(vec![concat(&mut problem.graph, &[x, x], 0)?, concat(&mut problem.graph, &[x, x], 1)?])
        }));
    }
    cases
}

/// One read and one write of every element.
pub(crate) fn benches() -> Vec<Bench> {
    vec![Bench::new(NAME, "1M f32, by columns", Work::Bytes(8 << 20), |problem| {
        let a = problem.random("a", DType::F32, [1024, 512], 1.0)?;
        let b = problem.random("b", DType::F32, [1024, 512], 1.0)?;
        Ok(vec![concat(&mut problem.graph, &[a, b], 1)?])
    })]
}
