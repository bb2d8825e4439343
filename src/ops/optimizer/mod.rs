//! The steps of optimisers on the device: they change parameters and their own state in place.
//!
//! All of it is f32, whatever a model computes in. A step reads `schedule: f32 [3]`, which the host writes for each run: the learning
//! rate, and for AdamW `1 - beta1^t` and `1 - beta2^t` of step `t`, counted from 1; and `factor: f32 [1]`, which gradients are
//! multiplied with ([`global_norm`] makes it). A factor of 0 leaves everything as it is: gradients that overflowed.

pub(in crate::ops) mod accumulate;
pub(in crate::ops) mod adamw;
pub(in crate::ops) mod global_norm;
pub(in crate::ops) mod sgd;

pub use accumulate::accumulate;
pub use adamw::{AdamW, Moments, adamw};
pub use global_norm::{GlobalNorm, global_norm};
pub use sgd::{Sgd, sgd};

use super::contract::{Contract, to_u32};
use crate::graph::Value;
use crate::kernel::{Caps, Kernel, Lowered, Source};
use crate::tensor::{DType, TensorDesc};
use crate::{Error, ErrorKind, Result};

/// What every step of an optimiser reads besides parameters, gradients and state.
#[derive(Clone, Copy, Debug)]
pub struct Control {
    /// `f32 [3]`: the learning rate, `1 - beta1^t`, `1 - beta2^t`.
    pub schedule: Value,
    /// `f32 [1]`: what gradients are multiplied with; 0 skips the step.
    pub factor: Value,
}

/// Refuses inputs that are not `same` values of one f32 shape and then, where `controlled`, a schedule and a factor.
fn check(op: &'static str, inputs: &[TensorDesc], same: &[&'static str], controlled: bool) -> Result<()> {
    let contract = Contract::new(op);
    let control: &[&str] = if controlled { &["schedule", "factor"] } else { &[] };
    contract.count(inputs, &[same, control].concat())?;
    let wanted = [TensorDesc::f32([3]), TensorDesc::f32([1])];
    let shapes = std::iter::repeat_n(&inputs[0], same.len()).chain(&wanted);
    for ((found, wanted), argument) in inputs.iter().zip(shapes).zip(same.iter().chain(control)) {
        contract.dtype(argument, found, DType::F32)?;
        if found != wanted {
            return Err(contract.shape_error(argument).expecting(wanted).but_found(found));
        }
    }
    Ok(())
}

/// Refuses a setting outside of a range.
fn check_setting(op: &'static str, name: &str, value: f32, least: f32, below: f32) -> Result<()> {
    if (least..below).contains(&value) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Argument, op, name)
        .expecting(format!("a number from {least} to below {below}"))
        .but_found(value))
}

/// The kernel of `op`, which handles every element of `parameter`, or four neighbours, on their own: `bind` declares what it reads and
/// writes.
fn lower(
    op: &'static str,
    source: Source,
    parameter: &TensorDesc,
    caps: &Caps,
    bind: impl FnOnce(Kernel) -> Kernel,
) -> Result<Lowered> {
    let lanes = if parameter.elements().is_multiple_of(4) { 4 } else { 1 };
    let count = to_u32(op, "elements", parameter.elements())? / lanes;
    let dispatch = bind(Kernel::new(op, [source]).lanes(lanes)).per_element(count, caps);
    Ok(Lowered::elementwise(dispatch, lanes))
}
