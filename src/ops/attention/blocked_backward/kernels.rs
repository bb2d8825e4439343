//! Lowering: what each row must know beforehand, then a pass that owns queries (`dq`) and one that owns keys (`dk` and `dv` at
//! once), as far as anybody reads them. Both are `backward.wgsl.j2`, with rows and columns exchanged.

use super::super::blocked::walk;
use super::super::{Dims, EMPTY_ROW_LSE};
use super::{BlockedBackward, D_LSE, NAME};
use crate::graph::Problem;
use crate::kernel::{
    AttentionTile, Caps, Choice, Dispatch, Lowered, Operand, Shader, Source, Tier, params, wgsl,
};
use crate::ops::contract::to_u32;
use crate::tensor::DType;
use crate::{Error, ErrorKind, Result};

params! {
    struct StatisticsParams {
        query_time: u32,
        kv_heads: u32,
        rows: u32,
    }
}

/// What a pass owns, and so which gradients it computes.
#[derive(Clone, Copy, Debug)]
enum Pass {
    /// Queries; keys are walked over.
    Queries,
    /// Keys; queries are walked over. One of both gradients at least.
    Keys { dk: bool, dv: bool },
}

pub(super) fn lower(op: &BlockedBackward, problem: &Problem, caps: &Caps) -> Result<Lowered> {
    let dims = Dims::of(&problem.inputs[0], &problem.inputs[1], &problem.inputs[2]);
    check(&dims)?;
    let dtype = problem.inputs[0].dtype;
    let mut dispatches = Vec::new();
    // Where there are no queries, the pass that owns keys still binds the buffer.
    let mut scratch = vec![(dims.batch * dims.query_time * dims.heads).max(1) as u64 * 8];
    let statistics = Operand::Scratch(0);
    dispatches.push(find_statistics(op, &dims, dtype, caps.tuning.streaming_lanes, statistics)?);

    let optional = op.spec.optional_inputs(op.required());
    let mut columns: Vec<_> =
        optional.lengths.map(|at| ("lengths", Operand::Input(at))).into_iter().collect();
    if let Some(at) = optional.segments {
        let (find, segments) = walk::find_segments(NAME, &dims, Operand::Input(at), &mut scratch)?;
        dispatches.push(find);
        columns.push(("segments", segments));
    }
    let mut bindings = vec![
        ("query", Operand::Input(0)),
        ("key", Operand::Input(1)),
        ("value", Operand::Input(2)),
        ("d_out", Operand::Input(5)),
        ("statistics", statistics),
    ];
    bindings.extend(columns);

    let mut tiles = Vec::new();
    let (dk, dv) = (problem.wanted[1], problem.wanted[2]);
    let passes = [(problem.wanted[0], Pass::Queries), (dk || dv, Pass::Keys { dk, dv })];
    for (_, pass) in passes.into_iter().filter(|(wanted, _)| *wanted) {
        let tile = caps.tuning.attention;
        let tile = AttentionTile { key_vectors: tile.backward_key_vectors, ..tile };
        let tile = walk::fitted(tile, pass.rows(&dims));
        tiles.push((pass, tile));
        dispatches.push(walk_over(op, &dims, dtype, pass, tile, &bindings)?);
    }
    Ok(Lowered::Kernels { choice: choice(caps, &tiles), dispatches, scratch })
}

fn check(dims: &Dims) -> Result<()> {
    walk::check_times(NAME, dims)?;
    let rows = dims.query_time * dims.group();
    if rows > walk::UNLIMITED as usize {
        return Err(Error::new(ErrorKind::Limit, NAME, "query")
            .expecting(format!("at most {} rows for one key head", walk::UNLIMITED))
            .but_found(rows));
    }
    Ok(())
}

fn choice(caps: &Caps, tiles: &[(Pass, AttentionTile)]) -> Choice {
    let words: Vec<String> = tiles
        .iter()
        .map(|(pass, tile)| {
            let (rows, columns) = (tile.rows * tile.row_groups, 4 * tile.key_vectors * tile.lanes);
            match pass {
                Pass::Queries => format!("{rows} rows x {columns} keys"),
                Pass::Keys { .. } => format!("{rows} keys x {columns} rows"),
            }
        })
        .collect();
    Choice {
        tier: Tier::RegisterTile,
        kernel: format!("blocked backward {}", words.join(", ")).into(),
        reason: format!("{}: {}", caps.adapter.name(), "sums stay with the owner of their row").into(),
    }
}

impl Pass {
    /// What the workgroups of one batch item and key head own together.
    fn rows(self, dims: &Dims) -> usize {
        match self {
            Self::Queries => dims.query_time * dims.group(),
            Self::Keys { .. } => dims.key_time,
        }
    }

