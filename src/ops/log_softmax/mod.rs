//! Logarithm of softmax along the last axis: `y_i = (x_i - max x) - ln sum_j exp(x_j - max x)`.

#[cfg(feature = "check")]
mod cases;
mod reference;

use super::contract::Contract;
use super::{log_softmax_backward, rows, softmax, upstream};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, wgsl};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "log_softmax";

#[derive(Clone, Copy, Debug)]
pub(super) struct LogSoftmax;

/// The natural logarithm of softmax of `x: [.., width]` along its last axis, without the underflow that taking the logarithm
/// afterwards brings. Statistics are f32 whatever the storage. A result beyond the storage's range is not defined.
/// Fails when `x` is a scalar or not a float.
pub fn log_softmax(graph: &mut Graph, x: Value) -> Result<Value> {
    graph.push_builtin_one(LogSoftmax, &[x])
}

impl Op for LogSoftmax {
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
        softmax::lower(NAME, wgsl!("log_softmax/log_softmax.wgsl"), step, caps)
    }
    /// `dx_i = dy_i - exp(y_i) sum_j dy_j`
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        upstream::to_input(adjoint, |upstream| log_softmax_backward(graph, adjoint.outputs()[0], upstream))
    }
}
