//! The dense layer with what usually follows it: `y = f(x W^T + bias) + residual`, weights stored `[out, in]` as PyTorch does.
//!
//! Gated (GLU variants, Shazeer, arXiv 2002.05202): `W` holds two factors one behind the other, `[2 out, in]`, and
//! `y = f(x W_g^T + b_g) * (x W_v^T + b_v) + residual`. Everything after the product happens in registers, before the one store.

#[cfg(feature = "check")]
mod cases;
mod gradient;
mod kernels;
mod reference;

use super::contract::Contract;
use super::elementwise::{Activation, Gate};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, MAX_RANK, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "linear";

/// Names of the leading axes, outermost first, and of the one that is summed.
const LEADING: [&str; MAX_RANK - 1] =
    ["leading 0", "leading 1", "leading 2", "leading 3", "leading 4", "leading 5", "leading 6"];
const MAY_BE_EMPTY: [&str; MAX_RANK] =
    ["leading 0", "leading 1", "leading 2", "leading 3", "leading 4", "leading 5", "leading 6", "in"];

/// What follows the product of a [`linear`] layer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linear {
    bias: Option<Value>,
    activation: Activation,
    gate: Option<Gate>,
    residual: Option<Value>,
}

impl Linear {
    /// The product alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `bias: [out]`, of a gated layer `[2 out]`.
    #[must_use]
    pub fn bias(self, bias: Value) -> Self {
        Self { bias: Some(bias), ..self }
    }

    /// Applies `activation` to the sum of product and bias; of a gated layer, to the gate.
    #[must_use]
    pub fn activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// Multiplies one half of the columns, activated, with the other: GLU with a sigmoid, SwiGLU with a silu, GEGLU with a gelu,
    /// ReGLU with a relu, bilinear with none.
    #[must_use]
    pub fn gated(self, gate: Gate) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// Adds `residual: [.., out]` at the end.
    #[must_use]
    pub fn residual(self, residual: Value) -> Self {
        Self { residual: Some(residual), ..self }
    }

    fn op(&self) -> LinearOp {
        LinearOp {
            activation: self.activation,
            gate: self.gate,
            bias: self.bias.is_some(),
            residual: self.residual.is_some(),
        }
    }
}

/// The dense layer `x: [.., in]` by `weight: [out, in]`, result `[.., out]`; gated, `weight: [2 out, in]`.
///
/// All arguments share one float type; sums, bias, activation and residual are f32 whatever the storage. The leading axes of `x`
/// and `in` may be empty. A weight larger than one storage binding is multiplied in parts. Fails when shapes or types differ.
pub fn linear(graph: &mut Graph, x: Value, weight: Value, spec: &Linear) -> Result<Value> {
    let inputs: Vec<Value> = [x, weight].into_iter().chain(spec.bias).chain(spec.residual).collect();
    Ok(graph.push_builtin(spec.op(), &inputs)?[0])
}

/// [`Linear`] without the values, which are the step's inputs: `x`, `weight`, then bias and residual where there are such.
///
/// A layer that activates has a second output for its gradients: what is activated, of a gated layer both factors one behind the
/// other, `[.., 2 out]`.
#[derive(Clone, Copy, Debug)]
struct LinearOp {
    activation: Activation,
    gate: Option<Gate>,
    bias: bool,
    residual: bool,
}

impl LinearOp {
    /// Whether the sums of product and bias differ from the result.
    fn activates(&self) -> bool {
        self.gate.is_some() || self.activation != Activation::Identity
    }

    /// Which input is the bias.
    fn bias_index(&self) -> Option<usize> {
        self.bias.then_some(2)
    }

    /// Which input is the residual.
    fn residual_index(&self) -> Option<usize> {
        self.residual.then_some(2 + usize::from(self.bias))
    }
}

impl Op for LinearOp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let mut contract = Contract::new(NAME).may_be_empty(&MAY_BE_EMPTY);
        let (x, weight) = (&inputs[0], &inputs[1]);
        contract.float("x", x)?;
        contract.dtype("weight", weight, x.dtype)?;
        let Some(leading) = x.shape.rank().checked_sub(1).and_then(|count| LEADING.get(..count)) else {
            return Err(contract
                .shape_error("x")
                .expecting(format!("rank 1 to {MAX_RANK} [.., in]"))
                .but_found(format!("rank {}", x.shape.rank())));
        };
        let axes = |last| leading.iter().copied().chain([last]).collect::<Vec<_>>();
        contract.bind("x", x, &axes("in"))?;
        let rows = if self.gate.is_some() { "2 out" } else { "out" };
        contract.bind("weight", weight, &[rows, "in"])?;
        let mut out = contract.extent(rows);
        if self.gate.is_some() {
            if !out.is_multiple_of(2) {
                let error = contract.shape_error("weight");
                return Err(error.expecting("axis 0 (2 out) to be even").but_found(out));
            }
            out /= 2;
        }
        if let Some(bias) = self.bias_index() {
            contract.dtype("bias", &inputs[bias], x.dtype)?;
            contract.bind("bias", &inputs[bias], &[rows])?;
        }
        let with =
            |last| -> Vec<usize> { leading.iter().map(|axis| contract.extent(axis)).chain([last]).collect() };
        let result = TensorDesc::new(x.dtype, with(out));
        let sums = TensorDesc::new(x.dtype, with(contract.extent(rows)));
        if let Some(residual) = self.residual_index() {
            contract.dtype("residual", &inputs[residual], x.dtype)?;
            if inputs[residual] != result {
                let error = contract.shape_error("residual");
                return Err(error.expecting(result).but_found(&inputs[residual]));
            }
        }
        Ok(if self.activates() { vec![result, sums] } else { vec![result] })
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (y, sums) = reference::forward(self, inputs);
        if self.activates() { vec![y, sums] } else { vec![y] }
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(self, step, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        gradient::backward(self, graph, adjoint)
    }
}
