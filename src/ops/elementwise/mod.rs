//! Ops that treat every element alike: functions of one number are rows of the table in `functions.rs`, functions of two numbers and
//! comparisons rows of those in `binary.rs`.

mod binary;
mod broadcast;
mod cast;
mod functions;
mod gate;
mod select;
mod unary;

pub use binary::{
    add, divide, equal, exp_of_sum, greater, greater_equal, less, less_equal, maximum, minimum, multiply,
    not_equal, subtract,
};
pub(super) use broadcast::sum_to;
pub use cast::cast;
pub(crate) use cast::converted;
pub use functions::*;
pub(super) use gate::gradient as gate_gradient;
pub use gate::{Gate, gated};
pub use select::select;
pub use unary::activate;
pub(super) use unary::gradient as activation_gradient;

use super::{Entry, entry};

/// The family's rows of the catalogue.
pub(super) const ENTRIES: [&[Entry]; 4] = [
    functions::ENTRIES,
    binary::ENTRIES,
    binary::COMPARISONS,
    &[
        entry!("elementwise/cast", "conversion to a float type", cast),
        entry!("elementwise/gate", "gated linear unit, f(a) v of two factors", gate),
        entry!("elementwise/select", "a where a condition holds, else b", select),
    ],
];
