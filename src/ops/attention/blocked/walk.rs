//! What the forward and the backward kernels share: their tile, their parameters, and the files that say where rows lie and
//! which of them meet.

use super::super::{Dims, EMPTY_ROW_LSE};
use super::Blocked;
use crate::kernel::{AttentionTile, Dispatch, Operand, Params, Shader, Source, params, wgsl};
use crate::ops::contract::to_u32;
use crate::tensor::DType;
use crate::{Error, ErrorKind, Result};

/// A bound of the band that no key reaches. Sums of three such numbers fit an `i32`, so it bounds lengths too.
pub(in crate::ops::attention) const UNLIMITED: u32 = 1 << 29;

/// Invocations of a workgroup that finds the ends of sequences.
const SEGMENT_LANES: u32 = 64;

params! {
    struct WalkParams {
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

pub(in crate::ops::attention) fn check_times(op: &'static str, dims: &Dims) -> Result<()> {
    for (argument, time) in [("query", dims.query_time), ("key", dims.key_time)] {
        if time > UNLIMITED as usize {
            return Err(Error::new(ErrorKind::Limit, op, argument)
                .expecting(format!("a time of at most {UNLIMITED}"))
                .but_found(time));
        }
    }
    Ok(())
}

/// The tile with no more than the `rows` that there are, as rows that do not exist cost as much as those that do; a lane with a
/// single row takes more columns instead.
pub(in crate::ops::attention) fn fitted(tile: AttentionTile, rows: usize) -> AttentionTile {
    let rows = u32::try_from(rows).unwrap_or(u32::MAX).clamp(1, tile.rows * tile.row_groups);
    let own = rows.next_power_of_two().min(tile.rows);
    AttentionTile {
        rows: own,
        row_groups: rows.div_ceil(own).next_power_of_two().min(tile.row_groups),
        key_vectors: if own == 1 { 2 * tile.key_vectors } else { tile.key_vectors },
        ..tile
    }
}

pub(in crate::ops::attention) fn parameters(
    op: &'static str,
    spec: &Blocked,
    dims: &Dims,
    splits: usize,
    count: u32,
) -> Result<Params> {
    let to_u32 = |what, count| to_u32(op, what, count);
    let bound = |keys: Option<u32>| keys.unwrap_or(UNLIMITED).min(UNLIMITED) as i32;
    Ok(WalkParams {
        batch: to_u32("batch", dims.batch)?,
        query_time: to_u32("query", dims.query_time)?,
        key_time: to_u32("key", dims.key_time)?,
        heads: to_u32("heads", dims.heads)?,
        kv_heads: to_u32("kv_heads", dims.kv_heads)?,
        scale: spec.scale_of(dims.head_size) as f32,
        softcap: spec.softcap.unwrap_or(0.0),
        band_left: bound(spec.mask.left),
        band_right: bound(spec.mask.right),
        shift: spec.mask.shift(dims.query_time, dims.key_time) as i32,
        splits: splits as u32,
        count,
    }
    .into())
}

/// A kernel made of its `own` files and those that are the same for every walk over tiles.
pub(in crate::ops::attention) fn shader(
    label: &'static str,
    own: impl IntoIterator<Item = Source>,
    spec: &Blocked,
    dims: &Dims,
    dtype: DType,
    tile: AttentionTile,
) -> Shader {
    let shared = [
        wgsl!("attention/blocked/interface.wgsl"),
        key_source(dims.head_size, dtype),
        value_source(dims.value_size, dtype),
        if spec.lengths.is_some() {
            wgsl!("attention/blocked/lengths_buffer.wgsl")
        } else {
            wgsl!("attention/blocked/lengths_none.wgsl")
        },
        if spec.segments.is_some() {
            wgsl!("attention/blocked/segments_buffer.wgsl")
        } else {
            wgsl!("attention/blocked/segments_none.wgsl")
        },
        if tile.one_subgroup {
            wgsl!("attention/blocked/exchange_subgroup.wgsl")
        } else {
            wgsl!("attention/blocked/exchange_workgroup.wgsl")
        },
    ];
    let shader = Shader::new(label, own.into_iter().chain(shared).collect::<Vec<_>>())
        .alias("KeyPack", dtype, pack_lanes(dims.head_size))
        .alias("ValuePack", dtype, pack_lanes(dims.value_size))
        .constant("HEAD_SIZE", dims.head_size as u32)
        .constant("VALUE_SIZE", dims.value_size as u32)
        .constant("GROUP", dims.group() as u32)
        .constant("EMPTY_ROW_LSE", EMPTY_ROW_LSE)
        .constant("BAND", spec.mask.is_band())
        .constant("SOFTCAP", spec.softcap.is_some())
        .constant("SHARED_READS", tile.one_subgroup)
        .constant("LANES_X", tile.lanes)
        .constant("LANES_Y", tile.row_groups)
        .constant("ROWS", tile.rows)
        .constant("KEY_VECTORS", tile.key_vectors);
    if tile.one_subgroup { shader.subgroups_of(tile.lanes) } else { shader }
}

/// Channels that one load of a row of `size` brings.
pub(in crate::ops::attention) fn pack_lanes(size: usize) -> u32 {
    if size.is_multiple_of(4) { 4 } else { 1 }
}

/// Packs of four channels that each lane owns of a row of `size`.
pub(in crate::ops::attention) fn lane_packs(size: usize, tile: AttentionTile) -> u32 {
    (size.div_ceil(4) as u32).div_ceil(tile.lanes)
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

/// Finds where the sequence of each token begins and ends. Appends to `scratch`; the operand is what to bind as `segments`.
pub(in crate::ops::attention) fn find_segments(
    op: &'static str,
    dims: &Dims,
    ids: Operand,
    scratch: &mut Vec<u64>,
) -> Result<(Dispatch, Operand)> {
    let tokens = to_u32(op, "tokens", dims.batch * dims.query_time)?;
    let segments = Operand::Scratch(scratch.len());
    scratch.push((dims.batch * dims.query_time * size_of::<[i32; 2]>()) as u64);
    let dispatch = Dispatch {
        shader: Shader::new("attention/blocked/segments", [wgsl!("attention/blocked/segments.wgsl")])
            .constant("LANES", SEGMENT_LANES),
        bindings: vec![("ids", ids), ("segments", segments)],
        params: SegmentParams { time: to_u32(op, "query", dims.query_time)?, tokens }.into(),
        workgroups: tokens.div_ceil(SEGMENT_LANES).into(),
    };
    Ok((dispatch, segments))
}
