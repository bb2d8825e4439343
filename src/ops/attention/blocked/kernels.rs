//! Lowering: one dispatch of `forward.wgsl.j2`, or, when too few rows would leave the device idle, key splits and a merge.
//! Where sequences are packed, a dispatch before it finds where each begins and ends.
//!
//! Rows of a tile are (query, group member) pairs, so that one query with grouped heads still fills it. Measured for 1024
//! tokens x 4 heads x 64 in f32 on lavapipe with two cores, GFLOP/s on Mesa 22.3 / 26: 16 rows x 8 keys a lane gets 17.7 / 50.1
//! and is in the table; 8 rows 12.9 / 32.4 (12 keys), 12 rows 15.9 / 41.8, 24 rows 19.9 / 51.9 (twice the compile time),
//! 16 rows x 16 keys 11.9 / 30.2. With workgroup barriers in place of subgroup barriers 10.1 / 45.7, because Mesa 22.3 turns each
//! into a coroutine switch. f16 read as `vec4<f16>` instead of in pairs 13.0 / 28.4, against 20.5 / 52.0. All that before query
//! rows and weights were passed round the subgroup, each read by one lane: 1.6 times as fast on 22.3 and no slower on 26, where
//! 8 to 32 rows and 8 to 16 keys then measure alike.
//!
//! 32 sequences of 64 tokens, 12 heads of 32, packed, take 1.04 times the processor time of a batch of 32 (Mesa 22.3). With all
//! tiles of a head before the next head, as without segments, it was 1.15.

use super::super::{Dims, EMPTY_ROW_LSE};
use super::{BlockedAttention, NAME};
use crate::graph::Problem;
use crate::kernel::{
    AttentionTile, Caps, Choice, Dispatch, Lowered, Operand, Shader, Source, Tier, params, wgsl,
};
use crate::ops::contract::to_u32;
use crate::tensor::DType;
use crate::{Error, ErrorKind, Result};

/// A bound of the band that no key reaches. Sums of three such numbers fit an `i32`, so it bounds lengths too.
const UNLIMITED: u32 = 1 << 29;

/// Keys below which splitting a row further costs more than it spreads.
const SHORTEST_SPLIT: usize = 512;

/// Invocations of a merging workgroup.
const MERGE_LANES: u32 = 64;

/// Invocations of a workgroup that finds the ends of sequences.
const SEGMENT_LANES: u32 = 64;

params! {
    struct ForwardParams {
        batch: u32,
        query_time: u32,
        key_time: u32,
        heads: u32,
        kv_heads: u32,
        scale: f32,
        softcap: f32,
        band_left: i32,
        band_right: i32,
        shift: i32,
        splits: u32,
        count: u32,
    }
}

params! {
    struct SegmentParams {
        time: u32,
        tokens: u32,
    }
}

params! {
    struct MergeParams {
        query_time: u32,
        heads: u32,
        rows: u32,
        splits: u32,
    }
}

pub(super) fn lower(attention: &BlockedAttention, problem: &Problem, caps: &Caps) -> Result<Lowered> {
    let dims = Dims::of(&problem.inputs[0], &problem.inputs[1], &problem.inputs[2]);
    let dtype = problem.inputs[0].dtype;
    check_times(&dims)?;
    let tile = fitted(caps.tuning.attention, &dims);
    let tile_rows = (tile.rows * tile.row_groups) as usize;
    let row_tiles = (dims.query_time * dims.group()).div_ceil(tile_rows);
    let unsplit = dims.batch.saturating_mul(dims.kv_heads).saturating_mul(row_tiles);
    let splits = splits(attention, &dims, unsplit, caps.tuning.attention.busy_workgroups as usize);
    let params = forward_params(
        attention,
        &dims,
        splits,
        to_u32(NAME, "workgroups", unsplit.saturating_mul(splits))?,
    )?;

    let mut bindings =
        vec![("query", Operand::Input(0)), ("key", Operand::Input(1)), ("value", Operand::Input(2))];
    let mut dispatches = Vec::new();
    let mut scratch = Vec::new();
    let partial = splits > 1;
    let (out, lse) = if partial {
        let rows = dims.batch * dims.query_time * dims.heads;
        scratch
            .extend([rows * dims.value_size, rows].map(|floats| (splits * floats * size_of::<f32>()) as u64));
        (Operand::Scratch(0), Some(Operand::Scratch(1)))
    } else {
        (Operand::Output(0), attention.lse.then_some(Operand::Output(1)))
    };
    bindings.push(("out", out));
    bindings.extend(lse.map(|lse| ("lse", lse)));
    let optional = attention.spec.optional_inputs();
    bindings.extend(optional.lengths.map(|at| ("lengths", Operand::Input(at))));
    if let Some(at) = optional.segments {
        let segments = Operand::Scratch(scratch.len());
        scratch.push((dims.batch * dims.query_time * size_of::<[i32; 2]>()) as u64);
        dispatches.push(find_segments(&dims, Operand::Input(at), segments)?);
        bindings.push(("segments", segments));
    }

    dispatches.push(Dispatch {
        shader: forward_shader(attention, &dims, dtype, tile, partial, lse.is_some()),
        bindings,
        workgroups: params.count.into(),
        params: params.into(),
    });
    if partial {
        dispatches.push(merge(attention, &dims, dtype, splits)?);
    }
    Ok(Lowered::Kernels { choice: choice(caps, tile, splits), dispatches, scratch })
}

