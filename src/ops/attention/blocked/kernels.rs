//! Lowering: one dispatch of `forward.wgsl.j2`, or of `cooperative.wgsl.j2` where the device has fragments for the tensors' type and the
//! tuning wants them; or, when too few rows would leave the device idle, key splits and a merge.
//! What the backward pass reads of rows is written beside the output; the log-sum-exp is made of it by a dispatch of its own, as a device may
//! let a shader have no more than eight buffers. Dispatches before the kernel fill the auxiliary buffer with what the rule reads: lengths, where packed sequences begin and end, tables; and, for
//! masks that are no ranges, the block lists. Masks whose keys lie scattered are walked otherwise, unless on fragments: in the order of residue
//! classes ([`residues`]), or key by key where they are few ([`few_keys`]).
//!
//! Rows of a tile are (query, group member) pairs, so that one query with grouped heads still fills it. Rules by distance are given
//! query - key as a number of the tile plus constants, so that each distance of a tile is computed and read once. Relative keys: the
//! products with a tile's distances are formed as those with its keys are, into a ring of two tiles in workgroup memory, and read askew;
//! ring and weights of a GPU's tile take more than WebGPU's 16 KiB, where its rows are halved. Their block lists hold ranges and gather
//! nothing, as what lies scattered shares no distances.
//!
//! What was measured of other tiles is in the guide's page on performance.

use super::super::Dims;
use super::super::indexed::residues;
use super::super::rules::Rule;
use super::super::rules::lower::{AuxBuffer, BlockLists, CompiledRule, Tiles, make_block_lists};
use super::cooperative::{FragmentTile, Staging};
use super::rows::{self, Channels};
use super::turns::{self, Turns, Work};
use super::walk::{self, Tile, Walk};
use super::{NAME, REQUIRED, few_keys};
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{AttentionTile, Caps, Choice, Dispatch, Kernel, Lowered, Operand, Shader, params, wgsl};
use crate::ops::contract::to_u32;
use crate::tensor::DType;

/// Keys below which splitting a row further costs more than it spreads.
const SHORTEST_SPLIT: usize = 512;

params! {
    struct MergeParams {
        query_time: u32,
        heads: u32,
        rows: u32,
        splits: u32,
    }
}

/// Where the kernel that walks over the keys writes.
#[derive(Clone, Copy, Debug)]
struct Target {
    out: Operand,
    statistics: Option<Operand>,
}

/// Outputs and statistics of each split of the keys.
#[derive(Clone, Copy, Debug)]
struct Partials {
    out: Operand,
    statistics: Operand,
}

pub(super) fn lower(rule: &Rule, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let dims = Dims::of(&step.inputs[0], &step.inputs[1], &step.inputs[2]);
    let dtype = step.inputs[0].dtype;
    walk::check_times(NAME, &dims)?;
    if let Some(lowered) = residues::lower(rule, step, caps)? {
        return Ok(lowered);
    }
    if let Some(lowered) = few_keys::lower(rule, step, caps)? {
        return Ok(lowered);
    }
    let walk = Walk { op: NAME, rule, dims, dtype, tensors: &step.inputs[REQUIRED..] };
    let tile = match fragments(rule, &dims, dtype, caps) {
        Some(tile) => Tile::Fragments(tile),
        None => Tile::Registers(fitted(rule, &dims, caps)),
    };
    let tile_rows = tile.rows() as usize;
    let row_tiles = (dims.query_time * dims.group()).div_ceil(tile_rows);
    let unsplit = dims.batch.saturating_mul(dims.kv_heads).saturating_mul(row_tiles);
    let columns = turns::met(rule, tile_rows.div_ceil(dims.group()), dims.key_time, 1);
    let work = Work { head_products: 1, value_products: 0, sums: 1, channels: dims.value_size, slots: false };
    let turns = Turns::of(&walk, columns, tile, work);
    let busy = splits(rule, &dims, unsplit, caps.tuning.attention.busy_workgroups as usize);
    let splits = busy.max(turns.least_splits(caps));
    let count = to_u32(NAME, "workgroups", unsplit.saturating_mul(splits))?;

    let mut scratch = Vec::new();
    let wanted = final_target(step, &mut scratch);
    let partial = splits > 1;
    let partials = partial.then(|| Partials::new(&dims, splits, &mut scratch));
    let target = partials.map_or(wanted, Partials::target);
    let mut aux = AuxBuffer::new(NAME, caps, &dims, &step.inputs, REQUIRED, scratch.len());
    let compiled = CompiledRule::compile(rule, &dims, &mut aux, false)?;
    let tiles = Tiles { rows_are_keys: false, rows: tile.rows(), columns: tile.columns() };
    let lists = compiled
        .uses_block_lists()
        .then(|| make_block_lists(rule, &compiled, &dims, tiles, &mut aux))
        .transpose()?;

    let mut bindings = vec![
        ("query", Operand::Input(0)),
        ("key", Operand::Input(1)),
        ("value", Operand::Input(2)),
        ("out", target.out),
    ];
    bindings.extend(target.statistics.map(|statistics| ("statistics", statistics)));
    bindings.extend(walk.bindings(&aux));
    let attend = Dispatch {
        shader: forward_shader(&walk, &compiled, &aux, lists, tile, partial, target.statistics.is_some()),
        bindings,
        workgroups: count.into(),
        turns: turns.with(splits),
        params: walk.parameters(&aux, lists, splits, count)?,
    };
    let (bytes, mut dispatches) = aux.finish();
    scratch.extend(bytes);
    dispatches.push(attend);
    let lse = step.wanted[1].then_some(Operand::Output(1));
    if let Some(partials) = partials {
        dispatches.push(merge(&dims, dtype, splits, partials, wanted, lse, caps)?);
    } else if let (Some(statistics), Some(lse)) = (wanted.statistics, lse) {
        dispatches.push(log_sum_exps(dims.batch * dims.query_time * dims.heads, statistics, lse, caps)?);
    }
    Ok(Lowered::Kernels { choice: choice(caps, &compiled, tile, splits), dispatches, scratch })
}

