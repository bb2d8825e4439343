//! Ops that treat every element alike. Each brings one WGSL function, `apply`, and shares the two kernels here.
//!
//! | op | result |
//! |---|---|
//! | [`add()`] | `a + b`, broadcast |
//! | [`multiply()`] | `a * b`, broadcast |
//! | [`scale()`] | `factor * x` |
//! | [`cast()`] | `x` in another float type |
//! | [`gelu()`] | `x Phi(x)` |

pub(crate) mod add;
mod binary;
pub(crate) mod cast;
pub(crate) mod gelu;
pub(crate) mod multiply;
pub(crate) mod scale;
mod unary;

pub use add::add;
pub use cast::cast;
pub use gelu::gelu;
pub use multiply::multiply;
pub use scale::scale;
