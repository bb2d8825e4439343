//! The gradient of the log-probabilities: beta of all frames and states first, then the sums over states of the same label.

use super::{Ctc, check, kernels, reference};
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::contract::Contract;
use crate::tensor::{Array, Real, TensorDesc};

/// Appends it for the four inputs, both outputs, and the gradient of the losses.
pub(super) fn append(graph: &mut Graph, spec: Ctc, inputs: &[Value]) -> Result<Value> {
    graph.push_builtin_one(CtcBackward(spec), inputs)
}

#[derive(Clone, Copy, Debug)]
struct CtcBackward(Ctc);

impl Op for CtcBackward {
    fn name(&self) -> &'static str {
        "loss/ctc_backward"
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(self.name());
        let names = ["logits", "targets", "frames", "labels", "losses", "alpha", "upstream"];
        contract.count(inputs, &names)?;
        let [batch, frames, _, states] = check(self.name(), &self.0, &inputs[..4])?;
        contract.same("losses", &inputs[4], "the batch", &TensorDesc::f32([batch]))?;
        contract.same("alpha", &inputs[5], "the states", &TensorDesc::f32([batch, frames, states]))?;
        contract.same("upstream", &inputs[6], "the batch", &TensorDesc::f32([batch]))?;
        Ok(vec![inputs[0].clone()])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![reference::backward(&self.0, inputs)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::backward(&self.0, step, caps)
    }
}
