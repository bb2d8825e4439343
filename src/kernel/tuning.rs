//! The tuning table: which kernel shape each kind of adapter gets.
//!
//! A software rasterizer runs one invocation per SIMD lane: staging through workgroup memory and barriers only cost, a
//! workgroup of one subgroup wins, and what counts is how many flops each load feeds. A GPU wants the opposite.

use std::fmt;

use super::AdapterKind;
use crate::{Error, ErrorKind, Result};

/// How matmul is tiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields, rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum MatmulKernel {
    /// Register tile straight from storage: each invocation owns `4 * row_blocks` rows by `4 * col_vecs` columns.
    Direct {
        /// Groups of four rows per invocation.
        row_blocks: u32,
        /// Groups of four columns per invocation.
        col_vecs: u32,
        /// Whether a subgroup of eight invocations loads each element of `a` once and shares it by subgroup operations.
        shared_reads: bool,
    },
    /// Tile staged through workgroup memory, accumulators in named registers: each of 16 x 16 invocations owns `4 * row_blocks` rows by
    /// `4 * col_vecs` columns.
    Staged {
        /// Groups of four rows per invocation, 1 or 2.
        row_blocks: u32,
        /// Groups of four columns per invocation, 1 or 2.
        col_vecs: u32,
    },
    /// The textbook kernel (64x64x16 tile staged through workgroup memory, accumulators in an array): the yardstick that
    /// benchmarks measure the others by.
    Classic,
}

/// How products are tiled on cooperative matrices. A workgroup owns `blocks` of results, each of which is one subgroup's, of `fragments`
/// fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct CooperativeTile {
    /// Rows and columns of blocks.
    pub blocks: [u32; 2],
    /// Rows and columns of a block's fragments.
    pub fragments: [u32; 2],
    /// How much of the summed axis is staged at a time.
    pub inner: u32,
    /// Invocations of each subgroup, as far as is known: where they differ, subgroups do more than one block, or the same twice.
    pub subgroup_size: u32,
}

/// How blocked attention is tiled on cooperative matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct CooperativeAttention {
    /// Subgroups of a workgroup, each with rows of its own.
    pub subgroups: u32,
    /// Fragments of a subgroup's rows.
    pub row_fragments: u32,
    /// Fragments of the keys of a tile.
    pub key_fragments: u32,
    /// The same in the backward passes, which stage twice as much.
    pub backward_key_fragments: u32,
}

/// How blocked attention is tiled: a workgroup owns `rows * row_groups` query rows and walks over the keys
/// `4 * key_vectors * lanes` at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct AttentionTile {
    /// Invocations along keys, and along channels of the output.
    pub lanes: u32,
    /// Invocations along query rows.
    pub row_groups: u32,
    /// Query rows of an invocation, where there are that many.
    pub rows: u32,
    /// Groups of four keys of an invocation.
    pub key_vectors: u32,
    /// The same in the backward passes, where each pair of query and key costs two products before it adds to any sum.
    pub backward_key_vectors: u32,
    /// Whether a workgroup is a single subgroup of eight invocations, which uses subgroup barriers and shares loads by subgroup operations. For
    /// software rasterizers only: it relies on invocations that run in lockstep.
    pub one_subgroup: bool,
    /// How many workgroups keep the device busy. With fewer, attention splits the keys of each row over several workgroups, and matrix products take
    /// smaller tiles.
    pub busy_workgroups: u32,
}

/// Kernel shapes in force. [`Tuning::for_adapter`] is the table; set fields to try others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Tuning {
    /// Shape of the matmul kernel.
    pub matmul: MatmulKernel,
    /// Shape of the matmul kernel on cooperative matrices, where the device has them for the operands' type; without one, they are not
    /// used.
    pub cooperative: Option<CooperativeTile>,
    /// Shape of the blocked attention kernel on cooperative matrices, likewise; it takes subgroups of a fixed size.
    pub cooperative_attention: Option<CooperativeAttention>,
    /// Shape of the blocked attention kernel.
    pub attention: AttentionTile,
    /// Invocations per workgroup of kernels that give a row to each workgroup, and of small ones that gather.
    pub row_lanes: u32,
    /// Invocations per workgroup of kernels without shared memory or barriers.
    pub element_lanes: u32,
}

