//! Lists of runs: the dispatch that makes them, and how long they may be.

use super::Asked;
use super::side::{SectionParams, Side};
use crate::Result;
use crate::kernel::{Dispatch, Shader, params, wgsl};
use crate::ops::attention::Dims;
use crate::ops::attention::rules::mask::{Band, Blocks, Dilated, Node};
use crate::ops::attention::rules::{Rule, Term};
use crate::ops::contract::to_u32;

/// Invocations of a workgroup.
const LANES: u32 = 32;

/// Columns of a grain, the finest stretch that is told apart.
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

/// Where a pass finds its runs.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops::attention) struct Runs {
    section: u32,
    /// Words of a list.
    pub(in crate::ops::attention) capacity: u32,
    pub(in crate::ops::attention) row_tiles: u32,
    /// Grains of a gathered tile; none where no whole number of them fills a tile.
    grains: u32,
    column_unit: u32,
    by_batch: bool,
    by_head: bool,
}

impl Runs {
    /// Tells a kernel where its lists are.
    pub(in crate::ops::attention) fn equip(self, mut shader: Shader) -> Shader {
        shader.sources.push(wgsl!("attention/rules/walk.wgsl"));
        self.with_constants(shader).constant("COLUMN_UNIT", self.column_unit)
    }

    fn with_constants(self, shader: Shader) -> Shader {
        shader
            .constant("RUNS", self.section)
            .constant("GRAIN", GRAIN as u32)
            .constant("GRAINS", self.grains)
            .constant("RUNS_BY_BATCH", self.by_batch)
            .constant("RUNS_BY_HEAD", self.by_head)
    }
}

/// Has `side` hold the runs of every tile of rows.
pub(in crate::ops::attention) fn find_runs(
    rule: &Rule,
    asked: &Asked,
    dims: &Dims,
    tiles: Tiles,
    side: &mut Side<'_>,
) -> Result<Runs> {
    let op = side.op();
    let group = dims.group();
    let (rows, columns) = match tiles.rows_are_keys {
        true => (dims.key_time, dims.query_time),
        false => (dims.query_time * group, dims.key_time),
    };
    let rows_together =
        if tiles.rows_are_keys { tiles.rows as usize } else { (tiles.rows as usize).div_ceil(group) };
    // Columns of the rules, which know nothing of groups.
    let tile_columns =
        if tiles.rows_are_keys { (tiles.columns as usize / group).max(1) } else { tiles.columns as usize };
    let column_unit = if tiles.rows_are_keys { group } else { 1 };
    let (grain, tile) = (GRAIN * column_unit, tiles.columns as usize);
    // Where products go by distance, the keys of a tile lie side by side.
    let gathers = tiles.rows_are_keys || rule.relative_keys().is_none();
    let grains = if gathers && tile.is_multiple_of(grain) && tile > grain { tile / grain } else { 0 };
    let met = Footprint::of(
        rule,
        side,
        Asker { rows: rows_together, columns, by_key: tiles.rows_are_keys, grains },
    );
    let capacity = met.words(columns, grains);
    let row_tiles = rows.div_ceil(tiles.rows as usize);
    let lists = row_tiles
        * if asked.traits.by_batch { dims.batch } else { 1 }
        * if asked.traits.by_head { dims.kv_heads } else { 1 };
    let section = side.own(lists.saturating_mul(1 + capacity))?;
    let runs = Runs {
        section,
        capacity: to_u32(op, "rule", capacity)?,
        row_tiles: to_u32(op, "rule", row_tiles)?,
        grains: grains as u32,
        column_unit: column_unit as u32,
        by_batch: asked.traits.by_batch,
        by_head: asked.traits.by_head,
    };
    let mut sources = vec![
        wgsl!("attention/rules/runs.wgsl"),
        wgsl!("attention/rules/interface.wgsl"),
        wgsl!("attention/rules/positions.wgsl"),
        wgsl!("attention/rules/side_write.wgsl"),
        wgsl!("attention/rules/sections.wgsl"),
    ];
    sources.extend(asked.sources.iter().filter(|source| **source != wgsl!("attention/rules/bias.wgsl")));
    let shader = Shader::new("attention/rules/runs", sources)
        .generated(asked.mask.iter().flatten().cloned())
        .constant("LANES", LANES)
        .constant("GROUP", group as u32)
        .constant("ROWS_ARE_KEYS", tiles.rows_are_keys)
        .constant("TILE_ROWS", tiles.rows);
    let count = to_u32(op, "rule", lists)?;
    let params = RunParams {
        sections: side.section_params(),
        query_time: to_u32(op, "query", dims.query_time)?,
        key_time: to_u32(op, "key", dims.key_time)?,
        heads: to_u32(op, "heads", dims.heads)?,
        kv_heads: to_u32(op, "kv_heads", dims.kv_heads)?,
        row_tiles: runs.row_tiles,
        run_capacity: runs.capacity,
        tile_columns: tile_columns as u32,
        count,
    };
    side.push(Dispatch {
        shader: runs.with_constants(shader),
        bindings: side.binding().into_iter().collect(),
        params: params.into(),
        workgroups: count.div_ceil(LANES).into(),
    });
    Ok(runs)
}

