//! Conformance cases: swaps that keep rows whole and swaps that do not, views, every rank.

use super::{NAME, transpose};
use crate::check::{Bench, Case, Work};
use crate::ops::layout::DTYPES;
use crate::tensor::DType;

pub(crate) fn cases() -> Vec<Case> {
    let problems: [(&'static [usize], &'static [usize]); 16] = [
        (&[], &[]),
        (&[5], &[0]),
        (&[1, 5], &[1, 0]),
        (&[3, 1, 5, 1], &[1, 0, 3, 2]),
        (&[1, 2], &[1, 0]),
        (&[2, 2], &[1, 0]),
        (&[0, 3], &[1, 0]),
        (&[3, 0, 2], &[2, 0, 1]),
        (&[63, 65], &[1, 0]),
        (&[64, 97], &[1, 0]),
        (&[1000, 4], &[1, 0]),
        (&[2, 5, 3, 8], &[0, 2, 1, 3]),
        (&[2, 3, 5, 7], &[0, 2, 1, 3]),
        (&[2, 3, 5, 4], &[3, 1, 0, 2]),
        (&[4, 1, 3, 4], &[2, 1, 0, 3]),
        (&[2, 3, 2, 3, 2, 3, 2, 3], &[7, 0, 6, 1, 5, 2, 4, 3]),
    ];
    let mut cases = Vec::new();
    for (dtype, amplitude) in DTYPES {
        for (shape, axes) in problems {
            let label = format!("{dtype} {} by {axes:?}", crate::Shape::from(shape));
            cases.push(Case::new(NAME, label, move |problem| {
                let x = problem.random("x", dtype, shape, amplitude)?;
                Ok(vec![transpose(&mut problem.graph, x, axes)?])
            }));
        }
    }
    cases
}

/// One read and one write of every element.
pub(crate) fn benches() -> Vec<Bench> {
    let bench = |label, shape: &'static [usize], order: &'static [usize]| {
        Bench::new(NAME, label, Work::Bytes(8 << 20), move |problem| {
            let x = problem.random("x", DType::F32, shape, 1.0)?;
            Ok(vec![transpose(&mut problem.graph, x, order)?])
        })
    };
    vec![
        bench("1M f32, heads outwards", &[4, 256, 16, 64], &[0, 2, 1, 3]),
        bench("1M f32, a matrix", &[1024, 1024], &[1, 0]),
    ]
}
