//! Lists of runs: the dispatch that makes them, and how long they may be.

use super::Asked;
use super::side::Side;
use crate::Result;
use crate::kernel::{Dispatch, Shader, params, wgsl};
use crate::ops::attention::Dims;
use crate::ops::attention::rules::mask::{Band, Blocks, Dilated, Node};
use crate::ops::attention::rules::{Rule, Term};
use crate::ops::contract::to_u32;

/// Invocations of a workgroup.
const LANES: u32 = 32;

/// The finest stretch that runs are made of, as in the shader.
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
    pub(in crate::ops::attention) section: u32,
    pub(in crate::ops::attention) capacity: u32,
    pub(in crate::ops::attention) row_tiles: u32,
    by_batch: bool,
    by_head: bool,
}

impl Runs {
    /// Tells a kernel where its lists are.
    pub(in crate::ops::attention) fn equip(self, mut shader: Shader) -> Shader {
        shader.sources.push(wgsl!("attention/rules/walk.wgsl"));
        self.with_constants(shader)
    }

    fn with_constants(self, shader: Shader) -> Shader {
        shader
            .constant("RUNS", self.section)
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
    let changes = changes(rule, side, rows_together, columns, tiles.rows_are_keys);
    let capacity = changes.saturating_add(1).min(columns / GRAIN + 2);
    let row_tiles = rows.div_ceil(tiles.rows as usize);
    let lists = row_tiles
        * if asked.traits.by_batch { dims.batch } else { 1 }
        * if asked.traits.by_head { dims.kv_heads } else { 1 };
    let section = side.own(lists.saturating_mul(1 + 2 * capacity))?;
    let runs = Runs {
        section,
        capacity: to_u32(op, "rule", capacity)?,
        row_tiles: to_u32(op, "rule", row_tiles)?,
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
        sections: [u32; 16],
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

/// How often, at most, stretches that a tile of rows meets begin or end along `columns`, or whole tiles of them give way to others. A
/// list that holds fewer is right all the same, but has hidden pairs visited.
fn changes(rule: &Rule, side: &Side<'_>, rows: usize, columns: usize, by_key: bool) -> usize {
    let ramps = rule.terms.iter().filter(|term| matches!(term, Term::Ramp { .. })).count();
    4 * ramps + node_changes(&rule.mask.0, side, rows, columns, by_key)
}

fn node_changes(node: &Node<usize>, side: &Side<'_>, rows: usize, columns: usize, by_key: bool) -> usize {
    match node {
        Node::Band(Band { .. }) | Node::SameBlock { .. } | Node::Segments(_) => 4,
        Node::Dilated(Dilated { left, right, dilation, .. }) => {
            let step = dilation.iter().copied().min().unwrap_or(1).max(1) as usize;
            let steps = |steps: &Option<u32>| steps.map_or(usize::MAX, |steps| steps as usize);
            let within =
                columns.div_ceil(step).min(steps(left).saturating_add(steps(right)).saturating_add(1));
            4 * (within + 2)
        }
        Node::Columns { period, .. } if !by_key => 4 * (columns / (*period).max(1) as usize + 1),
        Node::Columns { .. } => 2,
        Node::LogSparse { spec, .. } => {
            let span = spec.restart.map_or(columns, |restart| columns.min(restart.max(1) as usize)).max(1);
            let restarts = columns.div_ceil(span) + 1;
            4 * restarts * (span.ilog2() as usize + 3)
        }
        Node::Prefix(_) | Node::Lengths(_) => 2,
        // Each of them begins and ends once where they lie along columns; otherwise all is met or nothing.
        &Node::GlobalKeys(tensor) if !by_key => 2 * side.desc(tensor).shape.dims()[1],
        &Node::GlobalQueries(tensor) if by_key => 2 * side.desc(tensor).shape.dims()[1],
        Node::GlobalKeys(_) | Node::GlobalQueries(_) => 2,
        Node::Blocks(Blocks { layout, .. }) => 2 * layout.changes(rows, by_key) + 2,
        Node::Dense(_) | Node::Custom(_) => 256,
        Node::BigBird(_) => 0,
        Node::All(parts) | Node::Any(parts) => {
            parts.iter().map(|part| node_changes(part, side, rows, columns, by_key)).sum()
        }
        Node::Not(part) => node_changes(part, side, rows, columns, by_key),
    }
}
