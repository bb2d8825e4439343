//! Attention variants.

mod blocked;
mod blocked_backward;
mod decode;
mod long;
mod non_finite;
mod rules;
