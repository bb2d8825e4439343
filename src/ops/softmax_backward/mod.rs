//! The backward pass of softmax, from its result: `dx_i = y_i (dy_i - sum_j y_j dy_j)`.

#[cfg(feature = "check")]
mod cases;
mod kernels;
mod reference;

use super::contract::Contract;
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, wgsl};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

pub(super) use kernels::lower;

const NAME: &str = "softmax_backward";

#[derive(Clone, Copy, Debug)]
struct SoftmaxBackward;

/// The gradient of [`softmax`](super::softmax())'s argument from its result `y: [.., width]` and the gradient `upstream` of that.
///
/// Both share shape and float type; sums are f32 whatever the storage. Fails when they differ, or are scalars or not floats.
pub fn softmax_backward(graph: &mut Graph, y: Value, upstream: Value) -> Result<Value> {
    graph.push_builtin_one(SoftmaxBackward, &[y, upstream])
}

/// Two floats of one type and shape with at least one axis.
pub(super) fn contract(op: &'static str, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
    let contract = Contract::new(op);
    contract.count(inputs, &["y", "upstream"])?;
    let (y, upstream) = (&inputs[0], &inputs[1]);
    contract.float("y", y)?;
    if y.shape.rank() == 0 {
        return Err(contract.shape_error("y").expecting("at least one axis").but_found("a scalar"));
    }
    contract.dtype("upstream", upstream, y.dtype)?;
    if upstream.shape != y.shape {
        return Err(contract.shape_error("upstream").expecting(&y.shape).but_found(&upstream.shape));
    }
    Ok(vec![y.clone()])
}

impl Op for SoftmaxBackward {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        contract(NAME, inputs)
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![reference::backward(inputs[0], inputs[1])]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        lower(NAME, wgsl!("softmax_backward/softmax_backward.wgsl"), step, caps)
    }
}
