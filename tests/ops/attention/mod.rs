//! Attention variants.

mod blocked;
mod blocked_backward;
