//! Ops that bring every row, along the last axis, to one size.
//!
//! | op | result, `s = x + residual` |
//! |---|---|
//! | [`layer_norm()`] | `(s - mean s) / sqrt(variance s + eps) * weight + bias` |
//! | [`rms_norm()`] | `s / sqrt(mean s^2 + eps) * weight` |
//! | [`l2_normalize()`] | `x / max(norm x, eps)` |

pub(crate) mod l2_normalize;
pub(crate) mod norm;

use crate::{Error, ErrorKind, Result};

pub use l2_normalize::l2_normalize;
pub use norm::{LayerNorm, RmsNorm, layer_norm, layer_norm_with_sum, rms_norm, rms_norm_with_sum};

/// Refuses what is not above 0, or so small that a device may take it for 0.
fn check_eps(op: &'static str, eps: f32) -> Result<()> {
    if eps.is_normal() && eps > 0.0 {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Argument, op, "eps")
        .expecting(format!("a finite number of at least {:e}", f32::MIN_POSITIVE))
        .but_found(eps))
}
