//! Ops that bring every row to one size.

pub(crate) mod l2_normalize;
pub(crate) mod l2_normalize_backward;
pub(crate) mod layer_norm;
pub(crate) mod layer_norm_backward;
pub(crate) mod rms_norm;
pub(crate) mod rms_norm_backward;