/// Invocations of a workgroup: no device that we know of has more.
const WIDEST: u32 = 1024;

/// What shaders unroll into named registers, and no compiler has room for more. Products of such numbers stay within u32.
const MOST_UNROLLED: u32 = 64;

const CPU_ATTENTION: AttentionTile = AttentionTile {
    lanes: 8,
    row_groups: 1,
    rows: 16,
    key_vectors: 2,
    backward_key_vectors: 1,
    one_subgroup: false,
    busy_workgroups: 8,
};

impl Tuning {
    /// The table's row for a kind of adapter, and for the size of its subgroups where that is fixed.
    pub const fn for_adapter(kind: AdapterKind, subgroup_size: Option<u32>) -> Self {
        match (kind, subgroup_size) {
            (AdapterKind::Cpu, Some(8)) => Self {
                matmul: MatmulKernel::Direct { row_blocks: 8, col_vecs: 1, shared_reads: true },
                cooperative: None,
                cooperative_attention: None,
                attention: AttentionTile { one_subgroup: true, ..CPU_ATTENTION },
                row_lanes: 8,
                element_lanes: 64,
            },
            (AdapterKind::Cpu, _) => Self {
                matmul: MatmulKernel::Direct { row_blocks: 4, col_vecs: 2, shared_reads: false },
                cooperative: None,
                cooperative_attention: None,
                attention: CPU_ATTENTION,
                row_lanes: 8,
                element_lanes: 64,
            },
            (_, subgroup_size) => Self {
                matmul: MatmulKernel::Staged { row_blocks: 2, col_vecs: 2 },
                cooperative: Some(CooperativeTile {
                    blocks: [2, 2],
                    fragments: [4, 4],
                    inner: 32,
                    subgroup_size: match subgroup_size {
                        Some(size) => size,
                        None => 32,
                    },
                }),
                cooperative_attention: Some(CooperativeAttention {
                    subgroups: 4,
                    row_fragments: 2,
                    key_fragments: 4,
                    backward_key_fragments: 2,
                }),
                attention: AttentionTile {
                    lanes: 16,
                    row_groups: 8,
                    rows: 4,
                    key_vectors: 1,
                    backward_key_vectors: 1,
                    one_subgroup: false,
                    busy_workgroups: 256,
                },
                row_lanes: 64,
                element_lanes: 64,
            },
        }
    }

    /// Whether any kernel multiplies cooperative matrices, where a device has them.
    pub const fn wants_cooperative(&self) -> bool {
        self.cooperative.is_some() || self.cooperative_attention.is_some()
    }

    /// Refuses tiles that no kernel can have: [`ErrorKind::Argument`] of `op` about the field, with its range and what it holds. What
    /// passes may still exceed a device's limits, which plans and programs refuse.
    pub(crate) fn check(&self, op: &'static str) -> Result<()> {
        let refused = |field: &str| Error::new(ErrorKind::Argument, op, field);
        for (field, value, most) in self.counts() {
            if !(1..=most).contains(&value) {
                return Err(refused(field).expecting(format!("1 to {most}")).but_found(value));
            }
        }
        if let MatmulKernel::Direct { row_blocks, col_vecs, .. } = self.matmul
            && row_blocks * col_vecs > MOST_UNROLLED
        {
            return Err(refused("matmul.row_blocks")
                .expecting(format!("at most {MOST_UNROLLED} of them and matmul.col_vecs together"))
                .but_found(format!("{row_blocks} x {col_vecs}")));
        }
        if let Some(CooperativeTile { inner, .. }) = self.cooperative
            && ![16, 32, 64].contains(&inner)
        {
            return Err(refused("cooperative.inner").expecting("16, 32 or 64").but_found(inner));
        }
        let AttentionTile { lanes, row_groups, one_subgroup, .. } = self.attention;
        if lanes * row_groups > WIDEST {
            return Err(refused("attention.row_groups")
                .expecting(format!("at most {WIDEST} invocations with attention.lanes"))
                .but_found(format!("{lanes} x {row_groups}")));
        }
        if one_subgroup && (lanes, row_groups) != (8, 1) {
            return Err(refused("attention.one_subgroup")
                .expecting("8 lanes in 1 row group")
                .but_found(format!("{lanes} in {row_groups}")));
        }
        Ok(())
    }

