//! Ops that bring every row, along the last axis, to one size. [`layer_norm()`] and [`rms_norm()`] share contract and kernels.
//!
//! | op | result, `s = x + residual` |
//! |---|---|
//! | [`layer_norm()`] | `(s - mean s) / sqrt(variance s + eps) * weight + bias` |
//! | [`rms_norm()`] | `s / sqrt(mean s^2 + eps) * weight` |
//! | [`l2_normalize()`] | `x / max(norm x, eps)` |

mod backward;
#[cfg(feature = "check")]
mod cases;
mod kernels;
pub(crate) mod l2_normalize;
pub(crate) mod l2_normalize_backward;
pub(crate) mod layer_norm;
pub(crate) mod layer_norm_backward;
pub(crate) mod rms_norm;
pub(crate) mod rms_norm_backward;

use super::contract::Contract;
use super::rows;
use crate::graph::{Adjoint, Gradient, Value};
use crate::tensor::{Array, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

pub use l2_normalize::l2_normalize;
pub use l2_normalize_backward::l2_normalize_backward;
pub use layer_norm::{LayerNorm, layer_norm, layer_norm_with_sum};
pub use layer_norm_backward::layer_norm_backward;
pub use rms_norm::{RmsNorm, rms_norm, rms_norm_with_sum};
pub use rms_norm_backward::rms_norm_backward;

/// Settings and optional arguments of one call. Inputs are x, weight, bias, residual, as far as they are there. With a residual the
/// second output is the sum, which the backward pass starts from: written where it is read.
#[derive(Clone, Copy, Debug)]
struct Norm {
    op: &'static str,
    eps: f32,
    bias: bool,
    residual: bool,
}

impl Norm {
    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        check_eps(self.op, self.eps)?;
        let mut contract = Contract::new(self.op).may_be_empty(&["rows", "width"]);
        let x = &inputs[0];
        rows::check(&contract, "x", x)?;
        let width = x.shape.dims()[x.shape.rank() - 1];
        contract.bind("x", &TensorDesc::new(x.dtype, [width]), &["width"])?;
        for (argument, desc) in ["weight", "bias"].into_iter().zip(&inputs[1..2 + usize::from(self.bias)]) {
            contract.dtype(argument, desc, x.dtype)?;
            contract.bind(argument, desc, &["width"])?;
        }
        if let Some(residual) = self.residual_of(inputs) {
            contract.dtype("residual", residual, x.dtype)?;
            if residual.shape != x.shape {
                return Err(contract
                    .shape_error("residual")
                    .expecting(format!("{} as of x", x.shape))
                    .but_found(&residual.shape));
            }
        }
        Ok(vec![x.clone(); 1 + usize::from(self.residual)])
    }

    fn bias_of<'a, T>(&self, inputs: &'a [T]) -> Option<&'a T> {
        inputs.get(2).filter(|_| self.bias)
    }

    fn residual_of<'a, T>(&self, inputs: &'a [T]) -> Option<&'a T> {
        inputs.last().filter(|_| self.residual)
    }

    /// The gradients of a step's inputs by `op`, which makes those of x and weight, and of the bias where there is one.
    fn backward(
        &self,
        adjoint: &Adjoint,
        op: impl FnOnce(Value, Value, Value, Option<Value>) -> Result<(Value, Value, Option<Value>)>,
    ) -> Result<Vec<Gradient>> {
        let inputs = adjoint.inputs();
        // What was normalised: the sum, where there is one.
        let (x, sum_upstream) = match adjoint.outputs() {
            &[_, sum] => (sum, adjoint.upstream(1)),
            _ => (inputs[0], None),
        };
        let (dx, d_weight, d_bias) = match adjoint.upstream(0) {
            Some(upstream) => {
                let (dx, d_weight, d_bias) = op(x, inputs[1], upstream, sum_upstream)?;
                (Some(dx), Some(d_weight), d_bias)
            }
            None => (sum_upstream, None, None),
        };
        let gradients = [dx, d_weight].into_iter().chain(self.bias.then_some(d_bias));
        let gradients = gradients.chain(self.residual.then_some(dx)).enumerate();
        Ok(gradients
            .map(|(i, d)| d.filter(|_| adjoint.wants(i)).map_or(Gradient::None, Gradient::Whole))
            .collect())
    }

    /// Every row of `x + residual` through `normalised`, then scaled by the weight and shifted by the bias.
    fn reference<R: Real>(&self, inputs: &[&Array<R>], normalised: impl Fn(&[R]) -> Vec<R>) -> Vec<Array<R>> {
        let (x, weight) = (inputs[0], inputs[1].reals());
        let s: Vec<R> = match self.residual_of(inputs) {
            Some(residual) => x.reals().iter().zip(residual.reals()).map(|(&x, &r)| x + r).collect(),
            None => x.reals().to_vec(),
        };
        let mut y = Vec::with_capacity(s.len());
        for row in s.chunks(weight.len().max(1)) {
            let scaled = normalised(row).into_iter().zip(weight).map(|(n, &weight)| n * weight);
            match self.bias_of(inputs) {
                Some(bias) => y.extend(scaled.zip(bias.reals()).map(|(y, &bias)| y + bias)),
                None => y.extend(scaled),
            }
        }
        let outputs = [y, s].into_iter().take(1 + usize::from(self.residual));
        outputs.map(|reals| Array::real(x.shape().clone(), reals)).collect()
    }
}

/// Refuses to hand out a sum of one value.
fn check_residual(op: &'static str, residual: Option<Value>) -> Result<()> {
    if residual.is_some() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Argument, op, "residual").expecting("a value to add").but_found("none"))
}

fn inputs(x: Value, weight: Value, bias: Option<Value>, residual: Option<Value>) -> Vec<Value> {
    [x, weight].into_iter().chain(bias).chain(residual).collect()
}

/// Refuses what is not above 0, or so small that a device may take it for 0.
fn check_eps(op: &'static str, eps: f32) -> Result<()> {
    if eps.is_normal() && eps > 0.0 {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Argument, op, "eps")
        .expecting(format!("a finite number of at least {:e}", f32::MIN_POSITIVE))
        .but_found(eps))
}
