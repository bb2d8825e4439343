//! Attention.

mod blocked;
mod decode;
mod gradients;
mod long;
mod non_finite;
mod rules;
