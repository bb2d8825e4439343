//! Lowering. Forward is one workgroup per row, held in registers where it fits and else read three times.
//!
//! Backward is one workgroup per row, which makes dx and keeps the row's statistics in scratch. From these, d_weight and d_bias are
//! summed along chunks of rows, an invocation for each chunk and pack of columns, and over the chunks by a last dispatch for each. What
//! nobody reads is not made.

use super::backward::NormBackward;
use super::{Kind, Norm};
use crate::Result;
use crate::graph::{Op, StepDesc};
use crate::kernel::{Caps, Dispatch, Kernel, Lowered, Operand, Source, params, wgsl};
use crate::ops::contract::to_u32;
use crate::ops::rows::{Rows, chunk_length};
use crate::tensor::DType;

/// Packs that one lane holds at most: of x, and of x and the gradients each.
const MOST_HELD: u32 = 16;
const MOST_HELD_BACKWARD: u32 = 8;

params! {
    /// `width` is in packs.
    struct NormParams {
        width: u32,
        elements: u32,
        eps: f32,
    }
}

params! {
    /// `width` is in packs.
    struct ColumnParams {
        rows: u32,
        width: u32,
        chunk_rows: u32,
    }
}

params! {
    /// `width` is in packs.
    struct AddParams {
        width: u32,
        chunks: u32,
    }
}

/// A kernel with a workgroup for each row, and whether its lanes hold at most `most_held` packs each in registers.
fn row_kernel(
    op: &'static str,
    walk: Source,
    (kind, eps): (Kind, f32),
    rows: &Rows,
    most_held: u32,
    caps: &Caps,
) -> (Kernel, bool) {
    let lanes = caps.tuning.row_lanes;
    let packs = rows.width.div_ceil(lanes).max(1);
    let held = packs <= most_held;
    let kernel = Kernel::new(op, [walk, wgsl!("normalize/norm/centre.wgsl")])
        .lanes(rows.lanes)
        .constant("PACKS", if held { packs } else { 0 })
        .constant("RAGGED", !rows.width.is_multiple_of(lanes))
        .constant("CENTRED", kind.is_centred())
        .params(NormParams { width: rows.width, elements: rows.width * rows.lanes, eps })
        .walks(rows.width, 3);
    (kernel, held)
}

pub(super) fn forward(norm: &Norm, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let (op, dtype) = (norm.name(), step.inputs[0].dtype);
    let rows = Rows::of(op, &step.inputs[0])?;
    let walk = wgsl!("normalize/norm/forward.wgsl.j2");
    let (kernel, held) = row_kernel(op, walk, (norm.kind, norm.eps), &rows, MOST_HELD, caps);
    let residual = Operand::Input(2 + usize::from(norm.bias));
    let keeps_sum = step.wanted.get(1) == Some(&true);
    let dispatch = kernel
        .read("x", Operand::Input(0), dtype)
        .read("weight", Operand::Input(1), dtype)
        .read_if("bias", norm.bias.then_some(Operand::Input(2)), dtype)
        .read_if("residual", norm.residual.then_some(residual), dtype)
        .write("result", Operand::Output(0), dtype)
        .write_if("sum", keeps_sum.then_some(Operand::Output(1)), dtype)
        .per_row(rows.rows, caps);
    let how = if held { "held in registers" } else { "read three times" };
    let kernel = format!("{op} x{}, a workgroup a row, {how}", rows.lanes);
    Ok(Lowered::rows(kernel, vec![dispatch], Vec::new(), caps))
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

pub(super) fn backward(norm: &NormBackward, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let (op, dtype) = (norm.name(), step.inputs[0].dtype);
    let rows = Rows::of(op, &step.inputs[0])?;
    let wants = |output: usize| step.wanted.get(output) == Some(&true);
    let wanted = Wanted { dx: wants(0), weight: wants(1), bias: wants(2) };
    let chunk_rows = chunk_length(rows.rows);
    let chunks = rows.rows.div_ceil(chunk_rows);
    let mut dispatches = Vec::new();
    if wanted.dx || wanted.weight {
        dispatches.push(row_gradients(norm, &rows, dtype, wanted, caps));
    }
    if wanted.weight || wanted.bias {
        dispatches.push(columns(op, &rows, dtype, (chunks, chunk_rows), wanted, caps)?);
    }
    for (output, sums) in [(1, WEIGHT_SUMS), (2, BIAS_SUMS)] {
        if wants(output) {
            dispatches.push(
                Kernel::new(op, [wgsl!("normalize/norm/add_chunks.wgsl")])
                    .lanes(rows.lanes)
                    .read("partials", sums, DType::F32)
                    .write("result", Operand::Output(output), dtype)
                    .params(AddParams { width: rows.width, chunks })
                    .turns(chunks.into())
                    .per_element(rows.width, caps),
            );
        }
    }
    let bytes = |there: bool, vectors: u64| if there { (vectors * 16).max(16) } else { 16 };
    let sums = u64::from(chunks) * u64::from(rows.width);
    let scratch =
        vec![bytes(wanted.weight, rows.rows.into()), bytes(wanted.weight, sums), bytes(wanted.bias, sums)];
    let kernel = format!("{op} x{}, a workgroup a row, {chunks} chunks of rows", rows.lanes);
    Ok(Lowered::rows(kernel, dispatches, scratch, caps))
}

fn row_gradients(norm: &NormBackward, rows: &Rows, dtype: DType, wanted: Wanted, caps: &Caps) -> Dispatch {
    let walk = wgsl!("normalize/norm/backward.wgsl.j2");
    let (kernel, _) = row_kernel(norm.name(), walk, (norm.kind, norm.eps), rows, MOST_HELD_BACKWARD, caps);
    kernel
        .read("x", Operand::Input(0), dtype)
        .read("weight", Operand::Input(1), dtype)
        .read("upstream", Operand::Input(2), dtype)
        .read_if("sum_upstream", (norm.has_sum && wanted.dx).then_some(Operand::Input(3)), dtype)
        .write_if("dx", wanted.dx.then_some(Operand::Output(0)), dtype)
        .lanes(4)
        .write_if("statistics", wanted.weight.then_some(STATISTICS), DType::F32)
        .lanes(rows.lanes)
        .per_row(rows.rows, caps)
}

fn columns(
    op: &'static str,
    rows: &Rows,
    dtype: DType,
    (chunks, chunk_rows): (u32, u32),
    wanted: Wanted,
    caps: &Caps,
) -> Result<Dispatch> {
    let count = to_u32(op, "chunks", chunks as usize * rows.width as usize)?;
    Ok(Kernel::new(op, [wgsl!("normalize/norm/columns.wgsl")])
        .lanes(4)
        .read_if("statistics", wanted.weight.then_some(STATISTICS), DType::F32)
        .lanes(rows.lanes)
        .read("upstream", Operand::Input(2), dtype)
        .read_if("x", wanted.weight.then_some(Operand::Input(0)), dtype)
        .write_if("weight_sums", wanted.weight.then_some(WEIGHT_SUMS), DType::F32)
        .write_if("bias_sums", wanted.bias.then_some(BIAS_SUMS), DType::F32)
        .params(ColumnParams { rows: rows.rows, width: rows.width, chunk_rows })
        .turns(chunk_rows.into())
        .per_element(count, caps))
}