fn choice(caps: &Caps, tile: AttentionTile, splits: usize) -> Choice {
    let rows = tile.rows * tile.row_groups;
    let keys = 4 * tile.key_vectors * tile.lanes;
    let name = if splits > 1 { format!(", {splits} key splits and a merge") } else { String::new() };
    Choice {
        tier: Tier::RegisterTile,
        kernel: format!("blocked {rows} rows x {keys} keys{name}").into(),
        reason: format!("{}: {}", caps.adapter.name(), reason(tile, splits > 1)).into(),
    }
}

fn reason(tile: AttentionTile, partial: bool) -> &'static str {
    match (partial, tile.one_subgroup) {
        (true, _) => "too few rows to fill the device, so keys are split over workgroups",
        (false, true) => "a workgroup is one subgroup of 8, which passes reads round",
        (false, false) => "lanes share weights through workgroup memory",
    }
}

fn check_times(dims: &Dims) -> Result<()> {
    for (argument, time) in [("query", dims.query_time), ("key", dims.key_time)] {
        if time > UNLIMITED as usize {
            return Err(Error::new(ErrorKind::Limit, NAME, argument)
                .expecting(format!("a time of at most {UNLIMITED}"))
                .but_found(time));
        }
    }
    Ok(())
}

/// The tile with no more rows than there are, as rows that do not exist cost as much as those that do; a lane with a single
/// row takes more keys instead.
fn fitted(tile: AttentionTile, dims: &Dims) -> AttentionTile {
    let rows = u32::try_from(dims.query_time * dims.group())
        .unwrap_or(u32::MAX)
        .clamp(1, tile.rows * tile.row_groups);
    let own = rows.next_power_of_two().min(tile.rows);
    AttentionTile {
        rows: own,
        row_groups: rows.div_ceil(own).next_power_of_two().min(tile.row_groups),
        key_vectors: if own == 1 { 2 * tile.key_vectors } else { tile.key_vectors },
        ..tile
    }
}

/// Into how many parts the keys of each row are cut, so that about `busy` workgroups have work.
fn splits(attention: &BlockedAttention, dims: &Dims, workgroups: usize, busy: usize) -> usize {
    let mask = attention.spec.mask;
    let seen = match (mask.left, mask.right) {
        (Some(left), Some(right)) => {
            (left as usize).saturating_add(right as usize).saturating_add(dims.query_time)
        }
        _ => dims.key_time,
    };
    let useful = dims.key_time.min(seen) / SHORTEST_SPLIT;
    busy.div_ceil(workgroups.max(1)).min(useful).max(1)
}

fn forward_params(
    attention: &BlockedAttention,
    dims: &Dims,
    splits: usize,
    count: u32,
) -> Result<ForwardParams> {
    let to_u32 = |what, count| to_u32(NAME, what, count);
    let bound = |keys: Option<u32>| keys.unwrap_or(UNLIMITED).min(UNLIMITED) as i32;
    let mask = attention.spec.mask;
    Ok(ForwardParams {
        batch: to_u32("batch", dims.batch)?,
        query_time: to_u32("query", dims.query_time)?,
        key_time: to_u32("key", dims.key_time)?,
        heads: to_u32("heads", dims.heads)?,
        kv_heads: to_u32("kv_heads", dims.kv_heads)?,
        scale: attention.scale(dims.head_size) as f32,
        softcap: attention.spec.softcap.unwrap_or(0.0),
        band_left: bound(mask.left),
        band_right: bound(mask.right),
        shift: mask.shift(dims.query_time, dims.key_time) as i32,
        splits: splits as u32,
        count,
    })
}

