//! The tile of `cooperative.wgsl.j2`: rows that stay in fragments of their subgroup, keys and values staged for all of them.

use super::super::Dims;
use super::super::rules::Rule;
use crate::kernel::{Caps, CooperativeAttention, Shader};
use crate::tensor::DType;

/// Elements behind each staged line, against bank conflicts; lines begin at multiples of 16 bytes.
const LINE_PADDING: u32 = 8;

/// Fragments of all that a workgroup holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct FragmentTile {
    /// Rows and columns of a fragment.
    side: u32,
    subgroups: u32,
    row_fragments: u32,
    key_fragments: u32,
    head_fragments: u32,
    value_fragments: u32,
    /// Invocations for each row.
    lanes: u32,
    operand: DType,
}

impl FragmentTile {
    /// The tile where the device has fragments for `dtype`, the tuning wants them, and the rule goes with them.
    pub(super) fn fitted(rule: &Rule, dims: &Dims, dtype: DType, caps: &Caps) -> Option<Self> {
        let CooperativeAttention { subgroups, row_fragments, key_fragments } = caps.tuning.cooperative_attention?;
        let side = caps.fragment(dtype)?;
        let subgroup_size = caps.subgroup_size?;
        // Products with relative keys are read askew.
        if rule.relative_keys().is_some() || dims.query_time * dims.group() < side as usize {
            return None;
        }
        let row_fragments = row_fragments.min(subgroup_size / side);
        if row_fragments == 0 || !subgroup_size.is_multiple_of(row_fragments * side) {
            return None;
        }
        let fragments = |size: usize| (size as u32).div_ceil(side);
        let mut tile = Self {
            side,
            subgroups,
            row_fragments,
            key_fragments,
            head_fragments: fragments(dims.head_size),
            value_fragments: fragments(dims.value_size),
            lanes: subgroup_size / (row_fragments * side),
            operand: dtype,
        };
        while tile.subgroups > 1 && tile.rows() / 2 >= (dims.query_time * dims.group()) as u32 {
            tile.subgroups /= 2;
        }
        while tile.bytes() > caps.max_workgroup_bytes || tile.rows() * tile.lanes > caps.max_invocations {
            if tile.key_fragments > 1 && tile.columns() / 8 >= tile.lanes {
                tile.key_fragments /= 2;
            } else if tile.subgroups > 1 {
                tile.subgroups /= 2;
            } else {
                return None;
            }
        }
        (tile.columns() / 4).is_multiple_of(tile.lanes).then_some(tile)
    }

    pub(super) fn rows(self) -> u32 {
        self.subgroups * self.row_fragments * self.side
    }

    pub(super) fn columns(self) -> u32 {
        self.key_fragments * self.side
    }

    /// The workgroup memory of the shader, at most.
    fn bytes(self) -> u32 {
        let (rows, columns) = (self.rows(), self.columns());
        let line = self.head_fragments.max(self.value_fragments) * self.side + LINE_PADDING;
        let operands = line * rows.max(columns) + (columns + LINE_PADDING) * rows;
        let floats = (columns + 4) * rows + rows * self.lanes + rows;
        // Each variable may be rounded up to 16 bytes.
        operands * self.operand.size() as u32 + floats * size_of::<f32>() as u32 + 6 * 16
    }

    pub(super) fn equip(self, shader: Shader) -> Shader {
        shader
            .on_cooperative_matrices()
            .subgroups_of(self.lanes * self.row_fragments * self.side)
            .alias("Operand", self.operand, 1)
            .constant("FRAGMENT", self.side)
            .constant("SUBGROUPS", self.subgroups)
            .constant("ROW_FRAGMENTS", self.row_fragments)
            .constant("KEY_FRAGMENTS", self.key_fragments)
            .constant("HEAD_FRAGMENTS", self.head_fragments)
            .constant("VALUE_FRAGMENTS", self.value_fragments)
            .constant("LANES", self.lanes)
            .constant("LINE_PADDING", LINE_PADDING)
    }

    pub(super) fn name(self) -> String {
        format!("cooperative {0}x{0}, {1} rows x {2} keys", self.side, self.rows(), self.columns())
    }
}
