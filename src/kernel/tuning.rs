//! The tuning table: which kernel shape each kind of adapter gets.
//!
//! A software rasterizer runs one invocation per SIMD lane: staging through workgroup memory and barriers only cost, a
//! workgroup of one subgroup wins, and what counts is how many flops each load feeds. A GPU wants the opposite.

use super::AdapterKind;
use crate::{Error, ErrorKind, Result};

/// How matmul is tiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatmulKernel {
    /// Register tile straight from storage: each invocation owns `4 * row_blocks` rows by `4 * col_vecs` columns.
    Direct {
        /// Groups of four rows per invocation.
        row_blocks: u32,
        /// Groups of four columns per invocation.
        col_vecs: u32,
        /// Whether the invocations of a subgroup of eight read `a` once and pass it round.
        shared_reads: bool,
    },
    /// Tile staged through workgroup memory, accumulators in named registers.
    Staged,
    /// The textbook kernel (64x64x16 tile staged through workgroup memory, accumulators in an array): the yardstick that
    /// benchmarks measure the others by.
    Classic,
}

/// How products are tiled on cooperative matrices. A workgroup owns `blocks` of results, each of which is one subgroup's, of `fragments`
/// fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

impl CooperativeTile {
    /// Refuses what no workgroup and no staging can be.
    pub(super) fn check(&self) -> Result<()> {
        let Self { blocks, fragments, inner, subgroup_size } = *self;
        for (what, value, most) in [
            ("cooperative.blocks", blocks[0], 32),
            ("cooperative.blocks", blocks[1], 32),
            ("cooperative.fragments", fragments[0], 8),
            ("cooperative.fragments", fragments[1], 8),
            ("cooperative.subgroup_size", subgroup_size, 128),
        ] {
            if !(1..=most).contains(&value) {
                return Err(Error::new(ErrorKind::Argument, "caps", what)
                    .expecting(format!("1 to {most}"))
                    .but_found(value));
            }
        }
        if ![16, 32, 64].contains(&inner) {
            return Err(Error::new(ErrorKind::Argument, "caps", "cooperative.inner")
                .expecting("16, 32 or 64")
                .but_found(inner));
        }
        Ok(())
    }
}

/// How blocked attention is tiled: a workgroup owns `rows * row_groups` query rows and walks over the keys
/// `4 * key_vectors * lanes` at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// Whether a workgroup is one subgroup of eight, which waits for itself as such and passes reads round. For software
    /// rasterizers only: it relies on lanes that run in lockstep.
    pub one_subgroup: bool,
    /// Workgroups that keep the device busy: below that, the keys of each row are split over several.
    pub busy_workgroups: u32,
}

/// Kernel shapes in force. [`Tuning::for_adapter`] is the table; set fields to try others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    pub streaming_lanes: u32,
    /// Invocations per workgroup of kernels whose invocations know nothing of each other.
    pub elementwise_lanes: u32,
}

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
                streaming_lanes: 8,
                elementwise_lanes: 64,
            },
            (AdapterKind::Cpu, _) => Self {
                matmul: MatmulKernel::Direct { row_blocks: 4, col_vecs: 2, shared_reads: false },
                cooperative: None,
                cooperative_attention: None,
                attention: CPU_ATTENTION,
                streaming_lanes: 8,
                elementwise_lanes: 64,
            },
            (_, subgroup_size) => Self {
                matmul: MatmulKernel::Staged,
                cooperative: Some(CooperativeTile {
                    blocks: [4, 2],
                    fragments: [2, 4],
                    inner: 32,
                    subgroup_size: match subgroup_size {
                        Some(size) => size,
                        None => 32,
                    },
                }),
                cooperative_attention: Some(CooperativeAttention {
                    subgroups: 4,
                    row_fragments: 1,
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
                streaming_lanes: 64,
                elementwise_lanes: 64,
            },
        }
    }
}
