//! Losses: ops whose result is one number, f32 of shape `[1]`, or, of [`ctc()`], one for each item.
//!
//! | op | result |
//! |---|---|
//! | [`cross_entropy()`] | mean of `-ln softmax(logits)[target]` over the rows whose target counts |
//! | [`ctc()`] | minus the logarithm of the probability of all alignments of targets with frames |
//! | [`kl_divergence()`] | mean over rows of `sum p (ln p - ln q)` |
//! | [`mean_squared_error()`] | mean of `(a - b)^2` |
//!
//! Sums are cut into parts of fixed size, whose results a second dispatch adds in fixed order.

pub(crate) mod cross_entropy;
pub(crate) mod ctc;
pub(crate) mod pair;
mod total;

pub use cross_entropy::{CrossEntropy, cross_entropy, cross_entropy_with_lse};
pub use ctc::{Alignment, Ctc, IMPOSSIBLE_ALIGNMENT, check_targets, ctc};
pub use pair::{kl_divergence, mean_squared_error};

use super::contract::Contract;
use crate::Result;
use crate::tensor::{DType, TensorDesc};

/// Refuses a gradient of a loss that is not one f32.
fn check_upstream(contract: &Contract, upstream: &TensorDesc) -> Result<()> {
    contract.dtype("upstream", upstream, DType::F32)?;
    if upstream.shape.dims() == [1] {
        return Ok(());
    }
    Err(contract.shape_error("upstream").expecting("[1]").but_found(&upstream.shape))
}
