//! Attention.

mod blocked;
mod decode;
mod gradients;
mod linear;
mod long;
mod non_finite;
mod random_features;
mod rules;
