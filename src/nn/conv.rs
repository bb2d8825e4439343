//! Convolutions along time.

use super::layers::parameter;
use crate::graph::{Graph, Value};
use crate::ops::{self, concat, linear, pad, reshape, slice, transpose};
use crate::weights::{Scope, Weight};
use crate::{Error, ErrorKind, Result};

const OP: &str = "causal convolution";

/// A convolution along time that sees a position and those before it: `weight: [out, in, kernel]`, the last place of the kernel on the
/// position itself, `bias: [out]`. PyTorch's `Conv1d` after padding the front with `kernel - 1` zeros, with its weights' layout.
///
/// It is recorded as one dense layer over `kernel` shifted copies of its input side by side, which take `kernel` times the input's
/// memory, or `time` times if that is less.
#[derive(Clone, Debug)]
pub struct CausalConv1d {
    weight: Weight,
    bias: Weight,
}

impl CausalConv1d {
    /// Declares the layer's weights under `scope`. Fails when the kernel is 0.
    pub fn declare(scope: &mut Scope<'_>, inner: usize, out: usize, kernel: usize) -> Result<Self> {
        if kernel == 0 {
            return Err(Error::new(ErrorKind::Argument, OP, "kernel").expecting("at least 1").but_found(0));
        }
        Ok(Self { weight: scope.weight("weight", [out, inner, kernel])?, bias: scope.weight("bias", [out])? })
    }

    /// `y_t = bias + sum_j weight[.., j] x_(t - kernel + 1 + j)` for `x: [batch, time, in]`, with zeros before the first position:
    /// `[batch, time, out]`.
    ///
    /// Fails when `x` is not of that shape.
    pub fn record(&self, graph: &mut Graph, x: Value) -> Result<Value> {
        let desc = graph.desc(x)?.clone();
        let [out, inner, kernel] = *self.weight.shape().dims() else {
            return Err(Error::new(ErrorKind::Shape, OP, "weight")
                .expecting("[out, in, kernel]")
                .but_found(self.weight.shape()));
        };
        let time = match *desc.shape.dims() {
            [_, time, width] if width == inner => time,
            _ => {
                return Err(Error::new(ErrorKind::Shape, OP, "x")
                    .expecting(format!("[batch, time, {inner}]"))
                    .but_found(desc));
            }
        };
        // Places before the sequence's length meet nothing but zeros.
        let places = kernel.min(time.max(1));
        let padded = pad(graph, x, 1, places - 1, time + places - 1)?;
        let shifted = (0..places)
            .map(|place| slice(graph, padded, 1, place..place + time))
            .collect::<Result<Vec<_>>>()?;
        let beside = concat(graph, &shifted, 2)?;
        let weight = parameter(graph, &self.weight, desc.dtype)?;
        let weight = slice(graph, weight, 2, kernel - places..kernel)?;
        let weight = transpose(graph, weight, &[0, 2, 1])?;
        let weight = reshape(graph, weight, [out, places * inner])?;
        let bias = parameter(graph, &self.bias, desc.dtype)?;
        linear(graph, beside, weight, &ops::Linear::new().bias(bias))
    }
}
