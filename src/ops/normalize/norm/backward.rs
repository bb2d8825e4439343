//! The gradients of x, weight and bias.
//!
//! For deviations `d` of a row of `x`, its factor `r = 1 / sqrt(mean d^2 + eps)`, `n = d r` and `g = upstream weight`:
//!
//! ```text
//! dx = r (g - mean g - n mean(g n))      without `mean g` where no mean was taken off
//! d_weight = sum over rows of upstream n          d_bias = sum over rows of upstream
//! ```
//!
//! After a residual connection `x` is the sum `x + residual`, and `dx` the gradient of both.

use super::{Kind, check_row_and_weight, kernels, reference};
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, Real, TensorDesc};

/// Appends the gradients of `x`, `weight` and, where a mean was taken off, the bias, for `[x, weight, upstream]`: `[.., width]`, `[width]`
/// and the gradient of the result. `sum_upstream`, of x's shape, is the gradient of the sum where that was handed out, and part of `dx`.
/// Gradients that nothing reads are not computed. Statistics and sums are f32 whatever the storage.
pub(super) fn append(
    graph: &mut Graph,
    kind: Kind,
    eps: f32,
    inputs: [Value; 3],
    sum_upstream: Option<Value>,
) -> Result<Vec<Value>> {
    let op = NormBackward { kind, eps, has_sum: sum_upstream.is_some() };
    graph.push_builtin(op, &inputs.into_iter().chain(sum_upstream).collect::<Vec<_>>())
}

/// Inputs are x, weight, upstream, and the upstream of a sum that was handed out; outputs are the gradients of x, weight and bias.
#[derive(Clone, Copy, Debug)]
pub(super) struct NormBackward {
    pub(super) kind: Kind,
    pub(super) eps: f32,
    pub(super) has_sum: bool,
}

impl Op for NormBackward {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Layer => "normalize/layer_norm_backward",
            Kind::Rms => "normalize/rms_norm_backward",
        }
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let (x, weight) = (&inputs[0], &inputs[1]);
        let contract = check_row_and_weight(self.name(), self.eps, x, weight)?;
        for (argument, desc) in ["upstream", "sum_upstream"].into_iter().zip(&inputs[2..]) {
            contract.same(argument, desc, "x", x)?;
        }
        let parameters = std::iter::repeat_n(weight, 1 + usize::from(self.kind.is_centred()));
        Ok(std::iter::once(x).chain(parameters).cloned().collect())
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        reference::backward(self.kind, self.eps, inputs)
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::backward(self, step, caps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::ops::differences::{assert_gradient, dot, random};
    use crate::ops::normalize::norm::Norm;

    /// With a residual, and with a bias where there is one.
    #[test]
    fn is_the_slope_of_the_forward_pass() {
        for kind in [Kind::Layer, Kind::Rms] {
            let forward = Norm { kind, eps: 0.5, bias: kind.is_centred(), residual: true };
            let backward = NormBackward { kind, eps: 0.5, has_sum: true };
            let (x, residual) = (random([3, 5], 1), random([3, 5], 2));
            let (weight, bias) = (random([5], 3), random([5], 4));
            let (dy, d_sum) = (random([3, 5], 5), random([3, 5], 6));
            let loss = |x: &Array<f64>, weight: &Array<f64>, bias: &Array<f64>| {
                let inputs = match kind {
                    Kind::Layer => vec![x, weight, bias, &residual],
                    Kind::Rms => vec![x, weight, &residual],
                };
                let outputs = forward.reference(&inputs);
                dot(&outputs[0], &dy) + dot(&outputs[1], &d_sum)
            };
            let sums = x.reals().iter().zip(residual.reals()).map(|(x, r)| x + r).collect();
            let d = backward.reference(&[&Array::real([3, 5], sums), &weight, &dy, &d_sum]);
            assert_eq!(d.len(), 2 + usize::from(kind.is_centred()));
            assert_gradient(&d[0], &x, |x| loss(x, &weight, &bias));
            assert_gradient(&d[1], &weight, |weight| loss(&x, weight, &bias));
            if let Some(d_bias) = d.get(2) {
                assert_gradient(d_bias, &bias, |bias| loss(&x, &weight, bias));
            }
        }
    }

    #[test]
    fn upstream_is_of_the_shape_and_type_of_x() {
        for kind in [Kind::Layer, Kind::Rms] {
            let backward = NormBackward { kind, eps: 1e-5, has_sum: false };
            for (upstream, wrong) in
                [(TensorDesc::f32([3]), ErrorKind::Shape), (TensorDesc::f16([2, 3]), ErrorKind::Dtype)]
            {
                let inputs = [TensorDesc::f32([2, 3]), TensorDesc::f32([3]), upstream];
                let error = backward.contract(&inputs).unwrap_err();
                assert_eq!(
                    (error.op(), error.kind(), error.argument()),
                    (backward.name(), wrong, "upstream")
                );
            }
        }
    }
}
