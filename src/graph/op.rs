//! The trait [`Op`]. It lies beside the graph because steps hold ops; the ops themselves lie in [`crate::ops`].

use std::fmt::Debug;

use super::{Adjoint, Gradient, Graph};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

/// The shapes and types of one step, as lowering sees them.
#[derive(Clone, Debug)]
pub struct StepDesc {
    /// What the step reads.
    pub inputs: Vec<TensorDesc>,
    /// What the step produces.
    pub outputs: Vec<TensorDesc>,
    /// Of each output, whether anything reads it. The others need not be written; they get memory, for the step alone, if a
    /// dispatch binds them.
    pub wanted: Vec<bool>,
}

/// A computation on tensors: shapes, the reference that specifies it, and its kernels.
///
/// Ops of other crates are ops like those of this one: [`Graph::push`] appends them, plans, gradients, the CPU reference and conformance cases
/// take them. What they are written with (`kernel::Kernel`, `ops::Contract`, `params!`, `wgsl!`) needs the feature `unstable`: it is the
/// crate's own tool, follows what kernels need, and may change with any version, while graphs, plans and programs keep to semantic
/// versioning. Their kernels always run with wgpu's checks ([`Context::trusting_own_kernels`](crate::gpu::Context::trusting_own_kernels)).
/// Where only pairs of query and key or the score between them differ, no op is needed:
/// [`CustomMask`](crate::ops::attention::CustomMask) and [`CustomScore`](crate::ops::attention::CustomScore) are stable.
///
/// `examples/own_op` in the repository is a crate with an op of its own: contract, reference, WGSL, gradient and tests.
pub trait Op: Debug + Send + Sync + 'static {
    /// The op's name, as errors and reports show it.
    fn name(&self) -> &'static str;

    /// Descriptors of the outputs, or what is wrong with the inputs.
    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>>;

    /// The specification: plain loops in the arithmetic `R`. `inputs` have passed the contract.
    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>>;

    /// The dispatches that compute the op on a device with `caps`.
    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered>;

    /// Pairs of an output and an input that the kernels change in place: the output's memory holds a copy of the input when they start, and they do
    /// not bind the input itself. Nothing is copied where the input is a parameter that the output updates.
    fn in_place(&self) -> &'static [(usize, usize)] {
        &[]
    }

    /// Whether outputs are constants to gradients, as those of `stop_gradient`: no gradient passes to the inputs.
    fn stops_gradients(&self) -> bool {
        false
    }

    /// Whether the outputs are a discrete choice, such as the bucket of a hash. A backward pass that recomputes values keeps such outputs, because
    /// recomputed inputs may differ by rounding and lead to another choice. Such an op has no gradients, and its outputs are integers: replays
    /// ([`Graph::replay`]) refuse others.
    fn is_choice(&self) -> bool {
        false
    }

    /// The gradients of the inputs, one for each, as ordinary steps appended to `graph`.
    ///
    /// The default is an error: an op without a backward pass must not count as one whose gradients are zero.
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let _ = (graph, adjoint);
        Err(Error::new(ErrorKind::NotDifferentiable, self.name(), "gradients")
            .expecting("an op with a backward pass on the way from the loss")
            .but_found("one without"))
    }
}

/// [`Op`] behind a pointer: the generic method becomes one per arithmetic.
pub(crate) trait ErasedOp: Debug + Send + Sync {
    fn name(&self) -> &'static str;
    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered>;
    fn in_place(&self) -> &'static [(usize, usize)];
    fn stops_gradients(&self) -> bool;
    fn is_choice(&self) -> bool;
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>>;
    fn reference_f64(&self, inputs: &[&Array<f64>]) -> Vec<Array<f64>>;
    fn reference_f32(&self, inputs: &[&Array<f32>]) -> Vec<Array<f32>>;
}

impl<T: Op> ErasedOp for T {
    fn name(&self) -> &'static str {
        Op::name(self)
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        Op::lower(self, step, caps)
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        Op::in_place(self)
    }

    fn stops_gradients(&self) -> bool {
        Op::stops_gradients(self)
    }

    fn is_choice(&self) -> bool {
        Op::is_choice(self)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        Op::backward(self, graph, adjoint)
    }

    fn reference_f64(&self, inputs: &[&Array<f64>]) -> Vec<Array<f64>> {
        self.reference(inputs)
    }

    fn reference_f32(&self, inputs: &[&Array<f32>]) -> Vec<Array<f32>> {
        self.reference(inputs)
    }
}
