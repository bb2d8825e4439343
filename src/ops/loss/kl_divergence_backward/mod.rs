//! The gradients of [`kl_divergence`](super::kl_divergence()): `d_student = -p upstream / rows` and
//! `d_target = p (ln p - ln q + 1) upstream / rows`.

#[cfg(feature = "check")]
mod cases;

use super::kl_divergence::{check, rows};
use super::pair;
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, wgsl};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "loss/kl_divergence_backward";

/// The gradients of [`kl_divergence`](super::kl_divergence()) with respect to `student` and `target`, of their shape and type,
/// for `upstream`, f32 of shape `[1]`, the gradient of the loss. One that nothing reads is not computed.
/// Fails as the forward pass does, and when upstream is not one f32.
pub fn kl_divergence_backward(
    graph: &mut Graph,
    student: Value,
    target: Value,
    upstream: Value,
) -> Result<(Value, Value)> {
    let outputs = graph.push_builtin(KlDivergenceBackward, &[student, target, upstream])?;
    Ok((outputs[0], outputs[1]))
}

#[derive(Clone, Copy, Debug)]
struct KlDivergenceBackward;

impl Op for KlDivergenceBackward {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        check(NAME, inputs, true)?;
        Ok(inputs[..2].to_vec())
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (student, target) = (inputs[0], inputs[1]);
        let factor = inputs[2].reals()[0] / R::of(rows(student.dims()) as f64);
        let d_student = target.map(|p| -p.exp() * factor);
        let pairs = student.reals().iter().zip(target.reals());
        let d_target = pairs.map(|(&q, &p)| p.exp() * (p - q + R::one()) * factor).collect();
        vec![d_student, Array::real(target.shape().clone(), d_target)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let rows = rows(step.inputs[0].shape.dims());
        pair::lower_backward(NAME, wgsl!("loss/kl_divergence_backward/slopes.wgsl"), rows, step, caps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::loss::kl_divergence::KlDivergence;

    #[test]
    fn is_the_slope_of_the_loss() {
        pair::tests::assert_slopes(&KlDivergence, &KlDivergenceBackward);
    }
}
