//! Ops that treat every element alike. Each brings one WGSL function, `apply`, and shares the two kernels here; so do the backward passes of
//! activations, whose function is `slope`.
//!
//! | op | result |
//! |---|---|
//! | [`add()`] | `a + b`, broadcast |
//! | [`subtract()`] | `a - b`, broadcast |
//! | [`multiply()`] | `a * b`, broadcast |
//! | [`scale()`] | `factor * x` |
//! | [`cast()`] | `x` in another float type |
//! | [`gelu()`] | `x Phi(x)` |
//! | [`gelu_tanh()`] | `x Phi(x)`, its tanh form |
//! | [`relu()`] | `max(x, 0)` |
//! | [`sigmoid()`] | `1 / (1 + exp(-x))` |
//! | [`silu()`] | `x / (1 + exp(-x))` |
//! | [`tanh()`] | `tanh x` |
//! | [`activation_backward()`] | `dy f'(x)`, where `f` is an [`Activation`] |
//! | [`gate_backward()`] | the same of a gated linear unit |

mod activation;
pub(crate) mod activation_backward;
pub(crate) mod add;
mod binary;
pub(crate) mod cast;
pub(crate) mod gate_backward;
pub(crate) mod gelu;
pub(crate) mod gelu_tanh;
pub(crate) mod multiply;
pub(crate) mod relu;
pub(crate) mod scale;
pub(crate) mod sigmoid;
pub(crate) mod silu;
pub(crate) mod subtract;
pub(crate) mod tanh;
mod unary;

pub use activation::Activation;
pub use activation_backward::activation_backward;
pub use add::add;
pub(in crate::ops) use binary::WIDTH_REASON;
pub(super) use binary::sum_to;
pub use cast::cast;
pub use gate_backward::gate_backward;
pub use gelu::gelu;
pub use gelu_tanh::gelu_tanh;
pub use multiply::multiply;
pub use relu::relu;
pub use scale::scale;
pub use sigmoid::sigmoid;
pub use silu::silu;
pub use subtract::subtract;
pub use tanh::tanh;
