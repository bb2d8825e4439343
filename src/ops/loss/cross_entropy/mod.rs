//! Cross-entropy of classes, fused with the softmax before it: the mean over rows of `-ln softmax(logits)[target]`, which is
//! `lse - logits[target]` for `lse = ln sum_c exp(logits[c])`.
//!
//! With label smoothing `e` (Szegedy et al., arXiv 1512.00567, section 7) the target distribution is
//! `q_c = (1 - e) [c = target] + e / classes`, and a row's loss `lse - sum_c q_c logits[c]`.

#[cfg(feature = "check")]
mod cases;
mod kernels;
mod reference;

use super::cross_entropy_backward::cross_entropy_backward;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::contract::Contract;
use crate::ops::fill;
use crate::tensor::{Array, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

#[cfg(feature = "check")]
pub(super) use cases::setups;

const NAME: &str = "loss/cross_entropy";

/// Settings of [`cross_entropy`].
#[derive(Clone, Copy, Debug, Default)]
pub struct CrossEntropy {
    label_smoothing: f32,
}

impl CrossEntropy {
    /// No smoothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// How much of each target's weight is spread evenly over all classes, from 0 to 1: `label_smoothing` of PyTorch.
    #[must_use]
    pub fn label_smoothing(self, label_smoothing: f32) -> Self {
        Self { label_smoothing }
    }

    pub(super) fn smoothing(&self) -> f32 {
        self.label_smoothing
    }

    /// Refuses a smoothing that is no share.
    pub(super) fn check(&self, op: &'static str) -> Result<()> {
        if (0.0..=1.0).contains(&self.label_smoothing) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Argument, op, "label_smoothing")
            .expecting("a number from 0 to 1")
            .but_found(self.label_smoothing))
    }
}

/// Mean over rows of `-ln softmax(logits)[target]`, f32 of shape `[1]`, for `logits: [.., classes]`, f32 or f16, and `targets`,
/// i32 or u32 of the leading shape.
///
/// Targets outside `0..classes` do not count, among them PyTorch's `ignore_index` of -100: the mean is over the others, and 0
/// where there are none. The probabilities are not stored. Statistics are f32 whatever the storage; a loss beyond f32 is not
/// defined, and with label smoothing every logit is part of it.
///
/// Fails when shapes or types do not fit, there are no classes, or the smoothing lies outside 0 to 1.
pub fn cross_entropy(graph: &mut Graph, logits: Value, targets: Value, spec: &CrossEntropy) -> Result<Value> {
    Ok(cross_entropy_with_lse(graph, logits, targets, spec)?.0)
}

/// [`cross_entropy`], and the natural log-sum-exp of every row of logits: f32 of the leading shape, 0 for a row whose target
/// does not count.
pub fn cross_entropy_with_lse(
    graph: &mut Graph,
    logits: Value,
    targets: Value,
    spec: &CrossEntropy,
) -> Result<(Value, Value)> {
    let outputs = graph.push_builtin(CrossEntropyOp(*spec), &[logits, targets])?;
    Ok((outputs[0], outputs[1]))
}

/// The descriptor of one number for each row of logits, after checking logits and targets.
pub(super) fn check_rows(
    contract: &Contract,
    logits: &TensorDesc,
    targets: &TensorDesc,
) -> Result<TensorDesc> {
    contract.float("logits", logits)?;
    contract.integer("targets", targets)?;
    let Some((&classes, leading)) = logits.shape.dims().split_last() else {
        return Err(contract.shape_error("logits").expecting("at least one axis").but_found("a scalar"));
    };
    if classes == 0 {
        return Err(contract.shape_error("logits").expecting("at least one class").but_found(&logits.shape));
    }
    let rows = TensorDesc::f32(leading);
    if targets.shape != rows.shape {
        return Err(contract
            .shape_error("targets")
            .expecting(format!("{} as of logits", rows.shape))
            .but_found(&targets.shape));
    }
    Ok(rows)
}

#[derive(Clone, Copy, Debug)]
pub(super) struct CrossEntropyOp(pub(super) CrossEntropy);

impl Op for CrossEntropyOp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        self.0.check(NAME)?;
        let contract = Contract::new(NAME);
        contract.count(inputs, &["logits", "targets"])?;
        Ok(vec![TensorDesc::f32([1]), check_rows(&contract, &inputs[0], &inputs[1])?])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (loss, lse) = reference::forward(inputs[0], inputs[1], self.0.label_smoothing.into());
        vec![loss, lse]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(&self.0, step, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let (&[logits, targets], &[_, lse]) = (adjoint.inputs(), adjoint.outputs()) else {
            return Ok(Vec::new());
        };
        if !adjoint.wants(0) {
            return Ok(vec![Gradient::None; 2]);
        }
        let lse_upstream = adjoint.upstream(1);
        let upstream = match adjoint.upstream(0) {
            Some(upstream) => upstream,
            None => fill(graph, TensorDesc::f32([1]), 0.0)?,
        };
        let d_logits = cross_entropy_backward(graph, logits, targets, lse, upstream, lse_upstream, &self.0)?;
        Ok(vec![Gradient::Whole(d_logits), Gradient::None])
    }
}
