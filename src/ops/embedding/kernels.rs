//! Lowering: an invocation for every pack of the result. A table larger than a binding may be is split by rows into parts, each
//! bound as a range of the same buffer, so that neither the caller nor the tables' layout needs to know.

use super::NAME;
use crate::graph::Problem;
use crate::kernel::{Caps, Choice, Dispatch, Lowered, Operand, Shader, Tier, params, wgsl};
use crate::ops::contract::to_u32;
use crate::tensor::DType;
use crate::{Error, ErrorKind, Result};

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

pub(super) fn lower(problem: &Problem, caps: &Caps) -> Result<Lowered> {
    let result = &problem.outputs[0];
    let width = problem.inputs[0].shape.dims()[1];
    let lanes: u32 = if width.is_multiple_of(4) { 4 } else { 1 };
    let count = to_u32(NAME, "elements", result.elements())? / lanes;
    let workgroups = count.div_ceil(caps.tuning.streaming_lanes);
    let empty = EmbeddingParams {
        first_rows: [0; 4],
        rows: [0; 4],
        width: to_u32(NAME, "width", width)? / lanes,
        count,
        workgroups,
    };
    let parts = parts(problem, caps)?;
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
                .constant("WORKGROUP", caps.tuning.streaming_lanes);
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
fn parts(problem: &Problem, caps: &Caps) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    for (pair, descs) in problem.inputs.chunks_exact(2).enumerate() {
        let (table, ids) = (&descs[0], Operand::Input(2 * pair + 1));
        // Ids are compared as u32, where negative ones must lie beyond every table.
        let most_rows = if descs[1].dtype == DType::I32 { 1 << 31 } else { u32::MAX };
        let rows = to_u32(NAME, "rows", table.shape.dims()[0])?.min(most_rows);
        if table.buffer_bytes() <= caps.max_binding_bytes {
            parts.push(Part { table: Operand::Input(2 * pair), ids, first_row: 0, rows });
            continue;
        }
        let row_bytes = table.bytes() / table.shape.dims()[0] as u64;
        let step = rows_of_a_part(row_bytes, caps)?;
        for first_row in (0..rows).step_by(step as usize) {
            let offset = u64::from(first_row) * row_bytes;
            // The last part has the buffer's padding, too.
            let bytes = (u64::from(step) * row_bytes).min(table.buffer_bytes() - offset);
            let table = Operand::InputPart { input: 2 * pair, offset, bytes };
            parts.push(Part { table, ids, first_row, rows: step.min(rows - first_row) });
        }
    }
    Ok(parts)
}

/// As many rows as one binding holds, such that the next part starts where a binding may.
fn rows_of_a_part(row_bytes: u64, caps: &Caps) -> Result<u32> {
    // Sizes of bindings are whole words.
    let alignment = u64::from(caps.storage_alignment).max(4);
    let aligned_rows = alignment / greatest_common_divisor(row_bytes, alignment);
    let rows = caps.max_binding_bytes / row_bytes / aligned_rows * aligned_rows;
    if rows == 0 {
        return Err(Error::new(ErrorKind::Limit, NAME, "table")
            .expecting(format!("{aligned_rows} rows within a binding of {} bytes", caps.max_binding_bytes))
            .but_found(format!("rows of {row_bytes} bytes")));
    }
    to_u32(NAME, "rows", usize::try_from(rows).unwrap_or(usize::MAX))
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
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
    Dispatch { shader, bindings, params: params.into(), workgroups: empty.workgroups.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::TensorDesc;

    fn split(table: TensorDesc, max_binding_bytes: u64) -> Vec<(u32, u32, Operand)> {
        let outputs = vec![TensorDesc::new(table.dtype, [1, table.shape.dims()[1]])];
        let problem = Problem { inputs: vec![table, TensorDesc::u32([1])], outputs };
        let caps = Caps { max_binding_bytes, storage_alignment: 256, ..Caps::webgpu_default() };
        let parts = parts(&problem, &caps).unwrap();
        parts.into_iter().map(|part| (part.first_row, part.rows, part.table)).collect()
    }

    #[test]
    fn parts_cover_a_table_and_start_where_bindings_may() {
        let part = |offset, bytes| Operand::InputPart { input: 0, offset, bytes };
        assert_eq!(split(TensorDesc::f32([8, 64]), 2048), [(0, 8, Operand::Input(0))]);
        assert_eq!(split(TensorDesc::f32([9, 64]), 2048), [(0, 8, part(0, 2048)), (8, 1, part(2048, 256))]);
        // Rows of 6 bytes meet the alignment every 128 rows; the last part is padded to whole words.
        assert_eq!(
            split(TensorDesc::f16([301, 3]), 1000),
            [(0, 128, part(0, 768)), (128, 128, part(768, 768)), (256, 45, part(1536, 272))]
        );
    }

    #[test]
    fn rows_too_wide_for_a_binding_are_refused() {
        let caps = Caps { max_binding_bytes: 1024, ..Caps::webgpu_default() };
        let error = rows_of_a_part(1025, &caps).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert_eq!(
            error.to_string(),
            "embedding: table: expected 256 rows within a binding of 1024 bytes, found rows of 1025 bytes"
        );
    }
}
