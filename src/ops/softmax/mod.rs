//! Softmax along the last axis: `y_i = exp(x_i - max x) / sum_j exp(x_j - max x)`.

#[cfg(feature = "check")]
mod cases;
mod kernels;
mod reference;

use super::contract::Contract;
use super::{rows, softmax_backward, upstream};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, wgsl};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

pub(super) use kernels::lower;

const NAME: &str = "softmax";

#[derive(Clone, Copy, Debug)]
pub(super) struct Softmax;

/// Softmax of `x: [.., width]` along its last axis. Statistics are f32 whatever the storage.
/// Fails when `x` is a scalar or not a float.
pub fn softmax(graph: &mut Graph, x: Value) -> Result<Value> {
    graph.push_builtin_one(Softmax, &[x])
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["x"])?;
        rows::check(&contract, &inputs[0])?;
        Ok(inputs.to_vec())
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![reference::forward(inputs[0])]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        lower(NAME, wgsl!("softmax/softmax.wgsl"), step, caps)
    }
    /// `dx_i = y_i (dy_i - sum_j y_j dy_j)`
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        upstream::to_input(adjoint, |upstream| softmax_backward(graph, adjoint.outputs()[0], upstream))
    }
}
