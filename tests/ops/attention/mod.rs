//! Attention variants.

mod blocked;
mod blocked_backward;
mod oracles;
mod rules;
