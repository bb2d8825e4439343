//! The backward pass of the logarithm of softmax, from its result: `dx_i = dy_i - exp(y_i) sum_j dy_j`.

#[cfg(feature = "check")]
mod cases;
mod reference;

use super::softmax_backward;
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, wgsl};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "log_softmax_backward";

#[derive(Clone, Copy, Debug)]
struct LogSoftmaxBackward;

/// The gradient of [`log_softmax`](super::log_softmax())'s argument from its result `y: [.., width]` and the gradient `upstream` of
/// that.
///
/// Both share shape and float type; sums are f32 whatever the storage. Fails when they differ, or are scalars or not floats.
pub fn log_softmax_backward(graph: &mut Graph, y: Value, upstream: Value) -> Result<Value> {
    graph.push_builtin_one(LogSoftmaxBackward, &[y, upstream])
}

impl Op for LogSoftmaxBackward {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        softmax_backward::contract(NAME, inputs)
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![reference::backward(inputs[0], inputs[1])]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        softmax_backward::lower(NAME, wgsl!("log_softmax_backward/log_softmax_backward.wgsl"), step, caps)
    }
}
