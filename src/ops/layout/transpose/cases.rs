//! Conformance cases: swaps that keep rows whole and swaps that do not, views, every rank.

use super::{NAME, transpose};
use crate::check::Case;
use crate::ops::layout::DTYPES;

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
