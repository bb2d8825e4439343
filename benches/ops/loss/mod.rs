//! Losses and their gradients.

pub(crate) mod cross_entropy;
pub(crate) mod cross_entropy_backward;
pub(crate) mod kl_divergence;
pub(crate) mod kl_divergence_backward;
pub(crate) mod mean_squared_error;
pub(crate) mod mean_squared_error_backward;
