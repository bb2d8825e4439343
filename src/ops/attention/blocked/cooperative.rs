//! The tile of `cooperative.wgsl.j2`, forward and backward: rows that stay in fragments of their subgroup, columns staged for all of them.
//! No GPU has timed it; the tiles that were compared are in the guide's page on performance.
//!
//! Fragments need subgroups of one size: AMD's, which have none, keep register tiles.

use super::super::Dims;
use super::super::rules::{Rule, Term};
use crate::kernel::{Caps, Shader, wgsl};
use crate::tensor::DType;

/// Elements behind each staged line, against bank conflicts; lines begin at multiples of 16 bytes.
const LINE_PADDING: u32 = 8;

/// Registers of four bytes that fragments which stay may take of an invocation, where it has 255 at most, as all that we know of do: what
/// a tile needs besides came to 60 to 100 in NVIDIA's code of these kernels (head size 64 and 128, by Mesa's compiler).
const MOST_REGISTERS: u32 = 160;

/// Fragments of all that a workgroup holds.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops::attention) struct FragmentTile {
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

/// What a workgroup keeps beside fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops::attention) enum Staging {
    /// Keys and values by turns, scores, weights, and numbers of each row.
    Forward,
    /// Keys and values, or queries and their gradients; scores and products of values; weights and their gradients.
    Backward,
}

impl FragmentTile {
    /// The tile for `rows` of a key head, where the device has fragments for `dtype`, the tuning wants them, and the rule goes with them.
    pub(in crate::ops::attention) fn fitted(
        staging: Staging,
        rows: usize,
        rule: &Rule,
        dims: &Dims,
        dtype: DType,
        caps: &Caps,
    ) -> Option<Self> {
        let tuned = caps.tuning.cooperative_attention?;
        let side = caps.fragment(dtype)?;
        let subgroup_size = caps.subgroup_size?;
        // Products with relative keys are read askew. Weights are relative to the largest score before the ramp of a span, which may leave
        // less of all of them than f16 holds.
        let is_ramped = rule.terms.iter().any(|term| matches!(term, Term::Ramp { .. }));
        if rule.relative_keys().is_some() || (is_ramped && dtype == DType::F16) || rows < side as usize {
            return None;
        }
        let fragments = |size: usize| (size as u32).div_ceil(side);
        let (head_fragments, value_fragments) = (fragments(dims.head_size), fragments(dims.value_size));
        let registers = |row_fragments: u32| {
            let (operands, sums) = match staging {
                Staging::Forward => (head_fragments, value_fragments),
                Staging::Backward => (head_fragments + value_fragments, head_fragments + value_fragments),
            };
            let bytes = operands * dtype.size() as u32 + sums * size_of::<f32>() as u32;
            row_fragments * side * side * bytes / (4 * subgroup_size)
        };
        let mut row_fragments = tuned.row_fragments.min(subgroup_size / side);
        while row_fragments > 1 && registers(row_fragments) > MOST_REGISTERS {
            row_fragments /= 2;
        }
        if row_fragments == 0 || !subgroup_size.is_multiple_of(row_fragments * side) {
            return None;
        }
        let mut tile = Self {
            side,
            subgroups: tuned.subgroups,
            row_fragments,
            key_fragments: match staging {
                Staging::Forward => tuned.key_fragments,
                Staging::Backward => tuned.backward_key_fragments,
            },
            head_fragments,
            value_fragments,
            lanes: subgroup_size / (row_fragments * side),
            operand: dtype,
        };
        while tile.subgroups > 1 && tile.rows() as usize / 2 >= rows {
            tile.subgroups /= 2;
        }
        while tile.subgroups > 1 && tile.rows() * tile.lanes > caps.max_invocations {
            tile.subgroups /= 2;
        }
        // The longer side goes first: what is staged is used most by tiles that are square.
        while tile.bytes(staging) > caps.max_workgroup_bytes {
            let fewer_columns = tile.key_fragments > 1 && tile.columns() / 8 >= tile.lanes;
            if tile.subgroups > 1 && (tile.rows() > tile.columns() || !fewer_columns) {
                tile.subgroups /= 2;
            } else if fewer_columns {
                tile.key_fragments /= 2;
            } else {
                return None;
            }
        }
        let fits = tile.rows() * tile.lanes <= caps.max_invocations;
        (fits && (tile.columns() / 4).is_multiple_of(tile.lanes)).then_some(tile)
    }

    pub(in crate::ops::attention) fn rows(self) -> u32 {
        self.subgroups * self.row_fragments * self.side
    }

    pub(in crate::ops::attention) fn columns(self) -> u32 {
        self.key_fragments * self.side
    }

    /// The workgroup memory of the shader, at most.
    fn bytes(self, staging: Staging) -> u32 {
        let (rows, columns) = (self.rows(), self.columns());
        let line = |fragments: u32| fragments * self.side + LINE_PADDING;
        let (head, value) = (line(self.head_fragments), line(self.value_fragments));
        let pairs = (columns + LINE_PADDING) * rows;
        let scores = (columns + self.score_padding()) * rows;
        let (operands, floats) = match staging {
            Staging::Forward => {
                let values = (columns + LINE_PADDING) * self.value_fragments * self.side;
                (head * columns + values + pairs, scores + rows * self.lanes)
            }
            Staging::Backward => ((head + value) * rows.max(columns) + 2 * pairs, 2 * scores),
        };
        // Two words besides, each rounded up to 16 bytes, as arrays are.
        operands * self.operand.size() as u32 + floats * size_of::<f32>() as u32 + 32
    }

    /// Floats behind each line of scores, so that vectors which lanes of neighbouring rows read at a time lie in different banks.
    fn score_padding(self) -> u32 {
        4 * self.lanes.min(4)
    }

    pub(in crate::ops::attention) fn equip(self, mut shader: Shader) -> Shader {
        shader.sources.push(wgsl!("attention/some_invocation_workgroup.wgsl"));
        shader
            .on_cooperative_matrices(self.side, self.operand)
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
            .constant("SCORE_PADDING", self.score_padding())
    }

    /// Invocations for each row.
    pub(in crate::ops::attention) fn lanes(self) -> u32 {
        self.lanes
    }

    /// The type of the factors.
    pub(in crate::ops::attention) fn operand(self) -> DType {
        self.operand
    }

    /// The side of its fragments.
    pub(in crate::ops::attention) fn side(self) -> u32 {
        self.side
    }
}
