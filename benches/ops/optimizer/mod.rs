//! What an optimiser does on the device.

pub(crate) mod accumulate;
pub(crate) mod adamw;
pub(crate) mod global_norm;
pub(crate) mod sgd;
