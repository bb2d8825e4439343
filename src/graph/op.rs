//! What an op is. The trait lives beside the graph because steps hold ops; the ops themselves live in [`crate::ops`].

use std::fmt::Debug;

use crate::Result;
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, Real, TensorDesc};

/// The shapes and types of one step, as lowering sees them.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What the step reads.
    pub inputs: Vec<TensorDesc>,
    /// What the step produces.
    pub outputs: Vec<TensorDesc>,
}

/// A computation on tensors: shapes, the reference that specifies it, and its kernels.
pub trait Op: Debug + Send + Sync + 'static {
    /// The op's name, as errors and reports show it.
    fn name(&self) -> &'static str;

    /// Descriptors of the outputs, or what is wrong with the inputs.
    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>>;

    /// The specification: plain loops in the arithmetic `R`. `inputs` have passed the contract.
    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>>;

    /// The dispatches that compute the op on a device with `caps`.
    fn lower(&self, problem: &Problem, caps: &Caps) -> Result<Lowered>;
}

/// [`Op`] behind a pointer: the generic method becomes one per arithmetic.
pub(crate) trait ErasedOp: Debug + Send + Sync {
    fn name(&self) -> &'static str;
    fn lower(&self, problem: &Problem, caps: &Caps) -> Result<Lowered>;
    fn reference_f64(&self, inputs: &[&Array<f64>]) -> Vec<Array<f64>>;
    fn reference_f32(&self, inputs: &[&Array<f32>]) -> Vec<Array<f32>>;
}

impl<T: Op> ErasedOp for T {
    fn name(&self) -> &'static str {
        Op::name(self)
    }

    fn lower(&self, problem: &Problem, caps: &Caps) -> Result<Lowered> {
        Op::lower(self, problem, caps)
    }

    fn reference_f64(&self, inputs: &[&Array<f64>]) -> Vec<Array<f64>> {
        self.reference(inputs)
    }

    fn reference_f32(&self, inputs: &[&Array<f32>]) -> Vec<Array<f32>> {
        self.reference(inputs)
    }
}
