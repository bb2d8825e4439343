//! Conformance cases: one factor of a product held fast, a result handed out, and nothing.

use super::{NAME, stop_gradient};
use crate::check::Case;
use crate::ops::{multiply, scale};
use crate::tensor::DType;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        // Differences see what gradients are told not to.
        let product = Case::new(NAME, format!("{dtype} times what it is taken of"), move |problem| {
            let x = problem.random("x", dtype, [3, 5], 1.0)?;
            let fixed = stop_gradient(&mut problem.graph, x)?;
            Ok(vec![multiply(&mut problem.graph, fixed, x)?])
        });
        cases.push(product.kinked());
        let result = Case::new(NAME, format!("{dtype} of a result, handed out beside it"), move |problem| {
            let x = problem.random("x", dtype, [3, 5], 1.0)?;
            let y = scale(&mut problem.graph, x, 2.0)?;
            let fixed = stop_gradient(&mut problem.graph, y)?;
            Ok(vec![scale(&mut problem.graph, fixed, 0.5)?, fixed, y])
        });
        cases.push(result.kinked());
    }
    cases.push(Case::new(NAME, "empty", |problem| {
        let x = problem.random("x", DType::F32, [0, 2], 1.0)?;
        Ok(vec![stop_gradient(&mut problem.graph, x)?])
    }));
    cases
}
