//! Normalisation by the root mean square, `y = s / sqrt(mean s^2 + eps) * weight` (Zhang and Sennrich, arXiv 1910.07467,
//! equation 4), of `s = x + residual`.

#[cfg(feature = "check")]
mod cases;

use super::rms_norm_backward::rms_norm_backward;
use super::{Norm, check_residual, inputs, kernels};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, wgsl};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "normalize/rms_norm";

/// Settings of [`rms_norm`].
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm {
    eps: f32,
    residual: Option<Value>,
}

impl RmsNorm {
    /// `eps` is added to the mean square: a finite number of at least the smallest normal one.
    pub fn new(eps: f32) -> Self {
        Self { eps, residual: None }
    }

    /// A value of x's shape and type that is added to x first, in f32 and not rounded in between.
    #[must_use]
    pub fn residual(self, residual: Value) -> Self {
        Self { residual: Some(residual), ..self }
    }

    fn op(&self) -> RmsNormOp {
        RmsNormOp(Norm { op: NAME, eps: self.eps, bias: false, residual: self.residual.is_some() })
    }
}

/// Normalisation of `x: [.., width]` by the root mean square along its last axis, f32 or f16, with `weight: [width]` of x's
/// type.
///
/// Statistics are f32 whatever the storage; squares must not leave f32. Fails when shapes or types do not fit, or `eps` is not
/// a finite, positive, normal number.
pub fn rms_norm(graph: &mut Graph, x: Value, weight: Value, spec: &RmsNorm) -> Result<Value> {
    Ok(graph.push_builtin(spec.op(), &inputs(x, weight, None, spec.residual))?[0])
}

/// [`rms_norm`], and the sum `x + residual` that it normalised, rounded to x's type. Fails without a residual, too.
pub fn rms_norm_with_sum(
    graph: &mut Graph,
    x: Value,
    weight: Value,
    spec: &RmsNorm,
) -> Result<(Value, Value)> {
    check_residual(NAME, spec.residual)?;
    let outputs = graph.push_builtin(spec.op(), &inputs(x, weight, None, spec.residual))?;
    Ok((outputs[0], outputs[1]))
}

#[derive(Clone, Copy, Debug)]
pub(super) struct RmsNormOp(pub(super) Norm);

impl Op for RmsNormOp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        self.0.contract(inputs)
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let eps = R::of(self.0.eps.into());
        self.0.reference(inputs, |s| {
            let mean_square = s.iter().map(|&s| s * s).sum::<R>() / R::of(s.len() as f64);
            s.iter().map(|&s| s / (mean_square + eps).sqrt()).collect()
        })
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(&self.0, wgsl!("normalize/rms_norm/centre.wgsl"), step, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        self.0.backward(adjoint, |x, weight, upstream, sum_upstream| {
            let (dx, d_weight) = rms_norm_backward(graph, x, weight, upstream, sum_upstream, self.0.eps)?;
            Ok((dx, d_weight, None))
        })
    }
}
