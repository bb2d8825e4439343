//! Lowering: what each row must know beforehand, then a pass that owns queries (`dq`) and one that owns keys (`dk` and `dv` at
//! once), as far as anybody reads them: `dq.wgsl.j2` and `dkv.wgsl.j2`, or, with relative keys, the files of the same names with
//! `_relative`; or `cooperative.wgsl.j2` where they do nothing but sum and the device has fragments for the tensors' type (weights and
//! their gradients are rounded to that). A third, which owns distances, is for the gradient of relative keys. What the gradients of other
//! tensors of a rule are made of is summed by the owner of its row. Where a driver would end its loops before it is done, a pass is cut into
//! splits of its columns, whose sums are added up behind it.
//!
//! Scores are computed as in the forward pass, operation by operation, so that they are weighed against that pass's maximum: of a score of
//! 1e9 the last place is 64. (On cooperative matrices, the passes that sum for tensors of a rule are register tiles: there, products round
//! otherwise than in the forward pass.)
//!
//! A device may let a shader have fewer buffers than a pass has results and rules have tensors: then each result has a pass of its own.
//!
//! Scores are computed in both passes, seven products in all; five are counted, 5/2 of the forward pass's flops. With relative keys, the
//! pass that owns queries forms products of a tile's distances as the forward pass does. The one that owns keys takes each pair's by
//! itself: its tiles of queries share none with the tile before, so that 16 rows x 32 columns would take three times the products.
//!
//! What was measured of other tiles is in the guide's page on performance.

use super::super::cooperative::{FragmentTile, Staging};
use super::super::few_keys;
use super::super::rows;
use super::super::walk::{self, Tile, Walk};
use super::passes::{Pass, Rows};
use super::statistics::find_statistics;
use super::{Attended, BlockedBackward, D_LSE, NAME, Outputs};
use crate::graph::StepDesc;
use crate::kernel::{AttentionTile, Caps, Choice, Dispatch, Kernel, Lowered, Operand, Tier, params, wgsl};
use crate::ops::attention::indexed::residues;
use crate::ops::attention::rules::lower::{AuxBuffer, BlockLists, CompiledRule, Tiles, make_block_lists};
use crate::ops::attention::{Dims, UNLIMITED};
use crate::ops::contract::to_u32;
use crate::ops::fill::zeros;
use crate::tensor::{DType, TensorDesc};
use crate::{Error, ErrorKind, Result};

params! {
    struct SplitParams {
        splits: u32,
    }
}

pub(super) fn lower(op: &BlockedBackward, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let dims = Dims::of(&step.inputs[0], &step.inputs[1], &step.inputs[2]);
    check(&dims)?;
    let rule = &op.rule;
    let attended = Attended {
        out: Operand::Input(3),
        statistics: Operand::Input(4),
        d_out: Operand::Input(5),
        d_lse: op.d_lse.then_some(Operand::Input(D_LSE)),
    };
    if let Some(lowered) = residues::lower_backward(rule, &attended, step, caps)? {
        return Ok(lowered);
    }
    if let Some(lowered) = few_keys::lower_backward(rule, &attended, step, caps)? {
        return Ok(lowered);
    }
    let required = op.required();
    let dtype = step.inputs[0].dtype;
    let walk = Walk { op: NAME, rule, dims, dtype, tensors: &step.inputs[required..] };
    let mut aux = AuxBuffer::new(NAME, caps, &dims, &step.inputs, required, 0);
    let compiled = CompiledRule::compile(rule, &dims, &mut aux, true)?;
    // Where there are no queries, the pass that owns keys still binds the buffer.
    let statistics = aux.own((dims.batch * dims.query_time * dims.heads).max(1) * 3)?;
    let find = find_statistics(op, &dims, dtype, &aux, statistics, caps)?;
    aux.push(find);

    // Query, key, value and the upstream gradient, and what the rule reads.
    let shared = 4 + walk.bindings(&aux).len();
    let room = (caps.max_storage_buffers as usize).saturating_sub(shared).max(1);
    let passes = Pass::all(&Outputs::of(rule), &step.wanted, room);
    let prepared = prepare(&passes, &walk, &compiled, &mut aux, caps)?;
    let mut walks = Vec::new();
    // Behind the auxiliary buffer.
    let mut partials: Vec<u64> = Vec::new();
    for &Prepared { pass, tile, lists } in &prepared {
        if let Some(pairs) = pass.pairs {
            // Pairs that no tile holds are not visited.
            walks.push(zeros(NAME, &step.outputs[pairs], Operand::Output(pairs), caps)?);
        }
        let splits = pass.turns(&walk, tile).least_splits(caps);
        let mut results = Vec::new();
        let mut sums = Vec::new();
        for (name, output) in pass.results() {
            let desc = &step.outputs[output];
            if splits == 1 || name == "d_pairs" {
                results.push((name, Operand::Output(output)));
                continue;
            }
            let partial = Operand::Scratch(1 + partials.len());
            partials.push((splits * desc.elements() * size_of::<f32>()) as u64);
            results.push((name, partial));
            sums.push(add_splits(partial, desc, Operand::Output(output), splits, caps)?);
        }
        walks.push(walk_over(&walk, &compiled, &aux, lists, statistics, pass, tile, (splits, results))?);
        walks.extend(sums);
    }
    let (bytes, mut dispatches) = aux.finish();
    dispatches.extend(walks);
    Ok(Lowered::Kernels {
        choice: choice(caps, &compiled, &prepared),
        dispatches,
        scratch: bytes.into_iter().chain(partials).collect(),
    })
}

