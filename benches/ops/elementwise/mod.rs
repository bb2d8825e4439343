//! Ops that treat every element alike.

pub(crate) mod activation_backward;
pub(crate) mod add;
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
