//! Cross-entropy of classes, fused with the softmax before it: the mean over rows of `-ln softmax(logits)[target]`, which is
//! `lse - logits[target]` for `lse = ln sum_c exp(logits[c])`.
//!
//! With label smoothing `e` (Szegedy et al., arXiv 1512.00567, section 7) the target distribution is
//! `q_c = (1 - e) [c = target] + e / classes`, and a row's loss `lse - sum_c q_c logits[c]`.

mod backward;
#[cfg(feature = "check")]
mod cases;

use super::total::{Divisor, total};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Dispatch, Kernel, Lowered, Operand, params, wgsl};
use crate::ops::contract::Contract;
use crate::ops::fill;
use crate::ops::rows::{self, Rows};
use crate::tensor::{Array, DType, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

/// What steps of it are called.
pub(crate) const NAME: &str = "loss/cross_entropy";

params! {
    /// `width` is in packs.
    struct ClassParams {
        width: u32,
        classes: u32,
        smoothing: f32,
    }
}

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

    fn params(&self, rows: &Rows) -> ClassParams {
        let classes = rows.width * rows.lanes;
        ClassParams { width: rows.width, classes, smoothing: self.label_smoothing }
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

/// The descriptor of one number for each row of logits, after checking smoothing, logits and targets.
fn check_rows(
    contract: &Contract,
    spec: &CrossEntropy,
    logits: &TensorDesc,
    targets: &TensorDesc,
) -> Result<TensorDesc> {
    if !(0.0..=1.0).contains(&spec.label_smoothing) {
        return Err(contract
            .argument_error("label_smoothing")
            .expecting("a number from 0 to 1")
            .but_found(spec.label_smoothing));
    }
    rows::check(contract, "logits", logits)?;
    contract.integer("targets", targets)?;
    let dims = logits.shape.dims();
    let rows = TensorDesc::f32(&dims[..dims.len() - 1]);
    if dims[dims.len() - 1] == 0 {
        return Err(contract.shape_error("logits").expecting("at least one class").but_found(&logits.shape));
    }
    if targets.shape != rows.shape {
        return Err(contract
            .shape_error("targets")
            .expecting(format!("{} as of logits", rows.shape))
            .but_found(&targets.shape));
    }
    Ok(rows)
}

#[derive(Clone, Copy, Debug)]
struct CrossEntropyOp(CrossEntropy);

impl Op for CrossEntropyOp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["logits", "targets"])?;
        Ok(vec![TensorDesc::f32([1]), check_rows(&contract, &self.0, &inputs[0], &inputs[1])?])
    }

    /// The mean loss of the rows that count, and every row's log-sum-exp.
    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (logits, targets) = (inputs[0], inputs[1]);
        let classes = logits.dims()[logits.dims().len() - 1];
        let (smoothing, spread_over) = (R::of(self.0.label_smoothing.into()), R::of(classes as f64));
        let (mut total, mut counted) = (R::zero(), 0);
        let mut lse = vec![R::zero(); targets.indices().len()];
        for ((x, &target), lse) in rows::slices(logits).zip(targets.indices()).zip(&mut lse) {
            let Some(target) = usize::try_from(target).ok().filter(|&target| target < classes) else {
                continue;
            };
            let max = x.iter().copied().fold(x[0], R::max);
            let log_sum = x.iter().map(|&x| (x - max).exp()).sum::<R>().ln();
            // -ln p of a class.
            let surprise = |x: R| log_sum + (max - x);
            total += (R::one() - smoothing) * surprise(x[target]);
            if smoothing > R::zero() {
                total += smoothing * x.iter().map(|&x| surprise(x)).sum::<R>() / spread_over;
            }
            *lse = max + log_sum;
            counted += 1;
        }
        let mean = total / R::of(f64::from(counted.max(1)));
        vec![Array::real([1], vec![mean]), Array::real(targets.shape().clone(), lse)]
    }

    /// A workgroup for each row, which writes its loss to scratch, and one that adds them.
    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let rows = Rows::of(NAME, &step.inputs[0])?;
        let mut dispatches = vec![row_losses(&self.0, step, &rows, caps)];
        if step.wanted[0] {
            let classes = rows.width * rows.lanes;
            let counted = Divisor::Targets { targets: Operand::Input(1), rows: rows.rows, classes };
            let losses = (Operand::Scratch(0), rows.rows);
            dispatches.push(total(NAME, losses, counted, Operand::Output(0), caps));
        }
        let kernel = format!("{NAME} x{}, a workgroup a row, read once", rows.lanes);
        Ok(Lowered::rows(kernel, dispatches, vec![u64::from(rows.rows.max(1)) * 4], caps))
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let (&[logits, targets], &[_, lse]) = (adjoint.inputs(), adjoint.outputs()) else {
            return Ok(Vec::new());
        };
        if !adjoint.wants(0) {
            return Ok(vec![Gradient::None; 2]);
        }
        let upstream = match adjoint.upstream(0) {
            Some(upstream) => upstream,
            None => fill(graph, TensorDesc::f32([1]), 0.0)?,
        };
        let inputs = [logits, targets, lse, upstream];
        let d_logits = backward::append(graph, &self.0, inputs, adjoint.upstream(1))?;
        Ok(vec![Gradient::Whole(d_logits), Gradient::None])
    }
}

fn row_losses(spec: &CrossEntropy, step: &StepDesc, rows: &Rows, caps: &Caps) -> Dispatch {
    Kernel::new(NAME, [wgsl!("loss/cross_entropy/forward.wgsl"), wgsl!("lib/weight.wgsl")])
        .constant("LANES", rows.lanes)
        .constant("SMOOTHS", spec.label_smoothing > 0.0)
        .read("targets", Operand::Input(1), DType::U32)
        .write("row_losses", Operand::Scratch(0), DType::F32)
        .write_if("lse", step.wanted[1].then_some(Operand::Output(1)), DType::F32)
        .lanes(rows.lanes)
        .read("logits", Operand::Input(0), step.inputs[0].dtype)
        .params(spec.params(rows))
        .walks(rows.width, 1)
        .per_row(rows.rows, caps)
}
