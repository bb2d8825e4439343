//! What kernels share that give each row, along the last axis, a workgroup of its own.

use std::slice::Chunks;

use super::contract::{Contract, to_u32};
use crate::Result;
use crate::kernel::Caps;
use crate::tensor::{Array, Real, TensorDesc};

/// Rows as a kernel sees them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    pub(super) rows: u32,
    /// Packs of a row.
    pub(super) width: u32,
    /// Elements of a pack: 4 where rows are whole vectors, else 1.
    pub(super) lanes: u32,
}

impl Rows {
    pub(super) fn of(op: &'static str, x: &TensorDesc) -> Result<Self> {
        let width = x.shape.dims().last().copied().unwrap_or(1);
        let lanes = if width.is_multiple_of(4) { 4 } else { 1 };
        Ok(Self {
            rows: to_u32(op, "rows", x.elements().checked_div(width).unwrap_or(0))?,
            width: to_u32(op, "width", width)? / lanes,
            lanes,
        })
    }
}

/// How many of `count` values one chunk of a long sum holds: about as many as there are chunks, so that neither adding up the
/// chunks nor adding their sums takes long.
pub(super) fn chunk_length(count: u32) -> u32 {
    count.isqrt().next_power_of_two().max(16)
}

/// What the reductions of a row were chosen by.
pub(super) fn reason(caps: &Caps) -> String {
    let how = if caps.rows_are_subgroups() { ", each one subgroup" } else { "" };
    format!("{}: workgroups of {}{how}", caps.adapter.name(), caps.tuning.row_lanes)
}

/// The rows of `x`, along its last axis.
pub(super) fn slices<R: Real>(x: &Array<R>) -> Chunks<'_, R> {
    x.reals().chunks(x.dims().last().copied().unwrap_or(1).max(1))
}

/// Refuses anything but floats with at least one axis.
pub(super) fn check(contract: &Contract, argument: &'static str, x: &TensorDesc) -> Result<()> {
    contract.float(argument, x)?;
    if x.shape.rank() == 0 {
        return Err(contract.shape_error(argument).expecting("at least one axis").but_found("a scalar"));
    }
    Ok(())
}
