//! Ops that bring every row to one size.

mod l2_normalize;
mod layer_norm;
mod rms_norm;
