//! Block lists: for each tile of rows, which columns some of its rows may see. The dispatch that makes them, and how long they may be.

use super::CompiledRule;
use super::aux_buffer::{AuxBuffer, SectionParams};
use crate::Result;
use crate::kernel::{Constant, Kernel, Shader, params, wgsl};
use crate::ops::attention::Dims;
use crate::ops::attention::rules::mask::{Band, Blocks, Dilated, Node};
use crate::ops::attention::rules::{Rule, Term};
use crate::ops::contract::to_u32;
use crate::tensor::DType;

/// Invocations of a workgroup, each of which makes a list.
const LANES: u32 = 32;

/// Granularity of block lists, in columns.
const GRAIN: usize = 8;

/// The tiles that a pass walks over.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops::attention) struct Tiles {
    pub(in crate::ops::attention) rows_are_keys: bool,
    /// Rows of a tile: keys, or pairs of a query and a member of its head's group.
    pub(in crate::ops::attention) rows: u32,
    /// Columns of a tile, likewise.
    pub(in crate::ops::attention) columns: u32,
}

/// Where in the auxiliary buffer the block lists of a pass lie, and their extents.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops::attention) struct BlockLists {
    section: u32,
    /// Words of a list.
    pub(in crate::ops::attention) capacity: u32,
    pub(in crate::ops::attention) row_tiles: u32,
    /// Blocks of [`GRAIN`] columns in a gathered tile; none where no whole number of them fills a tile.
    grains: u32,
    column_unit: u32,
    by_batch: bool,
    by_head: bool,
}

impl BlockLists {
    /// Tells a kernel where its lists are.
    pub(in crate::ops::attention) fn equip(self, mut shader: Shader) -> Shader {
        shader.sources.push(wgsl!("attention/walk_lists.wgsl"));
        let constants = self.constants().into_iter();
        constants
            .fold(shader, |shader, (name, value)| shader.constant(name, value))
            .constant("COLUMN_UNIT", self.column_unit)
    }