/// The tile of fragments of the forward pass, where the device has them for such tensors.
fn fragments(rule: &Rule, dims: &Dims, dtype: DType, caps: &Caps) -> Option<FragmentTile> {
    FragmentTile::fitted(Staging::Forward, dims.query_time * dims.group(), rule, dims, dtype, caps)
}

/// Whether the forward pass is one of fragments.
pub(in crate::ops::attention) fn uses_fragments(rule: &Rule, dims: &Dims, dtype: DType, caps: &Caps) -> bool {
    fragments(rule, dims, dtype, caps).is_some()
}

fn fitted(rule: &Rule, dims: &Dims, caps: &Caps) -> AttentionTile {
    let tile = walk::fitted(caps.tuning.attention, dims.query_time * dims.group());
    let rings = if rule.relative_keys().is_some() { walk::RING_TILES } else { 0 };
    // Weights, products with relative keys, and the rows' maxima of each lane.
    walk::within(tile, caps.max_workgroup_bytes, |tile| {
        (1 + rings) * walk::pair_bytes(tile)
            + walk::WORD_BYTES
            + 16 * tile.lanes * tile.row_groups * tile.rows.div_ceil(4)
    })
}

/// The outputs; scratch in place of those that nobody reads but this op.
fn final_target(step: &StepDesc, scratch: &mut Vec<u64>) -> Target {
    let out = if step.wanted[0] {
        Operand::Output(0)
    } else {
        scratch.push(step.outputs[0].buffer_bytes());
        Operand::Scratch(scratch.len() - 1)
    };
    let is_read = step.wanted[1] || step.wanted[2];
    Target { out, statistics: is_read.then(|| rows::statistics_of(step, scratch)) }
}

impl Partials {
    fn new(dims: &Dims, splits: usize, scratch: &mut Vec<u64>) -> Self {
        let rows = dims.batch * dims.query_time * dims.heads;
        let bytes = |floats: usize| (splits * floats * size_of::<f32>()) as u64;
        let first = scratch.len();
        scratch.extend([bytes(rows * dims.value_size), bytes(2 * rows)]);
        Self { out: Operand::Scratch(first), statistics: Operand::Scratch(first + 1) }
    }

    fn target(self) -> Target {
        Target { out: self.out, statistics: Some(self.statistics) }
    }
}

fn choice(caps: &Caps, compiled: &CompiledRule, tile: Tile, splits: usize) -> Choice {
    let tiles = format!("{} {} rows x {} keys", tile.name(), tile.rows(), tile.columns());
    let name = if splits > 1 { format!(", {splits} key splits and a merge") } else { String::new() };
    let rule = if compiled.uses_block_lists() { ", along block lists" } else { "" };
    Choice {
        tier: tile.tier(),
        kernel: format!("{tiles}{rule}{name}").into(),
        reason: format!("{}: {}", caps.adapter.name(), reason(tile, splits > 1)).into(),
    }
}

fn reason(tile: Tile, partial: bool) -> &'static str {
    match (partial, tile) {
        (true, _) => "too few rows to fill the device, so keys are split over workgroups",
        (false, Tile::Fragments(_)) => "cooperative matrices, accumulated in f32",
        (false, Tile::Registers(AttentionTile { one_subgroup: true, .. })) => {
            "a workgroup is one subgroup of 8, which passes reads round"
        }
        (false, Tile::Registers(_)) => "lanes share weights through workgroup memory",
    }
}

