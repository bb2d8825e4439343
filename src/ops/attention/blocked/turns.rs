//! How many turns the loops of an invocation take, which drivers may limit ([`crate::kernel::Dispatch::turns`]), and into how many splits
//! of its columns a walk must be cut to stay below.
//!
//! Counted is what a tile may take at worst: it is computed a second time, column by column, where its sums are not finite. Loops within
//! others take two turns more than their bodies.

use super::super::Dims;
use super::super::rules::Rule;
use super::cooperative::FragmentTile;
use super::walk::{Tile, Walk};
use crate::kernel::{AttentionTile, Caps};

/// Turns that no count has, and room for those of the driver.
const RESERVE: u64 = 2048;

/// What one pass does with each tile of columns.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::ops::attention) struct Work {
    /// Products of rows of `head_size`, and of `value_size`.
    pub(in crate::ops::attention) head_products: u64,
    pub(in crate::ops::attention) value_products: u64,
    /// Sums over columns, and how many channels the largest has.
    pub(in crate::ops::attention) sums: u64,
    pub(in crate::ops::attention) channels: usize,
    /// Whether pairs are looked at one by one once more.
    pub(in crate::ops::attention) slots: bool,
}

/// The loops of a walk over columns.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops::attention) struct Turns {
    tiles: u64,
    per_tile: u64,
    /// Splits of a block list step over the tiles of the others.
    steps_over: bool,
}

impl Turns {
    /// Of a walk over `columns` in tiles of `tile`.
    pub(in crate::ops::attention) fn of(walk: &Walk<'_>, columns: usize, tile: Tile, work: Work) -> Self {
        let steps_over = walk.rule.ranges().is_none();
        let tiles = columns.div_ceil(tile.columns() as usize) as u64 + 1;
        // Ranges of a block list end in tiles that are not full, and gathered ones lie beside them.
        let tiles = if steps_over { 2 * tiles } else { tiles };
        let per_tile = match tile {
            Tile::Registers(tile) => {
                of_registers(&walk.dims, walk.rule.relative_keys().is_some(), tile, work)
            }
            Tile::Fragments(tile) => of_fragments(tile, work),
        };
        Self { tiles, per_tile, steps_over }
    }

    /// Of a walk over `columns` that may begin anywhere, in a register tile.
    pub(in crate::ops::attention) fn of_tiles(
        dims: &Dims,
        columns: usize,
        tile: AttentionTile,
        work: Work,
    ) -> Self {
        let tiles = columns.div_ceil(Tile::Registers(tile).columns() as usize) as u64 + 1;
        Self { tiles, per_tile: of_registers(dims, false, tile, work), steps_over: false }
    }

    /// Tiles of columns, at most.
    pub(in crate::ops::attention) fn tiles(self) -> u64 {
        self.tiles
    }

    /// That many walks, one behind the other.
    pub(in crate::ops::attention) fn times(self, walks: u64) -> Self {
        Self { tiles: self.tiles * walks, ..self }
    }

    /// Turns of one split.
    pub(in crate::ops::attention) fn with(self, splits: usize) -> u64 {
        let own = self.tiles.div_ceil(splits as u64) + 1;
        let steps = if self.steps_over { self.tiles + 3 * own } else { 0 };
        own * self.per_tile + steps
    }

    /// The fewest splits that a device allows. One more does not help where it would take more than there are tiles; a plan refuses that.
    pub(in crate::ops::attention) fn least_splits(self, caps: &Caps) -> usize {
        let Some(most) = caps.max_loop_turns.map(|most| most.saturating_sub(RESERVE)) else { return 1 };
        let mut splits = 1;
        while self.with(splits) > most && (splits as u64) < self.tiles {
            splits = (splits + 1).max(self.with(splits).div_ceil(most.max(1)) as usize);
        }
        splits
    }
}

fn of_registers(dims: &Dims, is_relative: bool, tile: AttentionTile, work: Work) -> u64 {
    let vectors = u64::from(tile.key_vectors * tile.lanes);
    let columns = 4 * vectors;
    let product = |size: usize| size.div_ceil(4) as u64 + 2;
    let products =
        work.head_products * product(dims.head_size) + work.value_products * product(dims.value_size);
    // Products with relative keys are formed for two tiles where one lies apart.
    let relative = if is_relative { 2 * (product(dims.head_size) + 2) } else { 0 };
    let statistics = if tile.one_subgroup { 0 } else { u64::from(tile.lanes) + 2 };
    let slots = if work.slots { u64::from(tile.rows.div_ceil(tile.lanes)) * (columns + 2) + 2 } else { 0 };
    // Factors of rows askew reach beyond the tile by the rows of a lane.
    let askew = if is_relative { u64::from(tile.rows) } else { 0 };
    let sums = |turns: u64| work.sums * (turns + askew + 2);
    2 * (products + relative + statistics + slots + 1) + sums(vectors) + sums(columns)
}

fn of_fragments(tile: FragmentTile, work: Work) -> u64 {
    let columns = u64::from(tile.columns());
    let lanes = u64::from(tile.lanes());
    let chunks = (work.channels as u64).div_ceil(columns);
    2 * (1 + lanes + 2 + chunks * (columns / lanes + 2))
        + work.sums * chunks * ((columns / lanes) * (columns + 2) + 2)
}

/// How many columns a tile of `rows` may meet, of `columns` in all; `unit` of them are one of the mask's.
pub(in crate::ops::attention) fn met(rule: &Rule, rows: usize, columns: usize, unit: usize) -> usize {
    let band = rule.ranges().unwrap_or_default().band;
    match (band.left, band.right) {
        (Some(left), Some(right)) => (left as usize)
            .saturating_add(right as usize)
            .saturating_add(rows + 1)
            .saturating_mul(unit)
            .min(columns),
        _ => columns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(steps_over: bool) -> Turns {
        Turns { tiles: 10_000, per_tile: 80, steps_over }
    }

    #[test]
    fn splits_stay_below_the_limit_and_are_no_more_than_needed() {
        let caps = |most| Caps { max_loop_turns: most, ..Caps::webgpu_default() };
        for steps_over in [false, true] {
            let turns = turns(steps_over);
            assert_eq!(turns.least_splits(&caps(None)), 1);
            let splits = turns.least_splits(&caps(Some(65_535)));
            assert!(turns.with(splits) <= 65_535 - RESERVE, "{splits}");
            assert!(turns.with(splits - 2) > 65_535 - RESERVE, "{splits}");
        }
        // What no number of splits helps ends all the same.
        assert!(turns(true).least_splits(&caps(Some(3000))) <= 10_001);
    }
}
