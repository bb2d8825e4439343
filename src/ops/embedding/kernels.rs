//! Lowering: an invocation for every pack of the result. A table larger than a binding may be is split by rows into parts, each
//! bound as a range of the same buffer, so that neither the caller nor the tables' layout needs to know.

use super::NAME;
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Choice, Dispatch, Lowered, Operand, Shader, Tier, params, wgsl};
use crate::ops::contract::to_u32;
use crate::ops::parts::row_parts;
use crate::tensor::DType;

params! {
    /// `width` is in packs.
    struct EmbeddingParams {
        first_rows: [u32; 4],
        rows: [u32; 4],
        width: u32,
        count: u32,
        workgroups: u32,
    }
}

/// What the shader calls the parts of a dispatch. With the result they are 7 storage buffers; WebGPU grants 8.
const PART_NAMES: [(&str, &str); 3] = [("table_0", "ids_0"), ("table_1", "ids_1"), ("table_2", "ids_2")];

/// A range of one table's rows, small enough to be bound.
#[derive(Clone, Copy, Debug)]
struct Part {
    table: Operand,
    ids: Operand,
    first_row: u32,
    rows: u32,
}

pub(super) fn lower(step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let result = &step.outputs[0];
    let width = step.inputs[0].shape.dims()[1];
    let lanes: u32 = if width.is_multiple_of(4) { 4 } else { 1 };
    let count = to_u32(NAME, "elements", result.elements())? / lanes;
    let workgroups = count.div_ceil(caps.tuning.element_lanes);
    let empty = EmbeddingParams {
        first_rows: [0; 4],
        rows: [0; 4],
        width: to_u32(NAME, "width", width)? / lanes,
        count,
        workgroups,
    };
    let parts = parts(step, caps)?;
    // A device with room for no part at all is refused by the planner, with the numbers.
    let room = (caps.max_storage_buffers.saturating_sub(1) as usize / 2).clamp(1, PART_NAMES.len());
    let dispatches = parts
        .chunks(room)
        .enumerate()
        .map(|(i, parts)| {
            let adds = i > 0;
            let shader = shader(parts.len(), adds)
                .alias("Pack", result.dtype, lanes)
                .alias("Lanes", DType::F32, lanes)
                .constant("ADDS", adds)
                .constant("WORKGROUP", caps.tuning.element_lanes);
            dispatch(parts, shader, empty)
        })
        .collect();
    Ok(Lowered::Kernels {
        choice: Choice {
            tier: Tier::Streaming,
            kernel: format!("{NAME} x{lanes}, parts: {}", parts.len()).into(),
            reason: format!("bindings of at most {} bytes, {room} parts a dispatch", caps.max_binding_bytes)
                .into(),
        },
        dispatches,
        scratch: Vec::new(),
    })
}

/// Every table in parts, in the order in which they are added.
fn parts(step: &StepDesc, caps: &Caps) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    for (pair, descs) in step.inputs.chunks_exact(2).enumerate() {
        let (table, ids) = (&descs[0], Operand::Input(2 * pair + 1));
        // Ids are compared as u32, where negative ones must lie beyond every table.
        let most_rows = if descs[1].dtype == DType::I32 { 1 << 31 } else { u32::MAX };
        for part in row_parts(NAME, ("table", 2 * pair), table, 1, caps)? {
            let first_row = to_u32(NAME, "rows", part.first_row)?;
            let rows = to_u32(NAME, "rows", part.rows)?.min(most_rows.saturating_sub(first_row));
            parts.push(Part { table: part.operand, ids, first_row, rows });
        }
    }
    Ok(parts)
}

/// The kernel for `parts` parts, which writes the result or adds to what is there.
fn shader(parts: usize, adds: bool) -> Shader {
    let second = if parts > 1 { wgsl!("embedding/second.wgsl") } else { wgsl!("embedding/second_none.wgsl") };
    let third = if parts > 2 { wgsl!("embedding/third.wgsl") } else { wgsl!("embedding/third_none.wgsl") };
    let label = if adds { "embedding, further parts" } else { NAME };
    Shader::new(label, [wgsl!("embedding/embedding.wgsl"), second, third])
}

fn dispatch(parts: &[Part], shader: Shader, empty: EmbeddingParams) -> Dispatch {
    let mut params = empty;
    let mut bindings = vec![("result", Operand::Output(0))];
    for (i, (part, (table, ids))) in parts.iter().zip(PART_NAMES).enumerate() {
        params.first_rows[i] = part.first_row;
        params.rows[i] = part.rows;
        bindings.extend([(table, part.table), (ids, part.ids)]);
    }
    Dispatch { shader, bindings, params: params.into(), workgroups: empty.workgroups.into(), turns: 0 }
}
