//! Tiles of problems along index maps.

use crate::kernel::{AttentionTile, Caps};
use crate::ops::attention::Dims;
use crate::ops::attention::blocked::walk;

/// Rows of a lane where a problem is large: they take half of the loads of columns that 16 take, 1.2 times the rate, and 2.4 times the time to compile
/// (lavapipe; the guide's page on performance).
const MANY_ROWS: u32 = 32;

/// Slots of all items and heads in a round from which on a few runs save what compiling takes.
const MANY_SLOTS: usize = 1 << 13;

/// Sums of four channels of a lane up to which it has many rows.
const MOST_PACKS_OF_MANY: u32 = walk::MOST_PACKS / 2;

/// What the forward pass has in workgroup memory of the rounds before, for each row: maximum and sum.
const EARLIER_BYTES: u32 = 8;

/// What all passes have there of four columns of a tile: where their rows lie, of this tile and the one before.
const PLACES_BYTES: u32 = 32;

/// The tile of the forward pass over rounds of `slots`, of which `run` neighbours or more meet the same columns.
pub(super) fn forward(dims: &Dims, slots: usize, run: usize, caps: &Caps) -> AttentionTile {
    let tile = caps.tuning.attention;
    let rows = MANY_ROWS.max(tile.rows);
    let is_large = dims.batch * dims.heads * slots >= MANY_SLOTS && run >= 2 * MANY_ROWS as usize;
    let fits = rows * walk::lane_packs(dims.value_size, tile) <= MOST_PACKS_OF_MANY;
    // Of other devices nobody has measured it.
    if tile.one_subgroup && is_large && fits { AttentionTile { rows, ..tile } } else { tile }
}

/// The tile of the backward passes that go with a forward pass in `tile`: fewer rows where channels are many, as in blocked attention.
pub(super) fn backward(dims: &Dims, tile: AttentionTile) -> AttentionTile {
    let packs = walk::lane_packs(dims.head_size, tile) + walk::lane_packs(dims.value_size, tile);
    let rows = (walk::MOST_PACKS / packs.max(1)).clamp(1, tile.rows);
    AttentionTile { key_vectors: tile.backward_key_vectors, rows, ..tile }
}

/// The tile for so many slots of a round, with `arrays` numbers of each pair in workgroup memory.
pub(super) fn fitted(tile: AttentionTile, slots: usize, arrays: u32, caps: &Caps) -> AttentionTile {
    walk::within(walk::fitted(tile, slots), caps.max_workgroup_bytes, |tile| {
        arrays * walk::pair_bytes(tile)
            + walk::WORD_BYTES
            + 16 * tile.lanes * tile.row_groups * tile.rows.div_ceil(4)
            + PLACES_BYTES * tile.lanes * tile.key_vectors
            + EARLIER_BYTES * tile.rows * tile.row_groups
    })
}