    /// Every field that counts something, and the most that it may be.
    fn counts(&self) -> Vec<(&'static str, u32, u32)> {
        let Self { matmul, cooperative, cooperative_attention, attention, .. } = *self;
        let mut counts = vec![
            ("row_lanes", self.row_lanes, WIDEST),
            ("element_lanes", self.element_lanes, WIDEST),
            ("attention.lanes", attention.lanes, WIDEST),
            ("attention.row_groups", attention.row_groups, WIDEST),
            ("attention.rows", attention.rows, MOST_UNROLLED),
            ("attention.key_vectors", attention.key_vectors, MOST_UNROLLED),
            ("attention.backward_key_vectors", attention.backward_key_vectors, MOST_UNROLLED),
            ("attention.busy_workgroups", attention.busy_workgroups, 1 << 16),
        ];
        if let MatmulKernel::Direct { row_blocks, col_vecs, .. } = matmul {
            counts.extend([
                ("matmul.row_blocks", row_blocks, MOST_UNROLLED),
                ("matmul.col_vecs", col_vecs, MOST_UNROLLED),
            ]);
        }
        if let MatmulKernel::Staged { row_blocks, col_vecs } = matmul {
            counts.extend([("matmul.row_blocks", row_blocks, 2), ("matmul.col_vecs", col_vecs, 2)]);
        }
        if let Some(CooperativeTile { blocks, fragments, subgroup_size, .. }) = cooperative {
            counts.extend([
                ("cooperative.blocks", blocks[0], 32),
                ("cooperative.blocks", blocks[1], 32),
                ("cooperative.fragments", fragments[0], 8),
                ("cooperative.fragments", fragments[1], 8),
                ("cooperative.subgroup_size", subgroup_size, 128),
            ]);
        }
        if let Some(tile) = cooperative_attention {
            counts.extend([
                ("cooperative_attention.subgroups", tile.subgroups, 32),
                ("cooperative_attention.row_fragments", tile.row_fragments, 8),
                ("cooperative_attention.key_fragments", tile.key_fragments, 16),
                ("cooperative_attention.backward_key_fragments", tile.backward_key_fragments, 16),
            ]);
        }
        counts
    }
}

impl fmt::Display for MatmulKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct { row_blocks, col_vecs, shared_reads } => {
                let reads = if *shared_reads { ", reads shared" } else { "" };
                write!(f, "direct {} x {}{reads}", 4 * row_blocks, 4 * col_vecs)
            }
            Self::Staged { row_blocks, col_vecs } => {
                write!(f, "staged {} x {}", 4 * row_blocks, 4 * col_vecs)
            }
            Self::Classic => f.write_str("classic"),
        }
    }
}

impl fmt::Display for CooperativeTile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { blocks, fragments, inner, subgroup_size } = self;
        write!(
            f,
            "{} x {} blocks of {} x {} fragments, {inner} at a time, subgroups of {subgroup_size}",
            blocks[0], blocks[1], fragments[0], fragments[1]
        )
    }
}

impl fmt::Display for CooperativeAttention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subgroups, row_fragments, key_fragments, backward_key_fragments } = self;
        write!(
            f,
            "{subgroups} subgroups of {row_fragments} x {key_fragments} fragments (backward {row_fragments} x {backward_key_fragments})"
        )
    }
}

impl fmt::Display for AttentionTile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lanes, row_groups, rows, key_vectors, backward_key_vectors, one_subgroup, .. } = self;
        let subgroup = if *one_subgroup { ", one subgroup" } else { "" };
        write!(
            f,
            "{} rows x {} keys (backward {}) on {lanes} x {row_groups} lanes{subgroup}",
            rows * row_groups,
            4 * key_vectors * lanes,
            4 * backward_key_vectors * lanes
        )
    }
}

impl fmt::Display for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { matmul, cooperative, cooperative_attention, attention, row_lanes, element_lanes } = self;
        write!(f, "matmul {matmul}; attention {attention}")?;
        if let Some(tile) = cooperative {
            write!(f, "; cooperative matmul {tile}")?;
        }
        if let Some(tile) = cooperative_attention {
            write!(f, "; cooperative attention {tile}")?;
        }
        write!(f, "; streaming {row_lanes} lanes; elementwise {element_lanes} lanes")
    }
}
