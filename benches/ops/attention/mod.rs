//! Attention variants.

pub(crate) mod blocked;
pub(crate) mod blocked_backward;
