//! Lowering: one workgroup per row makes dx and keeps the row's statistics in scratch. From these, d_weight and d_bias are summed
//! along chunks of rows, an invocation for each chunk and pack of columns, and over the chunks by a last dispatch for each. What
//! nobody reads is not made.

use super::NormBackward;
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Choice, Dispatch, Lowered, Operand, Source, Tier, params, wgsl};
use crate::ops::contract::to_u32;
use crate::ops::rows::{Rows, add_chunks, chunk_length, reason};

/// Packs that one lane holds at most, of x and of the gradients.
const MOST_HELD: u32 = 8;

params! {
    /// `width` is in packs.
    struct NormParams {
        rows: u32,
        width: u32,
        elements: u32,
        eps: f32,
    }
}

params! {
    /// `width` and `count` are in packs.
    struct ColumnParams {
        rows: u32,
        width: u32,
        chunk_rows: u32,
        count: u32,
        workgroups: u32,
    }
}

/// The outputs that are wanted.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    dx: bool,
    weight: bool,
    bias: bool,
}

/// Scratch: the rows' statistics, and sums along each chunk of rows.
const STATISTICS: Operand = Operand::Scratch(0);
const WEIGHT_SUMS: Operand = Operand::Scratch(1);
const BIAS_SUMS: Operand = Operand::Scratch(2);

/// The kernels of `norm`; `centre` says what deviations are taken from, and `level` what of the gradients is lost with it.
pub(in crate::ops::normalize) fn lower(
    norm: &NormBackward,
    (centre, level): (Source, Source),
    step: &StepDesc,
    caps: &Caps,
) -> Result<Lowered> {
    let rows = Rows::of(norm.op, &step.inputs[0])?;
    let wants = |output: usize| step.wanted.get(output) == Some(&true);
    let wanted = Wanted { dx: wants(0), weight: wants(1), bias: wants(2) };
    let chunk_rows = chunk_length(rows.rows);
    let chunks = rows.rows.div_ceil(chunk_rows);
    let mut dispatches = Vec::new();
    if wanted.dx || wanted.weight {
        dispatches.push(row_gradients(norm, &rows, [centre, level], wanted, caps));
    }
    if wanted.weight || wanted.bias {
        dispatches.push(columns(norm, &rows, (chunks, chunk_rows), wanted, caps)?);
    }
    for (output, sums) in [(1, WEIGHT_SUMS), (2, BIAS_SUMS)] {
        if wants(output) {
            dispatches.push(add_chunks(norm.op, &rows, (sums, chunks), Operand::Output(output), caps));
        }
    }
    let bytes = |there: bool, vectors: u64| if there { (vectors * 16).max(16) } else { 16 };
    let sums = u64::from(chunks) * u64::from(rows.width);
    Ok(Lowered::Kernels {
        choice: Choice {
            tier: Tier::Streaming,
            kernel: format!("{} x{}, a workgroup a row, {chunks} chunks of rows", norm.op, rows.lanes).into(),
            reason: reason(caps).into(),
        },
        dispatches,
        scratch: vec![
            bytes(wanted.weight, rows.rows.into()),
            bytes(wanted.weight, sums),
            bytes(wanted.bias, sums),
        ],
    })
}

fn row_gradients(
    norm: &NormBackward,
    rows: &Rows,
    of_op: [Source; 2],
    wanted: Wanted,
    caps: &Caps,
) -> Dispatch {
    let packs = rows.width.div_ceil(caps.tuning.row_lanes).max(1);
    let held = packs <= MOST_HELD;
    let walk = if held {
        wgsl!("normalize/backward_held.wgsl.j2")
    } else {
        wgsl!("normalize/backward_streamed.wgsl")
    };
    let mut sources = vec![walk, wgsl!("normalize/backward_interface.wgsl"), of_op[0], of_op[1]];
    let mut bindings =
        vec![("x", Operand::Input(0)), ("scale", Operand::Input(1)), ("upstream", Operand::Input(2))];
    if wanted.dx {
        sources.push(wgsl!("normalize/dx_buffer.wgsl"));
        bindings.push(("dx", Operand::Output(0)));
        if norm.carried {
            sources.push(wgsl!("normalize/carried_buffer.wgsl"));
            bindings.push(("sum_upstream", Operand::Input(3)));
        } else {
            sources.push(wgsl!("normalize/carried_none.wgsl"));
        }
    } else {
        sources.push(wgsl!("normalize/dx_none.wgsl"));
    }
    if wanted.weight {
        sources.push(wgsl!("normalize/statistics_buffer.wgsl"));
        bindings.push(("statistics", STATISTICS));
    } else {
        sources.push(wgsl!("normalize/statistics_none.wgsl"));
    }
    let shader = rows.shader(norm.op, &sources, caps);
    let elements = rows.width * rows.lanes;
    Dispatch {
        shader: if held { shader.constant("PACKS", packs) } else { shader },
        bindings,
        params: NormParams { rows: rows.rows, width: rows.width, elements, eps: norm.eps }.into(),
        workgroups: rows.rows.into(),
        turns: 0,
    }
}

fn columns(
    norm: &NormBackward,
    rows: &Rows,
    (chunks, chunk_rows): (u32, u32),
    wanted: Wanted,
    caps: &Caps,
) -> Result<Dispatch> {
    let mut sources = vec![wgsl!("normalize/columns.wgsl")];
    let mut bindings = vec![("upstream", Operand::Input(2))];
    if wanted.weight {
        sources.push(wgsl!("normalize/weight_sums_buffer.wgsl"));
        bindings.extend([("x", Operand::Input(0)), ("statistics", STATISTICS), ("weight_sums", WEIGHT_SUMS)]);
    } else {
        sources.push(wgsl!("normalize/weight_sums_none.wgsl"));
    }
    if wanted.bias {
        sources.push(wgsl!("normalize/bias_sums_buffer.wgsl"));
        bindings.push(("bias_sums", BIAS_SUMS));
    } else {
        sources.push(wgsl!("normalize/bias_sums_none.wgsl"));
    }
    let count = to_u32(norm.op, "chunks", chunks as usize * rows.width as usize)?;
    let workgroups = count.div_ceil(caps.tuning.row_lanes);
    Ok(Dispatch {
        shader: rows.plain_shader(norm.op, &sources, caps),
        bindings,
        params: ColumnParams { rows: rows.rows, width: rows.width, chunk_rows, count, workgroups }.into(),
        workgroups: workgroups.into(),
        turns: 0,
    })
}
