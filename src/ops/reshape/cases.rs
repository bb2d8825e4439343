//! Conformance cases: views of inputs, of results, of views, and one value handed out twice.

use super::{NAME, reshape};
use crate::check::Case;
use crate::ops::scale;
use crate::tensor::DType;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        cases.push(Case::new(NAME, format!("{dtype} input to output"), move |problem| {
            let x = problem.random("x", dtype, [3, 5], 1.0)?;
            Ok(vec![reshape(&mut problem.graph, x, [15])?])
        }));
        cases.push(Case::new(
            NAME,
            format!("{dtype} result, read again and handed out twice"),
            move |problem| {
                let x = problem.random("x", dtype, [3, 5], 1.0)?;
                let y = scale(&mut problem.graph, x, 2.0)?;
                let flat = reshape(&mut problem.graph, y, [15])?;
                let back = reshape(&mut problem.graph, flat, [5, 3])?;
                let z = scale(&mut problem.graph, back, 0.5)?;
                Ok(vec![y, back, z])
            },
        ));
        cases.push(Case::new(NAME, format!("{dtype} empty"), move |problem| {
            let x = problem.random("x", dtype, [0, 5], 1.0)?;
            Ok(vec![reshape(&mut problem.graph, x, [5, 0, 2])?])
        }));
    }
    cases
}
