//! Attention variants.

mod blocked;
