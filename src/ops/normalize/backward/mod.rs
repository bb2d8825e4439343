//! Contract, reference and kernels shared by the backward passes of [`layer_norm`](super::layer_norm()) and
//! [`rms_norm`](super::rms_norm()).
//!
//! For deviations `d` of a row of `x`, its factor `r = 1 / sqrt(mean d^2 + eps)`, `n = d r` and `g = upstream weight`:
//!
//! ```text
//! dx = r (g - mean g - n mean(g n))      without `mean g` where no mean was taken off
//! d_weight = sum over rows of upstream n          d_bias = sum over rows of upstream
//! ```

#[cfg(feature = "check")]
mod cases;
mod kernels;
mod reference;
#[cfg(test)]
mod tests;

use super::check_eps;
use crate::Result;
use crate::graph::Value;
use crate::ops::contract::Contract;
use crate::ops::rows;
use crate::tensor::TensorDesc;

#[cfg(feature = "check")]
pub(super) use cases::{Call, cases_of};
pub(super) use kernels::lower;

#[cfg(test)]
pub(super) use tests::assert_slopes;

/// One call. Inputs are x, weight, upstream, and the upstream of a sum that was handed out; outputs are the gradients of x, weight
/// and bias.
#[derive(Clone, Copy, Debug)]
pub(super) struct NormBackward {
    pub(super) op: &'static str,
    pub(super) eps: f32,
    /// Whether the mean is taken off, and a bias added.
    pub(super) centred: bool,
    pub(super) carried: bool,
}

impl NormBackward {
    pub(super) fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        check_eps(self.op, self.eps)?;
        let mut contract = Contract::new(self.op).may_be_empty(&["rows", "width"]);
        let (x, weight) = (&inputs[0], &inputs[1]);
        rows::check(&contract, "x", x)?;
        let width = x.shape.dims()[x.shape.rank() - 1];
        contract.bind("x", &TensorDesc::new(x.dtype, [width]), &["width"])?;
        contract.dtype("weight", weight, x.dtype)?;
        contract.bind("weight", weight, &["width"])?;
        for (argument, desc) in ["upstream", "sum_upstream"].into_iter().zip(&inputs[2..]) {
            contract.dtype(argument, desc, x.dtype)?;
            if desc.shape != x.shape {
                return Err(contract
                    .shape_error(argument)
                    .expecting(format!("{} as of x", x.shape))
                    .but_found(&desc.shape));
            }
        }
        let parameters = std::iter::repeat_n(weight, 1 + usize::from(self.centred));
        Ok(std::iter::once(x).chain(parameters).cloned().collect())
    }
}

pub(super) fn inputs(x: Value, weight: Value, upstream: Value, sum_upstream: Option<Value>) -> Vec<Value> {
    [x, weight, upstream].into_iter().chain(sum_upstream).collect()
}
