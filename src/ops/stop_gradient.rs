//! The same values without a gradient (PyTorch's `detach`). Nothing runs: the result shares its input's memory.

use super::contract::Contract;
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::cases;

const NAME: &str = "stop_gradient";

#[derive(Clone, Copy, Debug)]
struct StopGradient;

/// `x` as a constant to [`Graph::gradients`]: no gradient passes to what `x` was computed from, as with PyTorch's `detach`. For the memory of earlier
/// segments (Transformer-XL, arXiv 1901.02860, section 3.2), and for targets that a model computes itself.
pub fn stop_gradient(graph: &mut Graph, x: Value) -> Result<Value> {
    graph.push_builtin_one(StopGradient, &[x])
}

impl Op for StopGradient {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        Contract::new(NAME).count(inputs, &["x"])?;
        Ok(inputs.to_vec())
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![inputs[0].clone()]
    }

    fn lower(&self, _: &StepDesc, _: &Caps) -> Result<Lowered> {
        Ok(Lowered::View(0))
    }

    fn stops_gradients(&self) -> bool {
        true
    }
}

/// Conformance cases: one factor of a product held fast, a result handed out, and nothing.
#[cfg(feature = "check")]
mod cases {
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
            let result =
                Case::new(NAME, format!("{dtype} of a result, handed out beside it"), move |problem| {
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
}