params! {
    struct RunParams {
        sections: SectionParams,
        query_time: u32,
        key_time: u32,
        heads: u32,
        kv_heads: u32,
        row_tiles: u32,
        run_capacity: u32,
        tile_columns: u32,
        count: u32,
    }
}

/// A tile of rows that asks what it meets.
#[derive(Clone, Copy, Debug)]
struct Asker {
    /// Rows of the tile, in the unit of rules.
    rows: usize,
    /// Columns there are.
    columns: usize,
    by_key: bool,
    /// Grains of a gathered tile.
    grains: usize,
}

/// How much, at most, a tile of rows meets: what its list must have room for. A list that is too short is right all the same, but has
/// every column visited.
#[derive(Clone, Copy, Debug)]
struct Footprint {
    /// Stretches apart from each other.
    stretches: usize,
    /// Grains that one of them leaves behind its whole tiles.
    width: usize,
    /// Grains that all of them leave.
    grains: usize,
    /// Runs of whole tiles.
    runs: usize,
}

impl Footprint {
    fn of(rule: &Rule, side: &Side<'_>, asker: Asker) -> Self {
        let ramps = rule.terms.iter().filter(|term| matches!(term, Term::Ramp { .. }));
        let ramps = ramps.map(|_| Self::wide(1, asker));
        let mask = Self::of_node(&rule.mask.0, side, asker);
        Self::all(&std::iter::once(mask).chain(ramps).collect::<Vec<_>>(), asker)
    }

    /// Stretches of any length, each met in part at both ends.
    fn wide(stretches: usize, asker: Asker) -> Self {
        Self::narrow(stretches, usize::MAX, asker)
    }

    /// Stretches of `length` columns.
    fn narrow(stretches: usize, length: usize, asker: Asker) -> Self {
        // One more at either end, where they begin and end within a grain.
        let width = length.div_ceil(GRAIN).saturating_add(1);
        let is_wide = width >= asker.grains;
        let width = width.min(asker.grains.saturating_sub(1)).max(1);
        Self { stretches, width, grains: stretches * width, runs: if is_wide { 3 * stretches } else { 0 } }
    }

