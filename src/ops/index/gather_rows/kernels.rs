//! Lowering: an invocation for every pack of the result. A table larger than a binding may be is split by rows into parts, each bound as a
//! range of the same buffer, so that neither the caller nor the tables' layout needs to know.

use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Dispatch, Kernel, Lowered, Operand, params, wgsl};
use crate::ops::contract::to_u32;
use crate::ops::parts::row_parts;
use crate::tensor::{DType, TensorDesc};

params! {
    /// `width` is in packs.
    struct GatherParams {
        /// Of each part, the first of its table's rows, counted over all batches.
        first_rows: [u32; 4],
        /// Rows of each part.
        rows: [u32; 4],
        /// Rows of each part's table in one batch.
        table_rows: [u32; 4],
        width: u32,
        /// Positions of a batch.
        positions: u32,
    }
}

params! {
    /// Rows of the table.
    struct ElementParams {
        rows: u32,
    }
}

/// What the shader calls the parts of a dispatch. With the result they are 7 storage buffers; WebGPU grants 8.
const PART_NAMES: [(&str, &str); 3] = [("table_0", "ids_0"), ("table_1", "ids_1"), ("table_2", "ids_2")];

/// A range of one table's rows, small enough to be bound.
#[derive(Clone, Copy, Debug)]
struct Part {
    table: Operand,
    ids: (Operand, DType),
    first_row: u32,
    rows: u32,
    table_rows: u32,
}

/// How the rows of a table are named.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Layout {
    /// Tables that lie one after the other in each input, each with positions of its own.
    pub(in crate::ops) batches: usize,
    /// Indices of each position, whose rows are added up.
    pub(in crate::ops) per_position: usize,
}

/// Rows of tables by index, summed: the step's inputs are pairs of a table, `[batches * rows, width]` in memory, and the indices, which are
/// as many as the result has positions times `per_position`.
pub(in crate::ops) fn lower(
    op: &'static str,
    layout: Layout,
    step: &StepDesc,
    caps: &Caps,
) -> Result<Lowered> {
    let result = &step.outputs[0];
    let width = result.shape.dims().last().copied().unwrap_or(1);
    let lanes: u32 = if width.is_multiple_of(4) { 4 } else { 1 };
    let positions = result.elements().checked_div(width).unwrap_or(0) / layout.batches.max(1);
    let empty = GatherParams {
        first_rows: [0; 4],
        rows: [0; 4],
        table_rows: [0; 4],
        width: to_u32(op, "width", width)? / lanes,
        positions: to_u32(op, "positions", positions)?,
    };
    let parts = parts(op, layout, step, caps)?;
    if let (&[part], Layout { batches: 1, per_position: 1 }) = (parts.as_slice(), layout)
        && (width, positions % 4) == (1, 0)
        && part.rows > 0
    {
        return elements(op, &part, positions, result.dtype, caps);
    }
    // A device with room for no part at all is refused by the planner, with the numbers.
    let room = (caps.max_storage_buffers.saturating_sub(1) as usize / 2).clamp(1, PART_NAMES.len());
    let count = to_u32(op, "elements", result.elements())? / lanes;
    let dispatches: Vec<Dispatch> = parts
        .chunks(room)
        .enumerate()
        .map(|(i, parts)| {
            let label = if i > 0 { "gather, further parts" } else { "gather" };
            kernel(label, parts, result.dtype, lanes, empty)
                .constant("ADDS", i > 0)
                .constant("BATCHED", layout.batches > 1)
                .constant("PER_POSITION", layout.per_position as u32)
                .turns(layout.per_position as u64)
                .per_element(count, caps)
        })
        .collect();
    let reason = format!("bindings of at most {} bytes, {room} parts a dispatch", caps.max_binding_bytes);
    Ok(Lowered::streaming(format!("gather x{lanes}, parts: {}", parts.len()), reason, dispatches, Vec::new()))
}

/// Rows of one element, four positions an invocation.
fn elements(op: &'static str, part: &Part, positions: usize, dtype: DType, caps: &Caps) -> Result<Lowered> {
    let Part { table, ids: (ids, ids_dtype), rows, .. } = *part;
    let dispatch = Kernel::new("gather elements", [wgsl!("index/gather_rows/elements.wgsl")])
        .lanes(4)
        .read("ids", ids, ids_dtype)
        .write_stored("result", Operand::Output(0), dtype)
        .lanes(1)
        .read_stored("table", table, dtype)
        .lanes(4)
        .params(ElementParams { rows })
        .per_element(to_u32(op, "positions", positions / 4)?, caps);
    Ok(Lowered::streaming("gather x1, four positions", "rows are one element", vec![dispatch], Vec::new()))
}

/// Every table in parts, in the order in which they are added.
fn parts(op: &'static str, layout: Layout, step: &StepDesc, caps: &Caps) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    for (pair, descs) in step.inputs.chunks_exact(2).enumerate() {
        let (dims, ids) = (descs[0].shape.dims(), Operand::Input(2 * pair + 1));
        let (width, rows) = (dims[dims.len() - 1], dims[dims.len() - 2]);
        // Ids are compared as u32, where negative ones must lie beyond every table.
        let most_rows = if descs[1].dtype == DType::I32 { 1 << 31 } else { u32::MAX };
        let table = TensorDesc::new(descs[0].dtype, [layout.batches * rows, width]);
        for part in row_parts(op, ("table", 2 * pair), &table, 1, caps)? {
            let first_row = to_u32(op, "rows", part.first_row)?;
            let part_rows = to_u32(op, "rows", part.rows)?;
            parts.push(Part {
                table: part.operand,
                ids: (ids, descs[1].dtype),
                first_row,
                rows: match layout.batches {
                    1 => part_rows.min(most_rows.saturating_sub(first_row)),
                    _ => part_rows,
                },
                table_rows: to_u32(op, "rows", rows)?.min(most_rows),
            });
        }
    }
    Ok(parts)
}

/// The kernel for up to three parts.
fn kernel(label: &'static str, parts: &[Part], dtype: DType, lanes: u32, mut params: GatherParams) -> Kernel {
    let sum = if dtype.is_float() { DType::F32 } else { dtype };
    let mut kernel = Kernel::new(label, [wgsl!("index/gather_rows/gather.wgsl")])
        .constant("PARTS", parts.len() as u32)
        .lanes(lanes)
        .alias("Sum", sum)
        .update("result", Operand::Output(0), dtype);
    for (i, (table, ids)) in PART_NAMES.into_iter().enumerate() {
        let part = parts.get(i);
        let (indices, ids_dtype) = part.map_or((None, DType::U32), |part| (Some(part.ids.0), part.ids.1));
        kernel = kernel
            .read_if(table, part.map(|part| part.table), dtype)
            .lanes(1)
            .read_if(ids, indices, ids_dtype)
            .lanes(lanes);
        if let Some(part) = part {
            (params.first_rows[i], params.rows[i]) = (part.first_row, part.rows);
            params.table_rows[i] = part.table_rows;
        }
    }
    kernel.params(params)
}