/// A pass with its tile and, for a mask that is walked by block lists and not by ranges of keys, these lists.
#[derive(Clone, Copy, Debug)]
struct Prepared {
    pass: Pass,
    tile: Tile,
    lists: Option<BlockLists>,
}

/// Chooses tiles, and makes block lists, which passes that own the same rows share.
fn prepare(
    passes: &[Pass],
    walk: &Walk<'_>,
    compiled: &CompiledRule,
    aux: &mut AuxBuffer<'_>,
    caps: &Caps,
) -> Result<Vec<Prepared>> {
    let mut prepared: Vec<Prepared> = Vec::new();
    for &pass in passes {
        let tile = tile_of(pass.rows, passes, walk, caps);
        let lists = match prepared.iter().find(|other| other.pass.rows == pass.rows) {
            Some(known) => known.lists,
            None if compiled.uses_block_lists() && pass.rows != Rows::Distances => {
                let tiles = Tiles {
                    rows_are_keys: pass.rows == Rows::Keys,
                    rows: tile.rows(),
                    columns: tile.columns(),
                };
                Some(make_block_lists(walk.rule, compiled, &walk.dims, tiles, aux)?)
            }
            None => None,
        };
        prepared.push(Prepared { pass, tile, lists });
    }
    Ok(prepared)
}

fn check(dims: &Dims) -> Result<()> {
    walk::check_times(NAME, dims)?;
    let rows = dims.query_time * dims.group();
    if rows > UNLIMITED as usize {
        return Err(Error::new(ErrorKind::Limit, NAME, "query")
            .expecting(format!("at most {UNLIMITED} rows for one key head"))
            .but_found(rows));
    }
    Ok(())
}

/// The tile of the passes that own `rows`: all alike, as they share block lists. What goes into slots and pairs is read from products in
/// registers.
fn tile_of(rows: Rows, passes: &[Pass], walk: &Walk<'_>, caps: &Caps) -> Tile {
    let sums_only = |pass: &Pass| pass.rows != rows || (pass.slots.is_none() && pass.pairs.is_none());
    let fragments = if rows != Rows::Distances && passes.iter().all(sums_only) {
        let Walk { rule, dims, dtype, .. } = walk;
        FragmentTile::fitted(Staging::Backward, rows.count(walk), rule, dims, *dtype, caps)
    } else {
        None
    };
    fragments.map_or_else(|| Tile::Registers(fitted(caps, rows, walk)), Tile::Fragments)
}

fn fitted(caps: &Caps, rows: Rows, walk: &Walk<'_>) -> AttentionTile {
    let tile = caps.tuning.attention;
    let packs = walk::lane_packs(walk.dims.head_size, tile) + walk::lane_packs(walk.dims.value_size, tile);
    let tile = AttentionTile {
        key_vectors: tile.backward_key_vectors,
        rows: (walk::MOST_PACKS / packs.max(1)).clamp(1, tile.rows),
        ..tile
    };
    let (added, raw) = rows.shares(walk.rule);
    let rings =
        if rows == Rows::Queries && walk.rule.relative_keys().is_some() { walk::RING_TILES } else { 0 };
    // P and dS, dS on its other ways, and products with relative keys.
    let arrays = 1 + u32::from(rows == Rows::Keys) + u32::from(added) + u32::from(raw) + rings;
    walk::within(walk::fitted(tile, rows.count(walk)), caps.max_workgroup_bytes, |tile| {
        arrays * walk::pair_bytes(tile) + walk::WORD_BYTES
    })
}