    fn of_node(node: &Node<usize>, side: &Side<'_>, asker: Asker) -> Self {
        let Asker { rows, columns, by_key, .. } = asker;
        match node {
            Node::Band(Band { .. })
            | Node::SameBlock { .. }
            | Node::Segments(_)
            | Node::Prefix(_)
            | Node::Lengths(_) => Self::wide(1, asker),
            Node::Dilated(Dilated { left, right, dilation, .. }) => {
                let step = dilation.iter().copied().min().unwrap_or(1).max(1) as usize;
                let steps = |steps: &Option<u32>| steps.map_or(usize::MAX, |steps| steps as usize);
                let within =
                    columns.div_ceil(step).min(steps(left).saturating_add(steps(right)).saturating_add(1));
                // Heads of a group may step otherwise.
                let steppings = if dilation.len() > 1 { side.group() } else { 1 };
                Self::narrow((within + 1) * steppings, rows, asker)
            }
            Node::Columns { period, from } if !by_key => {
                let period = (*period).max(1);
                Self::narrow(columns / period as usize + 1, period.saturating_sub(*from) as usize, asker)
            }
            Node::LogSparse { spec, .. } => {
                let span =
                    spec.restart.map_or(columns, |restart| columns.min(restart.max(1) as usize)).max(1);
                let restarts = columns.div_ceil(span) + 1;
                let powers = Self::narrow(restarts * (span.ilog2() as usize + 2), rows, asker);
                Self::any(&[powers, Self::narrow(restarts, rows + spec.local as usize, asker)])
            }
            // Of a list along columns each position is a stretch; otherwise all columns are met, or none.
            &Node::GlobalKeys(tensor) if !by_key => Self::narrow(side.desc(tensor).shape.dims()[1], 1, asker),
            &Node::GlobalQueries(tensor) if by_key => {
                Self::narrow(side.desc(tensor).shape.dims()[1], 1, asker)
            }
            Node::Columns { .. } | Node::GlobalKeys(_) | Node::GlobalQueries(_) => Self::wide(1, asker),
            Node::Blocks(Blocks { layout, .. }) => {
                Self::wide((layout.changes(rows, by_key) / 2 + 1) * side.group(), asker)
            }
            Node::Dense(_) | Node::Custom(_) => Self::wide(UNKNOWN_STRETCHES, asker),
            Node::BigBird(_) => Self::wide(0, asker),
            Node::All(parts) => Self::all(&Self::of_parts(parts, side, asker), asker),
            Node::Any(parts) => Self::any(&Self::of_parts(parts, side, asker)),
            Node::Not(part) => Self::wide(Self::of_node(part, side, asker).stretches + 1, asker),
        }
    }

    fn of_parts(parts: &[Node<usize>], side: &Side<'_>, asker: Asker) -> Vec<Self> {
        parts.iter().map(|part| Self::of_node(part, side, asker)).collect()
    }

    /// What some of the parts meet. Where stretches grow together they leave no more than before.
    fn any(parts: &[Self]) -> Self {
        Self {
            stretches: parts.iter().map(|part| part.stretches).sum(),
            width: parts.iter().map(|part| part.width).max().unwrap_or(0),
            grains: parts.iter().map(|part| part.grains).sum(),
            runs: parts.iter().map(|part| part.runs).sum(),
        }
    }

    /// What all of the parts meet. A stretch of it lies within one of each; and of those of a part, each end of another's makes one more
    /// at most.
    fn all(parts: &[Self], asker: Asker) -> Self {
        let Self { stretches, runs, .. } = Self::any(parts);
        let width = parts.iter().map(|part| part.width).min().unwrap_or(0);
        let cut = |part: &Self| part.grains + 2 * (stretches - part.stretches) * asker.grains;
        let grains = parts.iter().map(cut).min().unwrap_or(0).min(stretches * width);
        Self { stretches, width, grains, runs }
    }

    /// Words of a list: two a run, and two and its grains a gathered tile.
    fn words(&self, columns: usize, grains: usize) -> usize {
        let most = columns.div_ceil(GRAIN);
        if grains == 0 {
            return 2 * (self.runs + self.stretches + 1).min(most + 1);
        }
        // Narrow stretches side by side make whole tiles, too.
        let runs = (self.runs + self.grains / grains).min(most / grains) + 1;
        2 * runs + (self.grains.min(most).div_ceil(grains) + 1) * (2 + grains)
    }
}

/// Stretches that a rule of which nothing is known is given room for.
const UNKNOWN_STRETCHES: usize = 64;
