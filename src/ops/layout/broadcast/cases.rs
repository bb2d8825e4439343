//! Conformance cases: axes that are missing, of extent 1, or empty, inside and outside of vectors.

use super::{NAME, broadcast};
use crate::check::{Bench, Case, Work};
use crate::ops::layout::DTYPES;
use crate::tensor::DType;

pub(crate) fn cases() -> Vec<Case> {
    let problems: [(&'static [usize], &'static [usize]); 16] = [
        (&[], &[]),
        (&[], &[3]),
        (&[1], &[64]),
        (&[5], &[5]),
        (&[1, 5], &[1, 5]),
        (&[2, 1], &[2, 63]),
        (&[1, 65], &[3, 65]),
        (&[64], &[7, 64]),
        (&[97], &[2, 3, 97]),
        (&[3, 1, 4], &[3, 5, 4]),
        (&[3, 1, 2], &[2, 3, 5, 2]),
        (&[1000, 1], &[1000, 4]),
        (&[1, 3], &[0, 3]),
        (&[2, 1], &[2, 0]),
        (&[0, 1], &[0, 4]),
        (&[2, 1, 2, 1, 2, 1, 2, 1], &[2, 3, 2, 3, 2, 3, 2, 3]),
    ];
    let mut cases = Vec::new();
    for (dtype, amplitude) in DTYPES {
        for (x_shape, shape) in problems {
            let label = format!("{dtype} {} to {}", crate::Shape::from(x_shape), crate::Shape::from(shape));
            cases.push(Case::new(NAME, label, move |problem| {
                let x = problem.random("x", dtype, x_shape, amplitude)?;
                Ok(vec![broadcast(&mut problem.graph, x, shape)?])
            }));
        }
    }
    cases
}

/// One write of every element.
pub(crate) fn benches() -> Vec<Bench> {
    let bench = |(label, shape): (&str, [usize; 2])| {
        Bench::new(NAME, label, Work::Bytes(4 << 20), move |problem| {
            let x = problem.random("x", DType::F32, shape, 1.0)?;
            Ok(vec![broadcast(&mut problem.graph, x, [1024, 1024])?])
        })
    };
    [("1M f32, a row", [1, 1024]), ("1M f32, a column", [1024, 1])].map(bench).into()
}
