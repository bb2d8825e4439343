//! The features of queries and keys: as they are read, or stored.

use super::{Frame, Rows, rows};
use crate::Result;
use crate::kernel::{Kernel, Operand, wgsl};
use crate::ops::Activation;
use crate::ops::contract::to_u32;
use crate::tensor::DType;

impl Frame<'_> {
    /// The features of queries, or of keys: as they are read, or stored in f32 where the function costs more than reading them again.
    pub(in super::super) fn features(&mut self, input: usize) -> Result<Rows> {
        let map = self.rule.maps[input];
        let scale = if input == 0 { self.rule.scale } else { 1.0 };
        let size = self.dims.head_size;
        let rows = Rows { map, scale, ..Rows::plain(Operand::Input(input), self.dtype, size) };
        if is_cheap(map) {
            return Ok(rows);
        }
        let elements = match input {
            0 => self.dims.batch * self.dims.query_time * self.dims.heads * size,
            _ => self.dims.batch * self.dims.key_time * self.dims.kv_heads * size,
        };
        let stored = self.scratch((4 * elements) as u64);
        let lanes = if size.is_multiple_of(4) { 4 } else { 1 };
        let text = format!(
            "fn feature(x: Lanes) -> Lanes {{\n{}    return {scale:e}f * ({});\n}}\n",
            rows::arguments_of(map),
            rows::function_of(map)
        );
        let sources = [wgsl!("attention/linear/features.wgsl"), wgsl!("elementwise/math.wgsl")];
        let dispatch = Kernel::new("attention/linear/features", sources)
            .lanes(lanes)
            .read("x", rows.operand, self.dtype)
            .write("features", stored, DType::F32)
            .generated([rows::generated(text)])
            .per_element(to_u32(self.op, "features", elements)? / lanes, self.caps);
        self.push(dispatch);
        Ok(Rows::plain(stored, DType::F32, size))
    }
}

/// Functions that cost a tile no more than reading what they give.
fn is_cheap(map: Activation) -> bool {
    use Activation::{Identity, Relu, Relu6, Scale, Square, SquaredRelu};
    matches!(map, Identity | Relu | Relu6 | Scale { .. } | Square | SquaredRelu)
}
