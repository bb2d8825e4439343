//! Connectionist temporal classification (Graves et al., "Connectionist Temporal Classification: Labelling Unsegmented Sequence Data with Recurrent
//! Neural Networks", ICML 2006, section 4): the negative logarithm of the probability of all alignments of a target with the frames.
//!
//! States of an alignment are the labels with a blank before, between and behind them. In logarithms, for `lp` the log-probabilities of frames:
//!
//! ```text
//! alpha[t, s] = lp[t, label(s)] + logsumexp(alpha[t-1, s], alpha[t-1, s-1], alpha[t-1, s-2] if label(s) is another label than label(s-2))
//! beta[t, s]  = logsumexp over the same s' that follow s of   beta[t+1, s'] + lp[t+1, label(s')]
//! loss = -logsumexp(alpha[T-1, last], alpha[T-1, last - 1])
//! d lp[t, v] = -sum over states of label v of exp(alpha[t, s] + beta[t, s] + loss)
//! ```
//!
//! A workgroup goes through an item's frames, its lanes through the states. What cannot be reached has a logarithm far below that of anything that
//! can, as infinities are no numbers to a shader.

mod backward;
#[cfg(feature = "check")]
mod cases;
mod kernels;
mod reference;

use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::contract::Contract;
use crate::ops::{cast, log_softmax};
use crate::tensor::{Array, DType, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "loss/ctc";

/// The loss of an item without any alignment: too few frames for its labels, and for a blank between two that are the same.
pub const IMPOSSIBLE_ALIGNMENT: f32 = 1e30;

/// Settings of [`ctc`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ctc {
    blank: u32,
    zero_infinity: bool,
}

impl Ctc {
    /// Symbol 0 is the blank, and an item without any alignment has the loss [`IMPOSSIBLE_ALIGNMENT`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Another blank.
    #[must_use]
    pub fn blank(self, blank: u32) -> Self {
        Self { blank, ..self }
    }

    /// An item without any alignment has a loss of 0, and a gradient of 0.
    #[must_use]
    pub fn zero_infinity(self) -> Self {
        Self { zero_infinity: true, ..self }
    }
}

/// What an item's target is, and how much of it and of the frames counts.
#[derive(Clone, Copy, Debug)]
pub struct Alignment {
    /// i32 `[batch, labels]`: symbols, of which those from the item's length on are not read.
    pub targets: Value,
    /// i32 `[batch]`: frames that each item really has. Numbers below 0 mean 0, and numbers above all frames mean all.
    pub frames: Value,
    /// i32 `[batch]`: labels that each item really has, likewise.
    pub labels: Value,
}

/// The loss of each item, f32 `[batch]`, for `logits: [batch, frames, symbols]`, f32 or f16, through a softmax over the symbols.
///
/// Symbols of targets are taken into `0..symbols`; the blank must not be one of them, which [`check_targets`] sees to before a run, as it does to
/// items without an alignment. Frames behind an item's length have a gradient of 0. Fails when shapes or types do not fit, there is not at least one
/// frame, symbol and label to hold, or the blank is no symbol. Devices take as many labels as two rows of their workgroup memory hold: 1023 where
/// that is 16 KiB.
pub fn ctc(graph: &mut Graph, logits: Value, alignment: &Alignment, spec: &Ctc) -> Result<Value> {
    let logits = match graph.desc(logits)?.dtype {
        DType::F16 => cast(graph, logits, DType::F32)?,
        _ => logits,
    };
    let log_probabilities = log_softmax(graph, logits)?;
    let Alignment { targets, frames, labels } = *alignment;
    Ok(graph.push_builtin(CtcOp(*spec), &[log_probabilities, targets, frames, labels])?[0])
}

/// Refuses targets that no alignment has: with a blank or another number than a symbol's among their labels, or, unless infinities are taken as 0, with
/// more labels than the item's `frames` can hold, counting a blank between two that are the same. `targets` are the labels of each item.
pub fn check_targets(targets: &[&[u32]], frames: &[usize], symbols: u32, spec: &Ctc) -> Result<()> {
    if targets.len() != frames.len() {
        return Err(Error::new(ErrorKind::Argument, NAME, "frames")
            .expecting(targets.len())
            .but_found(frames.len()));
    }
    for (item, (labels, &frames)) in targets.iter().zip(frames).enumerate() {
        let refused = || Error::new(ErrorKind::Argument, NAME, format!("target {item}"));
        if let Some(place) = labels.iter().position(|&label| label == spec.blank || label >= symbols) {
            return Err(refused()
                .expecting(format!("symbols below {symbols} other than the blank, {}", spec.blank))
                .but_found(format!("{} at label {place}", labels[place])));
        }
        let needed = labels.len() + labels.windows(2).filter(|pair| pair[0] == pair[1]).count();
        if needed > frames && !spec.zero_infinity {
            return Err(refused()
                .expecting(format!("at most what {frames} frames can hold"))
                .but_found(format!("{} labels, which need {needed} frames", labels.len())));
        }
    }
    Ok(())
}

/// Batch, frames, symbols and states, after checking the four inputs.
fn check(op: &'static str, spec: &Ctc, inputs: &[TensorDesc]) -> Result<[usize; 4]> {
    let mut contract = Contract::new(op).may_be_empty(&["batch"]);
    let arguments = ["targets", "frames", "labels"];
    contract.dtype("logits", &inputs[0], DType::F32)?;
    contract.bind("logits", &inputs[0], &["batch", "frames", "symbols"])?;
    let axes: [&[&'static str]; 3] = [&["batch", "labels"], &["batch"], &["batch"]];
    for ((argument, axes), desc) in arguments.into_iter().zip(axes).zip(&inputs[1..]) {
        contract.dtype(argument, desc, DType::I32)?;
        contract.bind(argument, desc, axes)?;
    }
    let [batch, frames, symbols] = ["batch", "frames", "symbols"].map(|axis| contract.extent(axis));
    if spec.blank as usize >= symbols {
        let error = contract.argument_error("blank");
        return Err(error.expecting(format!("one of {symbols} symbols")).but_found(spec.blank));
    }
    Ok([batch, frames, symbols, 2 * contract.extent("labels") + 1])
}

/// Inputs are log-probabilities, targets, frames and labels; outputs the losses, and alpha of all frames and states for the gradient.
#[derive(Clone, Copy, Debug)]
struct CtcOp(Ctc);

impl Op for CtcOp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let [batch, frames, _, states] = check(NAME, &self.0, inputs)?;
        Ok(vec![TensorDesc::f32([batch]), TensorDesc::f32([batch, frames, states])])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        reference::forward(&self.0, inputs)
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::forward(&self.0, step, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        adjoint.refuse_upstream(NAME, 1, "alpha")?;
        let mut gradients = vec![Gradient::None; adjoint.inputs().len()];
        if let Some(upstream) = adjoint.upstream(0).filter(|_| adjoint.wants(0)) {
            let inputs: Vec<Value> =
                adjoint.inputs().iter().chain(adjoint.outputs()).copied().chain([upstream]).collect();
            gradients[0] = Gradient::Whole(backward::append(graph, self.0, &inputs)?);
        }
        Ok(gradients)
    }
}
