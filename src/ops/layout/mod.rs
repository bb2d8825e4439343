//! Ops that move elements and leave them as they are. All but [`pad()`] share the kernel in `copy.rs`; where nothing has to move, the result is
//! a view and nothing runs.
//!
//! | op | result |
//! |---|---|
//! | [`transpose()`] | the axes in another order |
//! | [`broadcast()`] | a value repeated along axes |
//! | [`concat()`] | values one after the other along an axis |
//! | [`pad()`] | zeros around a value along an axis |
//! | [`roll()`] | elements moved along an axis, from its end back to its start |
//! | [`flip()`] | elements in reverse order along axes |
//! | [`repeat()`], [`repeat_each()`] | a value, or each of its elements, several times along an axis |
//! | [`slice()`] | a range of one axis; [`split()`] cuts an axis into such ranges |

pub(crate) mod broadcast;
#[cfg(feature = "check")]
mod cases;
pub(crate) mod concat;
mod copy;
pub(crate) mod flip;
pub(crate) mod pad;
pub(crate) mod repeat;
pub(crate) mod roll;
pub(crate) mod slice;
pub(crate) mod transpose;

pub use broadcast::broadcast;
pub use concat::concat;
pub use flip::flip;
pub use pad::pad;
pub use repeat::{repeat, repeat_each};
pub use roll::roll;
pub use slice::{slice, split};
pub use transpose::transpose;

use super::contract::Contract;
use crate::Result;
use crate::tensor::TensorDesc;

/// Refuses an axis that `x` lacks.
pub(super) fn check_axis(contract: &Contract, axis: usize, x: &TensorDesc) -> Result<()> {
    if axis < x.shape.rank() {
        return Ok(());
    }
    Err(contract
        .argument_error("axis")
        .expecting(format!("one of the {} axes of {}", x.shape.rank(), x.shape))
        .but_found(axis))
}
