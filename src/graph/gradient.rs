//! What an op's backward pass is told, and what it gives. The walk over the steps is `crate::gradients`, above the ops it appends.

use super::Value;
use crate::{Error, ErrorKind, Result};

/// The argument of [`super::Op::backward`]: a step, the gradients of its outputs, and which of its inputs need a gradient.
#[derive(Clone, Debug)]
pub struct Adjoint {
    pub(crate) inputs: Vec<Value>,
    pub(crate) outputs: Vec<Value>,
    pub(crate) upstream: Vec<Option<Value>>,
    pub(crate) wanted: Vec<bool>,
}

impl Adjoint {
    /// What the step read, in order.
    pub fn inputs(&self) -> &[Value] {
        &self.inputs
    }

    /// What the step produced, in order.
    pub fn outputs(&self) -> &[Value] {
        &self.outputs
    }

    /// The loss's gradient with respect to the n-th output, of that output's shape and type; none when the loss does not depend
    /// on it. At least one output has one.
    pub fn upstream(&self, output: usize) -> Option<Value> {
        self.upstream.get(output).copied().flatten()
    }

    /// Refuses a gradient that reaches an output of `op` which is only there for the backward pass.
    pub(crate) fn refuse_upstream(&self, op: &'static str, output: usize, name: &str) -> Result<()> {
        if self.upstream(output).is_none() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotDifferentiable, op, name)
            .expecting("a loss that does not depend on it")
            .but_found("one that does"))
    }

    /// Whether the gradient of the n-th input is needed; if not, [`Gradient::None`] may be given.
    pub fn wants(&self, input: usize) -> bool {
        self.wanted.get(input).is_some_and(|&wanted| wanted)
    }
}

/// The gradient of one input of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gradient {
    /// None is needed, or the output does not depend on this input in a differentiable way (ids, lengths).
    None,
    /// All of it, of the input's shape and type.
    Whole(Value),
    /// Zero but for `value`, which lies from `start` on along `axis`. Slices that together make up the input are joined.
    Slice {
        /// The axis that is cut.
        axis: usize,
        /// The first index along it.
        start: usize,
        /// What lies there.
        value: Value,
    },
}