    /// What those who write the lists and those who read them are both told.
    fn constants(self) -> [(&'static str, Constant); 5] {
        [
            ("BLOCK_LISTS", self.section.into()),
            ("GRAIN", (GRAIN as u32).into()),
            ("GRAINS", self.grains.into()),
            ("LISTS_BY_BATCH", self.by_batch.into()),
            ("LISTS_BY_HEAD", self.by_head.into()),
        ]
    }
}

/// Has `aux` hold the block list of every tile of rows.
pub(in crate::ops::attention) fn make_block_lists(
    rule: &Rule,
    compiled: &CompiledRule,
    dims: &Dims,
    tiles: Tiles,
    aux: &mut AuxBuffer<'_>,
) -> Result<BlockLists> {
    let op = aux.op();
    let group = dims.group();
    let (rows, columns) = match tiles.rows_are_keys {
        true => (dims.key_time, dims.query_time),
        false => (dims.query_time * group, dims.key_time),
    };
    let rows_together =
        if tiles.rows_are_keys { tiles.rows as usize } else { (tiles.rows as usize).div_ceil(group) };
    // Columns as rules count them: keys and queries, not queries times the heads of a group.
    let tile_columns =
        if tiles.rows_are_keys { (tiles.columns as usize / group).max(1) } else { tiles.columns as usize };
    let column_unit = if tiles.rows_are_keys { group } else { 1 };
    let (grain, tile) = (GRAIN * column_unit, tiles.columns as usize);
    // Where products go by distance, the keys of a tile lie side by side.
    let gathers = tiles.rows_are_keys || rule.relative_keys().is_none();
    let grains = if gathers && tile.is_multiple_of(grain) && tile > grain { tile / grain } else { 0 };
    let met = Footprint::of(
        rule,
        aux,
        RowTile { rows: rows_together, columns, by_key: tiles.rows_are_keys, grains },
    );
    let capacity = met.words(columns, grains);
    let row_tiles = rows.div_ceil(tiles.rows as usize);
    let lists = row_tiles
        * if compiled.traits.by_batch { dims.batch } else { 1 }
        * if compiled.traits.by_head { dims.kv_heads } else { 1 };
    let section = aux.own(lists.saturating_mul(1 + capacity))?;
    // The least stretch is looked at where the mask is no longer alike: at the edges of stretches, or anywhere.
    let least = columns.div_ceil(GRAIN);
    let steps = match is_known(&rule.mask.0) {
        true => (columns / WIDEST + 1 + EDGE_STEPS * met.stretches).min(least),
        false => least,
    };
    let members = if compiled.traits.by_head { 3 * (group + 2) } else { 0 };
    // One more than there are tiles: a loop whose body never runs takes a turn, too.
    let turns = steps * (10 + members) + (columns.div_ceil(tile_columns) + 1) * (3 + members);
    let block_lists = BlockLists {
        section,
        capacity: to_u32(op, "rule", capacity)?,
        row_tiles: to_u32(op, "rule", row_tiles)?,
        grains: grains as u32,
        column_unit: column_unit as u32,
        by_batch: compiled.traits.by_batch,
        by_head: compiled.traits.by_head,
    };
    let mut sources = vec![
        wgsl!("attention/rules/make_block_lists.wgsl"),
        wgsl!("attention/rules/positions.wgsl"),
        wgsl!("attention/rules/sections.wgsl"),
    ];
    sources.extend(compiled.sources.iter().filter(|source| **source != wgsl!("attention/rules/bias.wgsl")));
    let lists = to_u32(op, "rule", lists)?;
    let params = ListParams {
        sections: aux.section_params(),
        query_time: to_u32(op, "query", dims.query_time)?,
        key_time: to_u32(op, "key", dims.key_time)?,
        heads: to_u32(op, "heads", dims.heads)?,
        kv_heads: to_u32(op, "kv_heads", dims.kv_heads)?,
        row_tiles: block_lists.row_tiles,
        list_capacity: block_lists.capacity,
        tile_columns: tile_columns as u32,
        lists,
    };
    let kernel = Kernel::new("attention/rules/make_block_lists", sources)
        .write_elements("aux_buffer", aux.operand(), DType::U32)
        .generated(compiled.mask_functions())
        .constant("GROUP", group as u32)
        .constant("ROWS_ARE_KEYS", tiles.rows_are_keys)
        .constant("TILE_ROWS", tiles.rows)
        .params(params)
        .turns(turns as u64);
    let constants = block_lists.constants().into_iter();
    let kernel = constants.fold(kernel, |kernel, (name, value)| kernel.constant(name, value));
    aux.push(kernel.per_workgroup(lists.div_ceil(LANES), LANES));
    Ok(block_lists)
}

params! {
    struct ListParams {
        sections: SectionParams,
        query_time: u32,
        key_time: u32,
        heads: u32,
        kv_heads: u32,
        row_tiles: u32,
        list_capacity: u32,
        tile_columns: u32,
        lists: u32,
    }
}

/// The tile of rows whose list is sized.
#[derive(Clone, Copy, Debug)]
struct RowTile {
    /// Rows of the tile, in the unit of rules.
    rows: usize,
    /// Columns there are.
    columns: usize,
    by_key: bool,
    /// Blocks of [`GRAIN`] columns in a gathered tile.
    grains: usize,
}

/// How much, at most, a tile of rows sees: what its list must have room for. A list that is too short is right all the same, but has
/// every column visited.
#[derive(Clone, Copy, Debug)]
struct Footprint {
    /// Stretches apart from each other.
    stretches: usize,
    /// Blocks that one of them leaves behind its whole tiles.
    width: usize,
    /// Blocks that all of them leave.
    grains: usize,
    /// Ranges of whole tiles.
    ranges: usize,
}

impl Footprint {
    fn of(rule: &Rule, aux: &AuxBuffer<'_>, tile_of_rows: RowTile) -> Self {
        let ramps = rule.terms.iter().filter(|term| matches!(term, Term::Ramp { .. }));
        let ramps = ramps.map(|_| Self::wide(1, tile_of_rows));
        let mask = Self::of_node(&rule.mask.0, aux, tile_of_rows);
        Self::all(&std::iter::once(mask).chain(ramps).collect::<Vec<_>>(), tile_of_rows)
    }

    /// Stretches of any length, each met in part at both ends.
    fn wide(stretches: usize, tile_of_rows: RowTile) -> Self {
        Self::narrow(stretches, usize::MAX, tile_of_rows)
    }

    /// Stretches of `length` columns.
    fn narrow(stretches: usize, length: usize, tile_of_rows: RowTile) -> Self {
        // One more at either end, where they begin and end within a grain.
        let width = length.div_ceil(GRAIN).saturating_add(1);
        let is_wide = width >= tile_of_rows.grains;
        let width = width.min(tile_of_rows.grains.saturating_sub(1)).max(1);
        Self { stretches, width, grains: stretches * width, ranges: if is_wide { 3 * stretches } else { 0 } }
    }

