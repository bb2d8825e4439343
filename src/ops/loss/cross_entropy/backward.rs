//! The gradient of logits: `d_logits[c] = (exp(logits[c] - lse) - q_c) upstream / counted`, where `q` is the smoothed target distribution
//! and `counted` the number of rows whose target counts; plus `exp(logits[c] - lse) lse_upstream` where the log-sum-exp was handed out.

use super::{CrossEntropy, check_rows};
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, wgsl};
use crate::ops::contract::Contract;
use crate::ops::loss::check_upstream;
use crate::ops::loss::total::{Divisor, total};
use crate::ops::rows::{self, Rows};
use crate::tensor::{Array, DType, Real, TensorDesc};

const NAME: &str = "loss/cross_entropy_backward";

/// Appends the gradient of `logits: [.., classes]` for `[logits, targets, lse, upstream]`, the last two the forward pass's log-sum-exps and
/// the gradient of the loss, f32 of shape `[1]`; and for `lse_upstream`, of the shape of lse, where that is part of a loss, too. Rows whose
/// target does not count get 0.
pub(super) fn append(
    graph: &mut Graph,
    spec: &CrossEntropy,
    inputs: [Value; 4],
    lse_upstream: Option<Value>,
) -> Result<Value> {
    let inputs: Vec<Value> = inputs.into_iter().chain(lse_upstream).collect();
    graph.push_builtin_one(CrossEntropyBackward(*spec), &inputs)
}

#[derive(Clone, Copy, Debug)]
struct CrossEntropyBackward(CrossEntropy);

impl Op for CrossEntropyBackward {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        let rows = check_rows(&contract, &self.0, &inputs[0], &inputs[1])?;
        for (argument, desc) in [("lse", Some(&inputs[2])), ("lse_upstream", inputs.get(4))] {
            let Some(desc) = desc else { continue };
            contract.same(argument, desc, "targets", &rows)?;
        }
        check_upstream(&contract, &inputs[3])?;
        Ok(vec![inputs[0].clone()])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let [logits, targets, lse, upstream] = [0, 1, 2, 3].map(|i| inputs[i]);
        let smoothing = f64::from(self.0.label_smoothing);
        let classes = logits.dims()[logits.dims().len() - 1];
        let counts = |target: i64| (0..classes as i64).contains(&target);
        let counted = targets.indices().iter().filter(|&&target| counts(target)).count();
        let factor = upstream.reals()[0] / R::of(counted.max(1) as f64);
        let q = |c: usize, target: i64| {
            let hot = if c as i64 == target { 1.0 - smoothing } else { 0.0 };
            R::of(hot + smoothing / classes as f64)
        };
        let mut d = Vec::with_capacity(logits.reals().len());
        for (row, (x, &target)) in rows::slices(logits).zip(targets.indices()).enumerate() {
            let d_lse = inputs.get(4).map_or(R::zero(), |upstream| upstream.reals()[row]);
            d.extend(x.iter().enumerate().map(|(c, &x)| {
                let p = (x - lse.reals()[row]).exp();
                if counts(target) { (p - q(c, target)) * factor + p * d_lse } else { R::zero() }
            }));
        }
        vec![Array::real(logits.shape().clone(), d)]
    }

    /// One workgroup counts the targets, then there is one for each row.
    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let (logits, rows) = (&step.inputs[0], Rows::of(NAME, &step.inputs[0])?);
        let factor = Operand::Scratch(0);
        let classes = rows.width * rows.lanes;
        let counted = Divisor::Targets { targets: Operand::Input(1), rows: rows.rows, classes };
        let d_logits =
            Kernel::new(NAME, [wgsl!("loss/cross_entropy/backward.wgsl"), wgsl!("lib/weight.wgsl")])
                .constant("LANES", rows.lanes)
                .read("targets", Operand::Input(1), DType::U32)
                .read("lse", Operand::Input(2), DType::F32)
                .read("factor", factor, DType::F32)
                .read_if("lse_upstream", (step.inputs.len() > 4).then_some(Operand::Input(4)), DType::F32)
                .lanes(rows.lanes)
                .read("logits", Operand::Input(0), logits.dtype)
                .write("d_logits", Operand::Output(0), logits.dtype)
                .params(self.0.params(&rows))
                .walks(rows.width, 1)
                .per_row(rows.rows, caps);
        let total = total(NAME, (Operand::Input(3), 1), counted, factor, caps);
        let kernel = format!("{NAME} x{}, a workgroup a row", rows.lanes);
        Ok(Lowered::rows(kernel, vec![total, d_logits], vec![4], caps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::ops::differences::{assert_gradient, dot, random};
    use crate::ops::loss::cross_entropy::CrossEntropyOp;

    #[test]
    fn is_the_slope_of_the_loss() {
        let targets = Array::index([4], vec![2, -100, 0, 5]);
        for smoothing in [0.0, 0.25] {
            let spec = CrossEntropy::new().label_smoothing(smoothing);
            let forward = |logits: &Array<f64>| CrossEntropyOp(spec).reference(&[logits, &targets]);
            let logits = random([4, 5], 1);
            let lse = forward(&logits).remove(1);
            let (upstream, d_lse) = (Array::real([1], vec![-1.5]), random([4], 2));
            let d = CrossEntropyBackward(spec).reference(&[&logits, &targets, &lse, &upstream, &d_lse]);
            assert_gradient(&d[0], &logits, |x| {
                let outputs = forward(x);
                -1.5 * outputs[0].reals()[0] + dot(&outputs[1], &d_lse)
            });
        }
    }

    #[test]
    fn arguments_that_do_not_fit_are_refused() {
        for (lse, upstream, argument, wrong) in [
            (TensorDesc::f32([3]), TensorDesc::f32([1]), "lse", ErrorKind::Shape),
            (TensorDesc::f16([2]), TensorDesc::f32([1]), "lse", ErrorKind::Dtype),
            (TensorDesc::f32([2]), TensorDesc::f32([2]), "upstream", ErrorKind::Shape),
        ] {
            let inputs = [TensorDesc::f32([2, 3]), TensorDesc::i32([2]), lse, upstream];
            let error = CrossEntropyBackward(CrossEntropy::new()).contract(&inputs).unwrap_err();
            assert_eq!((error.op(), error.kind(), error.argument()), (NAME, wrong, argument));
        }
    }
}