/// Into how many parts the keys of each row are cut, so that about `busy` workgroups have work.
fn splits(rule: &Rule, dims: &Dims, workgroups: usize, busy: usize) -> usize {
    let band = rule.ranges().unwrap_or_default().band;
    let seen = match (band.left, band.right) {
        (Some(left), Some(right)) => {
            (left as usize).saturating_add(right as usize).saturating_add(dims.query_time)
        }
        _ => dims.key_time,
    };
    let useful = dims.key_time.min(seen) / SHORTEST_SPLIT;
    busy.div_ceil(workgroups.max(1)).min(useful).max(1)
}

fn forward_shader(
    walk: &Walk<'_>,
    compiled: &CompiledRule,
    aux: &AuxBuffer<'_>,
    lists: Option<BlockLists>,
    tile: Tile,
    partial: bool,
    statistics: bool,
) -> Shader {
    let value_size = walk.dims.value_size;
    let is_relative = walk.rule.relative_keys().is_some();
    let mut own = vec![
        match tile {
            Tile::Registers(_) if is_relative => wgsl!("attention/blocked/forward_relative.wgsl.j2"),
            Tile::Registers(_) => wgsl!("attention/blocked/forward.wgsl.j2"),
            Tile::Fragments(_) => wgsl!("attention/blocked/cooperative.wgsl.j2"),
        },
        wgsl!("attention/rows_are_queries.wgsl"),
    ];
    if let Tile::Registers(_) = tile {
        own.push(wgsl!("attention/softmax.macros.j2"));
    }
    if is_relative {
        own.push(wgsl!("attention/relative_products.wgsl"));
    }
    if lists.is_none() {
        own.push(wgsl!("attention/walk_ranges.wgsl"));
    }
    let out = if partial { DType::F32 } else { walk.dtype };
    let writes = [
        walk.rows(tile).write("out", 4, Channels::Value, Some("OutPack")),
        rows::write_statistics(5, statistics),
    ];
    let shader = walk
        .shader("attention/blocked", own, compiled, aux, lists, tile)
        .alias("OutPack", out, walk::pack_lanes(value_size))
        .generated([rows::generated(writes)])
        .constant("ROWS_ARE_KEYS", false)
        .constant("ROWS_ARE_DISTANCES", false)
        .constant("SPLIT", partial)
        .constant("HEADS_FIRST", compiled.uses_block_lists() || compiled.is_packed());
    match tile {
        Tile::Fragments(tile) => tile.equip(shader),
        Tile::Registers(tile) => {
            let mut shader = walk::tiled(shader, tile);
            shader.sources.push(wgsl!("lib/lanes_vec4.wgsl"));
            shader
                .alias("Lanes", DType::F32, 4)
                .constant("VALUE_LANE_PACKS", walk::lane_packs(value_size, tile))
        }
    }
}

/// The log-sum-exp of each of so many rows.
pub(in crate::ops::attention) fn log_sum_exps(
    rows: usize,
    statistics: Operand,
    lse: Operand,
    caps: &Caps,
) -> Result<Dispatch> {
    let rows = to_u32(NAME, "rows", rows)?;
    let sources = [wgsl!("attention/blocked/lse.wgsl"), wgsl!("attention/softmax.wgsl")];
    Ok(softmax_constants(Kernel::new("attention/blocked/lse", sources))
        .read_elements("statistics", statistics, DType::F32)
        .write_elements("lse", lse, DType::F32)
        .per_element(rows, caps))
}

/// Combines the splits' outputs by their statistics.
fn merge(
    dims: &Dims,
    dtype: DType,
    splits: usize,
    partial: Partials,
    wanted: Target,
    lse: Option<Operand>,
    caps: &Caps,
) -> Result<Dispatch> {
    let rows = dims.batch * dims.query_time * dims.heads;
    let channels = to_u32(NAME, "out", rows.saturating_mul(dims.value_size))?;
    let params = MergeParams {
        query_time: to_u32(NAME, "query", dims.query_time)?,
        heads: to_u32(NAME, "heads", dims.heads)?,
        rows: to_u32(NAME, "rows", rows)?,
        splits: to_u32(NAME, "splits", splits)?,
    };
    let sources = [wgsl!("attention/blocked/merge.wgsl"), wgsl!("attention/softmax.wgsl")];
    Ok(softmax_constants(Kernel::new("attention/blocked/merge", sources))
        .constant("VALUE_SIZE", dims.value_size as u32)
        .read("partial_out", partial.out, DType::F32)
        .read("partial_statistics", partial.statistics, DType::F32)
        .write("out", wanted.out, dtype)
        .write_if("statistics", wanted.statistics, DType::F32)
        .write_if("lse", lse, DType::F32)
        .params(params)
        .turns(2 * splits as u64)
        .per_element(channels, caps))
}

/// What `softmax.wgsl` leaves open.
fn softmax_constants(kernel: Kernel) -> Kernel {
    let [(empty, lse), (hidden, bits)] = walk::score_constants();
    kernel.constant(empty, lse).constant(hidden, bits)
}
