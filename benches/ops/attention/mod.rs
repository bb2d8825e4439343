//! Attention variants.

pub(crate) mod blocked;