fn forward_shader(
    attention: &BlockedAttention,
    dims: &Dims,
    dtype: DType,
    tile: AttentionTile,
    partial: bool,
    lse: bool,
) -> Shader {
    let optional = attention.spec.optional_inputs();
    let out = if partial { DType::F32 } else { dtype };
    let value_lanes = if dims.value_size.is_multiple_of(4) { 4 } else { 1 };
    let shader = Shader::new(
        "attention/blocked",
        [
            wgsl!("attention/blocked/forward.wgsl.j2"),
            wgsl!("attention/blocked/interface.wgsl"),
            wgsl!("lib/lanes_vec4.wgsl"),
            key_source(dims.head_size, dtype),
            value_source(dims.value_size, dtype),
            lse_source(lse),
            if optional.lengths.is_some() {
                wgsl!("attention/blocked/lengths_buffer.wgsl")
            } else {
                wgsl!("attention/blocked/lengths_none.wgsl")
            },
            if optional.segments.is_some() {
                wgsl!("attention/blocked/segments_buffer.wgsl")
            } else {
                wgsl!("attention/blocked/segments_none.wgsl")
            },
            if tile.one_subgroup {
                wgsl!("attention/blocked/exchange_subgroup.wgsl")
            } else {
                wgsl!("attention/blocked/exchange_workgroup.wgsl")
            },
        ],
    )
    .alias("KeyPack", dtype, if dims.head_size.is_multiple_of(4) { 4 } else { 1 })
    .alias("ValuePack", dtype, value_lanes)
    .alias("OutPack", out, value_lanes)
    .constant("HEAD_SIZE", dims.head_size as u32)
    .constant("VALUE_SIZE", dims.value_size as u32)
    .constant("GROUP", dims.group() as u32)
    .alias("Lanes", DType::F32, 4)
    .constant("EMPTY_ROW_LSE", EMPTY_ROW_LSE)
    .constant("BAND", attention.spec.mask.is_band())
    .constant("SOFTCAP", attention.spec.softcap.is_some())
    .constant("SPLIT", partial)
    .constant("SHARED_READS", tile.one_subgroup)
    .constant("LANES_X", tile.lanes)
    .constant("LANES_Y", tile.row_groups)
    .constant("ROWS", tile.rows)
    .constant("KEY_VECTORS", tile.key_vectors)
    .constant("LANE_PACKS", (dims.value_size.div_ceil(4) as u32).div_ceil(tile.lanes));
    if tile.one_subgroup { shader.subgroups_of(tile.lanes) } else { shader }
}

fn key_source(head_size: usize, dtype: DType) -> Source {
    match (head_size % 4, dtype) {
        (0, DType::F16) => wgsl!("attention/blocked/key_f16.wgsl"),
        (0, _) => wgsl!("attention/blocked/key_vec4.wgsl"),
        _ => wgsl!("attention/blocked/key_scalar.wgsl"),
    }
}

fn value_source(value_size: usize, dtype: DType) -> Source {
    match (value_size % 4, dtype) {
        (0, DType::F16) => wgsl!("attention/blocked/value_f16.wgsl"),
        (0, _) => wgsl!("attention/blocked/value_vec4.wgsl"),
        _ => wgsl!("attention/blocked/value_scalar.wgsl"),
    }
}

fn lse_source(lse: bool) -> Source {
    if lse { wgsl!("attention/blocked/lse_buffer.wgsl") } else { wgsl!("attention/blocked/lse_none.wgsl") }
}

/// Finds where the sequence of each token begins and ends.
fn find_segments(dims: &Dims, ids: Operand, segments: Operand) -> Result<Dispatch> {
    let tokens = to_u32(NAME, "tokens", dims.batch * dims.query_time)?;
    Ok(Dispatch {
        shader: Shader::new("attention/blocked/segments", [wgsl!("attention/blocked/segments.wgsl")])
            .constant("LANES", SEGMENT_LANES),
        bindings: vec![("ids", ids), ("segments", segments)],
        params: SegmentParams { time: to_u32(NAME, "query", dims.query_time)?, tokens }.into(),
        workgroups: tokens.div_ceil(SEGMENT_LANES).into(),
    })
}

/// Combines the splits' outputs by their log-sum-exps.
fn merge(attention: &BlockedAttention, dims: &Dims, dtype: DType, splits: usize) -> Result<Dispatch> {
    let rows = to_u32(NAME, "rows", dims.batch * dims.query_time * dims.heads)?;
    let channels = u64::from(rows) * dims.value_size as u64;
    let mut bindings = vec![
        ("partial_out", Operand::Scratch(0)),
        ("partial_lse", Operand::Scratch(1)),
        ("out", Operand::Output(0)),
    ];
    bindings.extend(attention.lse.then_some(("lse", Operand::Output(1))));
    let params = MergeParams {
        query_time: to_u32(NAME, "query", dims.query_time)?,
        heads: to_u32(NAME, "heads", dims.heads)?,
        rows,
        splits: to_u32(NAME, "splits", splits)?,
    };
    Ok(Dispatch {
        shader: Shader::new(
            "attention/blocked/merge",
            [wgsl!("attention/blocked/merge.wgsl"), lse_source(attention.lse)],
        )
        .alias("OutElem", dtype, 1)
        .constant("EMPTY_ROW_LSE", EMPTY_ROW_LSE)
        .constant("VALUE_SIZE", dims.value_size as u32)
        .constant("LANES", MERGE_LANES),
        bindings,
        params: params.into(),
        workgroups: channels.div_ceil(MERGE_LANES.into()),
    })
}
