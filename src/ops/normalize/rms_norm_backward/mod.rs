//! The gradients of [`rms_norm`](super::rms_norm()) with respect to what it normalised, and weight.

#[cfg(feature = "check")]
mod cases;

use super::backward::{NormBackward, inputs, lower};
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, wgsl};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "normalize/rms_norm_backward";

/// The gradients `(dx, d_weight)` of [`rms_norm`](super::rms_norm()) with `weight: [width]` of `x: [.., width]` along
/// its last axis, f32 or f16, for `upstream`, the gradient of its result, of x's shape and type.
///
/// After a residual connection `x` is the sum `x + residual`, and `dx` the gradient of both; `sum_upstream` is the gradient of the
/// sum itself where that was handed out, and part of `dx`. Gradients that nothing reads are not computed. Statistics and sums
/// are f32 whatever the storage. Fails when shapes or types do not fit, or `eps` is not a finite, positive, normal number.
pub fn rms_norm_backward(
    graph: &mut Graph,
    x: Value,
    weight: Value,
    upstream: Value,
    sum_upstream: Option<Value>,
    eps: f32,
) -> Result<(Value, Value)> {
    let op = RmsNormBackward(norm(eps, sum_upstream.is_some()));
    let outputs = graph.push_builtin(op, &inputs(x, weight, upstream, sum_upstream))?;
    Ok((outputs[0], outputs[1]))
}

fn norm(eps: f32, carried: bool) -> NormBackward {
    NormBackward { op: NAME, eps, centred: false, carried }
}

#[derive(Clone, Copy, Debug)]
struct RmsNormBackward(NormBackward);

impl Op for RmsNormBackward {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        self.0.contract(inputs)
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        self.0.reference(inputs)
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let of_op =
            (wgsl!("normalize/rms_norm/centre.wgsl"), wgsl!("normalize/rms_norm_backward/level.wgsl"));
        lower(&self.0, of_op, step, caps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::normalize::Norm;
    use crate::ops::normalize::backward::assert_slopes;
    use crate::ops::normalize::rms_norm::RmsNormOp;

    #[test]
    fn is_the_slope_of_the_forward_pass() {
        let forward = RmsNormOp(Norm { op: NAME, eps: 0.5, bias: false, residual: true });
        assert_slopes(&forward, norm(0.5, true));
    }
}
