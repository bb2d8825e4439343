//! Mean squared error, the mean over all elements of `(a - b)^2`.

#[cfg(feature = "check")]
mod cases;

use super::mean_squared_error_backward::mean_squared_error_backward;
use super::pair;
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, wgsl};
use crate::ops::contract::Contract;
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "loss/mean_squared_error";

/// The mean of `(a - b)^2`, f32 of shape `[1]`, for values of one shape and type, f32 or f16; 0 where they have no elements.
/// Sums are f32 whatever the storage. Fails when shapes or types differ or are not floats.
pub fn mean_squared_error(graph: &mut Graph, a: Value, b: Value) -> Result<Value> {
    graph.push_builtin_one(MeanSquaredError, &[a, b])
}

#[derive(Clone, Copy, Debug)]
pub(super) struct MeanSquaredError;

impl Op for MeanSquaredError {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        pair::check(&Contract::new(NAME), inputs, ["a", "b"], false)?;
        Ok(vec![TensorDesc::f32([1])])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (a, b) = (inputs[0].reals(), inputs[1].reals());
        let sum: R = a.iter().zip(b).map(|(&a, &b)| (a - b) * (a - b)).sum();
        vec![Array::real([1], vec![sum / R::of(a.len().max(1) as f64)])]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let elements = step.inputs[0].elements();
        pair::lower(NAME, wgsl!("loss/mean_squared_error/term.wgsl"), elements, step, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        pair::backward(graph, adjoint, mean_squared_error_backward)
    }
}
