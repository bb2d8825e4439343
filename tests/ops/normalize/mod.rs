//! Ops that bring every row to one size.

mod l2_normalize;
mod l2_normalize_backward;
mod layer_norm;
mod layer_norm_backward;
mod rms_norm;
mod rms_norm_backward;
