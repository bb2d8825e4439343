//! Layer normalisation, `y = (s - mean s) / sqrt(variance s + eps) * weight + bias` (Ba, Kiros and Hinton, arXiv 1607.06450,
//! equation 4), of `s = x + residual`. The variance is the mean of squared deviations, taken in a second pass.

#[cfg(feature = "check")]
mod cases;

use super::layer_norm_backward::layer_norm_backward;
use super::{Norm, check_residual, inputs, kernels};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, wgsl};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "normalize/layer_norm";

/// Settings of [`layer_norm`].
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm {
    eps: f32,
    residual: Option<Value>,
}

impl LayerNorm {
    /// `eps` is added to the variance: a finite number of at least the smallest normal one.
    pub fn new(eps: f32) -> Self {
        Self { eps, residual: None }
    }

    /// A value of x's shape and type that is added to x first, in f32 and not rounded in between.
    #[must_use]
    pub fn residual(self, residual: Value) -> Self {
        Self { residual: Some(residual), ..self }
    }

    fn op(&self, bias: bool) -> LayerNormOp {
        LayerNormOp(Norm { op: NAME, eps: self.eps, bias, residual: self.residual.is_some() })
    }
}

/// Layer normalisation of `x: [.., width]` along its last axis, f32 or f16, with `weight` and `bias`: `[width]` of x's type.
///
/// Statistics are f32 whatever the storage; squares of deviations must not leave f32. A constant row gives exactly the bias.
/// Fails when shapes or types do not fit, or `eps` is not a finite, positive, normal number.
pub fn layer_norm(
    graph: &mut Graph,
    x: Value,
    weight: Value,
    bias: Option<Value>,
    spec: &LayerNorm,
) -> Result<Value> {
    let outputs = graph.push_builtin(spec.op(bias.is_some()), &inputs(x, weight, bias, spec.residual))?;
    Ok(outputs[0])
}

/// [`layer_norm`], and the sum `x + residual` that it normalised, rounded to x's type. Fails without a residual, too.
pub fn layer_norm_with_sum(
    graph: &mut Graph,
    x: Value,
    weight: Value,
    bias: Option<Value>,
    spec: &LayerNorm,
) -> Result<(Value, Value)> {
    check_residual(NAME, spec.residual)?;
    let outputs = graph.push_builtin(spec.op(bias.is_some()), &inputs(x, weight, bias, spec.residual))?;
    Ok((outputs[0], outputs[1]))
}

#[derive(Clone, Copy, Debug)]
pub(super) struct LayerNormOp(pub(super) Norm);

impl Op for LayerNormOp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        self.0.contract(inputs)
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let eps = R::of(self.0.eps.into());
        self.0.reference(inputs, |s| {
            let width = R::of(s.len() as f64);
            let mean = s.iter().copied().sum::<R>() / width;
            let variance = s.iter().map(|&s| (s - mean) * (s - mean)).sum::<R>() / width;
            s.iter().map(|&s| (s - mean) / (variance + eps).sqrt()).collect()
        })
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(&self.0, wgsl!("normalize/layer_norm/centre.wgsl"), step, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        self.0.backward(adjoint, |x, weight, upstream, sum_upstream| {
            let (dx, d_weight, d_bias) =
                layer_norm_backward(graph, x, weight, upstream, sum_upstream, self.0.eps)?;
            Ok((dx, d_weight, Some(d_bias)))
        })
    }
}
