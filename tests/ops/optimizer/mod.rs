//! What an optimiser does on the device.

mod accumulate;
mod adamw;
mod global_norm;
mod sgd;