    fn of_node(node: &Node<usize>, aux: &AuxBuffer<'_>, tile_of_rows: RowTile) -> Self {
        let RowTile { rows, columns, by_key, .. } = tile_of_rows;
        match node {
            Node::Band(Band { .. })
            | Node::SameBlock { .. }
            | Node::Segments(_)
            | Node::Prefix(_)
            | Node::Lengths(_) => Self::wide(1, tile_of_rows),
            Node::Dilated(Dilated { left, right, dilation, .. }) => {
                let step = dilation.iter().copied().min().unwrap_or(1).max(1) as usize;
                let steps = |steps: &Option<u32>| steps.map_or(usize::MAX, |steps| steps as usize);
                let within =
                    columns.div_ceil(step).min(steps(left).saturating_add(steps(right)).saturating_add(1));
                // Heads of a group may step otherwise.
                let steppings = if dilation.len() > 1 { aux.group() } else { 1 };
                Self::narrow((within + 1) * steppings, rows, tile_of_rows)
            }
            Node::Columns { period, from } if !by_key => {
                let period = (*period).max(1);
                Self::narrow(
                    columns / period as usize + 1,
                    period.saturating_sub(*from) as usize,
                    tile_of_rows,
                )
            }
            Node::LogSparse { spec, .. } => {
                let span =
                    spec.restart.map_or(columns, |restart| columns.min(restart.max(1) as usize)).max(1);
                let restarts = columns.div_ceil(span) + 1;
                let powers = Self::narrow(restarts * (span.ilog2() as usize + 2), rows, tile_of_rows);
                Self::any(&[powers, Self::narrow(restarts, rows + spec.local as usize, tile_of_rows)])
            }
            // Of a list along columns each position is a stretch; otherwise all columns are met, or none.
            &Node::GlobalKeys(tensor) if !by_key => {
                Self::narrow(aux.desc(tensor).shape.dims()[1], 1, tile_of_rows)
            }
            &Node::GlobalQueries(tensor) if by_key => {
                Self::narrow(aux.desc(tensor).shape.dims()[1], 1, tile_of_rows)
            }
            Node::Columns { .. } | Node::GlobalKeys(_) | Node::GlobalQueries(_) => {
                Self::wide(1, tile_of_rows)
            }
            Node::Blocks(Blocks { layout, .. }) => {
                Self::wide((layout.changes(rows, by_key) / 2 + 1) * aux.group(), tile_of_rows)
            }
            Node::Dense(_) | Node::Custom(_) => Self::wide(UNKNOWN_STRETCHES, tile_of_rows),
            Node::BigBird(_) | Node::TooMany(_) => Self::wide(0, tile_of_rows),
            Node::All(parts) => Self::all(&Self::of_parts(parts, aux, tile_of_rows), tile_of_rows),
            Node::Any(parts) => Self::any(&Self::of_parts(parts, aux, tile_of_rows)),
            Node::Not(part) => Self::wide(Self::of_node(part, aux, tile_of_rows).stretches + 1, tile_of_rows),
        }
    }

    fn of_parts(parts: &[Node<usize>], aux: &AuxBuffer<'_>, tile_of_rows: RowTile) -> Vec<Self> {
        parts.iter().map(|part| Self::of_node(part, aux, tile_of_rows)).collect()
    }

    /// What some of the parts meet. Where stretches grow together they leave no more than before.
    fn any(parts: &[Self]) -> Self {
        Self {
            stretches: parts.iter().map(|part| part.stretches).sum(),
            width: parts.iter().map(|part| part.width).max().unwrap_or(0),
            grains: parts.iter().map(|part| part.grains).sum(),
            ranges: parts.iter().map(|part| part.ranges).sum(),
        }
    }

    /// What all of the parts meet. A stretch of it lies within one of each; and of those of a part, each end of another's makes one more
    /// at most.
    fn all(parts: &[Self], tile_of_rows: RowTile) -> Self {
        let Self { stretches, ranges, .. } = Self::any(parts);
        let width = parts.iter().map(|part| part.width).min().unwrap_or(0);
        let cut = |part: &Self| part.grains + 2 * (stretches - part.stretches) * tile_of_rows.grains;
        let grains = parts.iter().map(cut).min().unwrap_or(0).min(stretches * width);
        Self { stretches, width, grains, ranges }
    }

    /// Words of a list: two a range; two and one a block, a gathered tile.
    fn words(&self, columns: usize, grains: usize) -> usize {
        let most = columns.div_ceil(GRAIN);
        if grains == 0 {
            return 2 * (self.ranges + self.stretches + 1).min(most + 1);
        }
        // Narrow stretches side by side make whole tiles, too.
        let ranges = (self.ranges + self.grains / grains).min(most / grains) + 1;
        2 * ranges + (self.grains.min(most).div_ceil(grains) + 1) * (2 + grains)
    }
}

/// Columns that are looked at together first, as in `make_block_lists.wgsl`.
const WIDEST: usize = 512;

/// Looks at columns that the two edges of a stretch cost: eighths of the widest, and eighths of one of these.
const EDGE_STEPS: usize = 2 * (8 + 8);

/// Whether the stretches that a mask shows are known to be no more than its footprint says.
fn is_known(node: &Node<usize>) -> bool {
    match node {
        Node::Dense(_) | Node::Custom(_) => false,
        Node::All(parts) | Node::Any(parts) => parts.iter().all(is_known),
        Node::Not(part) => is_known(part),
        _ => true,
    }
}

/// Stretches that a rule of which nothing is known is given room for.
const UNKNOWN_STRETCHES: usize = 64;