    /// What a pass has of its own: what its rows are, and its results.
    fn sources(self, dims: &Dims) -> Vec<Source> {
        let whole = |size: usize| size.is_multiple_of(4);
        match self {
            Self::Queries => vec![
                wgsl!("attention/blocked_backward/rows_are_queries.wgsl"),
                if whole(dims.head_size) {
                    wgsl!("attention/blocked_backward/dq_vec4.wgsl")
                } else {
                    wgsl!("attention/blocked_backward/dq_scalar.wgsl")
                },
            ],
            Self::Keys { dk, dv } => {
                let mut sources = vec![wgsl!("attention/blocked_backward/rows_are_keys.wgsl")];
                sources.extend(dk.then_some(if whole(dims.head_size) {
                    wgsl!("attention/blocked_backward/dk_vec4.wgsl")
                } else {
                    wgsl!("attention/blocked_backward/dk_scalar.wgsl")
                }));
                sources.extend(dv.then_some(if whole(dims.value_size) {
                    wgsl!("attention/blocked_backward/dv_vec4.wgsl")
                } else {
                    wgsl!("attention/blocked_backward/dv_scalar.wgsl")
                }));
                sources
            }
        }
    }

    fn results(self) -> Vec<(&'static str, Operand)> {
        match self {
            Self::Queries => vec![("dq", Operand::Output(0))],
            Self::Keys { dk, dv } => {
                let dk = dk.then_some(("dk", Operand::Output(1)));
                dk.into_iter().chain(dv.then_some(("dv", Operand::Output(2)))).collect()
            }
        }
    }
}

/// One pass over the tiles that meet.
fn walk_over(
    op: &BlockedBackward,
    dims: &Dims,
    dtype: DType,
    pass: Pass,
    tile: AttentionTile,
    bindings: &[(&'static str, Operand)],
) -> Result<Dispatch> {
    let row_tiles = pass.rows(dims).div_ceil((tile.rows * tile.row_groups) as usize);
    let count = dims.batch.saturating_mul(dims.kv_heads).saturating_mul(row_tiles);
    let count = to_u32(NAME, "workgroups", count)?;
    let mut own = vec![
        wgsl!("attention/blocked_backward/backward.wgsl.j2"),
        wgsl!("attention/blocked_backward/gradients.wgsl"),
        d_out_source(dims.value_size, dtype),
    ];
    own.extend(pass.sources(dims));
    let (by_key, scores, values) = match pass {
        Pass::Queries => (false, true, false),
        Pass::Keys { dk, dv } => (true, dk, dv),
    };
    let shader = walk::shader(NAME, own, &op.spec, dims, dtype, tile)
        .constant("ROWS_ARE_KEYS", by_key)
        .constant("WANTS_SCORES", scores)
        .constant("WANTS_VALUES", values)
        .constant("KEY_LANE_PACKS", walk::lane_packs(dims.head_size, tile))
        .constant("VALUE_LANE_PACKS", walk::lane_packs(dims.value_size, tile));
    Ok(Dispatch {
        shader,
        bindings: bindings.iter().copied().chain(pass.results()).collect(),
        params: walk::parameters(NAME, &op.spec, dims, 1, count)?,
        workgroups: count.into(),
    })
}

fn d_out_source(value_size: usize, dtype: DType) -> Source {
    match (value_size % 4, dtype) {
        (0, DType::F16) => wgsl!("attention/blocked_backward/d_out_f16.wgsl"),
        (0, _) => wgsl!("attention/blocked_backward/d_out_vec4.wgsl"),
        _ => wgsl!("attention/blocked_backward/d_out_scalar.wgsl"),
    }
}

/// Finds `L` and `D` of each row.
fn find_statistics(
    op: &BlockedBackward,
    dims: &Dims,
    dtype: DType,
    workers: u32,
    statistics: Operand,
) -> Result<Dispatch> {
    let rows = to_u32(NAME, "rows", dims.batch * dims.query_time * dims.heads)?;
    let mut bindings =
        vec![("out", Operand::Input(3)), ("lse", Operand::Input(4)), ("d_out", Operand::Input(5))];
    bindings.extend(op.d_lse.then_some(("d_lse", Operand::Input(D_LSE))));
    bindings.push(("statistics", statistics));
    let lanes = walk::pack_lanes(dims.value_size);
    let shader = Shader::new(
        "attention/blocked_backward/statistics",
        [
            wgsl!("attention/blocked_backward/statistics.wgsl"),
            if lanes == 4 {
                wgsl!("attention/blocked_backward/product_vec4.wgsl")
            } else {
                wgsl!("attention/blocked_backward/product_scalar.wgsl")
            },
            if op.d_lse {
                wgsl!("attention/blocked_backward/d_lse_buffer.wgsl")
            } else {
                wgsl!("attention/blocked_backward/d_lse_none.wgsl")
            },
        ],
    )
    .alias("Pack", dtype, lanes)
    .alias("Lanes", DType::F32, lanes)
    .constant("EMPTY_ROW_LSE", EMPTY_ROW_LSE)
    .constant("GROUP", dims.group() as u32)
    .constant("ROW_PACKS", dims.value_size as u32 / lanes)
    .constant("WORKERS", workers);
    let params = StatisticsParams {
        query_time: to_u32(NAME, "query", dims.query_time)?,
        kv_heads: to_u32(NAME, "kv_heads", dims.kv_heads)?,
        rows,
    };
    Ok(Dispatch { shader, bindings, params: params.into(), workgroups: rows.div_ceil(workers).into() })
}
