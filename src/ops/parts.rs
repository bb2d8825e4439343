//! Tables and weights larger than one binding, in parts of whole rows: ranges of the same buffer.

use crate::kernel::{Caps, Operand};
use crate::tensor::TensorDesc;
use crate::{Error, ErrorKind, Result};

/// Rows of an input that one binding holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RowPart {
    pub(super) operand: Operand,
    pub(super) first_row: usize,
    pub(super) rows: usize,
}

/// The rows of `desc`, which is input number `input` of `op` and called `argument`: one part when a binding holds them all, else as
/// few as can be. Parts start at multiples of `step` rows.
pub(super) fn row_parts(
    op: &'static str,
    (argument, input): (&str, usize),
    desc: &TensorDesc,
    step: u64,
    caps: &Caps,
) -> Result<Vec<RowPart>> {
    let rows = desc.shape.dims()[0];
    if desc.buffer_bytes() <= caps.max_binding_bytes {
        return Ok(vec![RowPart { operand: Operand::Input(input), first_row: 0, rows }]);
    }
    let row_bytes = desc.bytes() / rows as u64;
    // Sizes of bindings are whole words.
    let alignment = u64::from(caps.storage_alignment).max(4);
    let aligned_rows = least_common_multiple(step, alignment / greatest_common_divisor(row_bytes, alignment));
    let part_rows = caps.max_binding_bytes / row_bytes / aligned_rows * aligned_rows;
    if part_rows == 0 {
        return Err(Error::new(ErrorKind::Limit, op, argument)
            .expecting(format!("{aligned_rows} rows within a binding of {} bytes", caps.max_binding_bytes))
            .but_found(format!("rows of {row_bytes} bytes")));
    }
    let part = |first_row: usize| {
        let offset = first_row as u64 * row_bytes;
        // The last part has the buffer's padding, too.
        let bytes = (part_rows * row_bytes).min(desc.buffer_bytes() - offset);
        let rows = (part_rows as usize).min(rows - first_row);
        RowPart { operand: Operand::InputPart { input, offset, bytes }, first_row, rows }
    };
    Ok((0..rows).step_by(part_rows as usize).map(part).collect())
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

fn least_common_multiple(a: u64, b: u64) -> u64 {
    a / greatest_common_divisor(a, b) * b
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(desc: &TensorDesc, step: u64, max_binding_bytes: u64) -> Result<Vec<(usize, usize, Operand)>> {
        let caps = Caps { max_binding_bytes, storage_alignment: 256, ..Caps::webgpu_default() };
        let parts = row_parts("probe", ("table", 0), desc, step, &caps)?;
        Ok(parts.into_iter().map(|part| (part.first_row, part.rows, part.operand)).collect())
    }

    #[test]
    fn parts_cover_a_table_and_start_where_bindings_may() {
        let part = |offset, bytes| Operand::InputPart { input: 0, offset, bytes };
        let f32 = TensorDesc::f32;
        assert_eq!(split(&f32([8, 64]), 1, 2048).unwrap(), [(0, 8, Operand::Input(0))]);
        assert_eq!(split(&f32([9, 64]), 1, 2048).unwrap(), [(0, 8, part(0, 2048)), (8, 1, part(2048, 256))]);
        assert_eq!(
            split(&f32([9, 64]), 4, 1999).unwrap(),
            [(0, 4, part(0, 1024)), (4, 4, part(1024, 1024)), (8, 1, part(2048, 256))]
        );
        // Rows of 6 bytes meet the alignment every 128 rows; the last part is padded to whole words.
        assert_eq!(
            split(&TensorDesc::f16([301, 3]), 1, 1000).unwrap(),
            [(0, 128, part(0, 768)), (128, 128, part(768, 768)), (256, 45, part(1536, 272))]
        );
    }

    #[test]
    fn rows_too_wide_for_a_binding_are_refused() {
        let error = split(&TensorDesc::f16([2, 513]), 1, 1024).unwrap_err();
        assert_eq!(
            error.to_string(),
            "probe: table: expected 128 rows within a binding of 1024 bytes, found rows of 1026 bytes"
        );
    }
}