fn choice(caps: &Caps, compiled: &CompiledRule, prepared: &[Prepared]) -> Choice {
    let words: Vec<String> = prepared
        .iter()
        .map(|Prepared { pass, tile, .. }| {
            let (name, count, columns) = (tile.name(), tile.rows(), tile.columns());
            match pass.rows {
                Rows::Queries => format!("{name} {count} rows x {columns} keys"),
                Rows::Keys => format!("{name} {count} keys x {columns} rows"),
                Rows::Distances => format!("{name} {count} distances x {columns} rows"),
            }
        })
        .collect();
    let rule = if compiled.uses_block_lists() { ", along block lists" } else { "" };
    // The passes that own queries and keys do nearly all of the work, on one tier.
    let tier = prepared.first().map_or(Tier::RegisterTile, |first| first.tile.tier());
    Choice {
        tier,
        kernel: format!("backward {}{rule}", words.join(", ")).into(),
        reason: format!("{}: {}", caps.adapter.name(), "sums stay with the owner of their row").into(),
    }
}

/// Adds up what the splits of a pass have summed, in f32, in the type of `desc`.
pub(in crate::ops::attention) fn add_splits(
    partial: Operand,
    desc: &TensorDesc,
    result: Operand,
    splits: usize,
    caps: &Caps,
) -> Result<Dispatch> {
    let lanes = if desc.elements().is_multiple_of(4) { 4 } else { 1 };
    let count = to_u32(NAME, "gradients", desc.elements())? / lanes;
    let sources = [wgsl!("attention/blocked/backward/add_splits.wgsl")];
    Ok(Kernel::new("attention/blocked_backward/add_splits", sources)
        .lanes(lanes)
        .read("partial", partial, DType::F32)
        .write("result", result, desc.dtype)
        .params(SplitParams { splits: to_u32(NAME, "splits", splits)? })
        .turns(splits as u64)
        .per_element(count, caps))
}

/// One pass over the tiles that meet, in `splits` parts of the columns, with the results that it writes.
#[expect(clippy::too_many_arguments, reason = "all of what a pass is made of")]
fn walk_over(
    walk: &Walk<'_>,
    compiled: &CompiledRule,
    aux: &AuxBuffer<'_>,
    lists: Option<BlockLists>,
    statistics: u32,
    pass: Pass,
    tile: Tile,
    (splits, results): (usize, Vec<(&'static str, Operand)>),
) -> Result<Dispatch> {
    let Walk { rule, dims, dtype, .. } = *walk;
    let row_tiles = pass.rows.count(walk).div_ceil(tile.rows() as usize);
    // Relative keys sum over batch items.
    let batch = if pass.rows == Rows::Distances { 1 } else { dims.batch };
    let count = batch.saturating_mul(dims.kv_heads).saturating_mul(row_tiles).saturating_mul(splits);
    let count = to_u32(NAME, "workgroups", count)?;
    let own = pass.sources(rule, tile, lists.is_some());
    let sum_type = if splits > 1 { DType::F32 } else { dtype };
    let (added, raw) = pass.rows.shares(rule);
    let (shares_added, shares_raw) = (pass.slots.is_some() && added, pass.slots.is_some() && raw);
    let shader = walk
        .shader(NAME, own, compiled, aux, lists, tile)
        .generated([rows::generated(pass.accessors(walk, tile))])
        .constant("ROWS_ARE_KEYS", pass.rows == Rows::Keys)
        .constant("ROWS_ARE_DISTANCES", pass.rows == Rows::Distances)
        .alias("KeySum", sum_type, walk::pack_lanes(dims.head_size))
        .alias("ValueSum", sum_type, walk::pack_lanes(dims.value_size))
        .constant("SPLIT", splits > 1)
        .constant("WANTS_SCORES", pass.scores.is_some())
        .constant("WANTS_VALUES", pass.values.is_some())
        .constant("WANTS_SLOTS", pass.slots.is_some())
        .constant("WANTS_PAIRS", pass.pairs.is_some())
        .constant("SHARES_ADDED", shares_added)
        .constant("SHARES_RAW", shares_raw)
        .constant("STATISTICS", statistics)
        .constant("PACKED", compiled.is_packed())
        .constant("HEADS_FIRST", compiled.uses_block_lists() || compiled.is_packed());
    let mut shader = match tile {
        Tile::Fragments(tile) => tile.equip(shader),
        Tile::Registers(tile) => walk::tiled(shader, tile)
            .constant("KEY_LANE_PACKS", walk::lane_packs(dims.head_size, tile))
            .constant("VALUE_LANE_PACKS", walk::lane_packs(dims.value_size, tile)),
    };
    if pass.slots.is_some() {
        shader = shader.generated([compiled.slots(pass.rows == Rows::Keys).clone()]);
    }
    let mut bindings = vec![
        ("query", Operand::Input(0)),
        ("key", Operand::Input(1)),
        ("value", Operand::Input(2)),
        ("d_out", Operand::Input(5)),
    ];
    bindings.extend(walk.bindings(aux));
    bindings.extend(results);
    Ok(Dispatch {
        shader,
        bindings,
        params: walk.parameters(aux, lists, splits, count)?,
        workgroups: count.into(),
        turns: pass.turns(walk, tile).with(splits),
    })
}
