//! Attention.

mod blocked;
mod buckets;
mod composed;
mod content;
mod decode;
mod gated;
mod gradients;
mod linear;
mod long;
mod non_finite;
mod packed;
mod random_features;
mod rules;
mod scored;
