//! The tuning table: which kernel shape each kind of adapter gets.
//!
//! A software rasterizer runs one invocation per SIMD lane: staging through workgroup memory and barriers only cost, a
//! workgroup of one subgroup wins, and what counts is how many flops each load feeds. A GPU wants the opposite.

use super::AdapterKind;

/// How matmul is tiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatmulKernel {
    /// Register tile straight from storage: each invocation owns `4 * row_blocks` rows by `4 * col_vecs` columns.
    Direct {
        /// Groups of four rows per invocation.
        row_blocks: u32,
        /// Groups of four columns per invocation.
        col_vecs: u32,
    },
    /// Tile staged through workgroup memory, accumulators in named registers.
    Staged,
    /// The textbook kernel (64x64x16 tile staged through workgroup memory, accumulators in an array): the yardstick that
    /// benchmarks measure the others by.
    Classic,
}

/// How blocked attention is tiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttentionTile {
    /// Invocations of a workgroup along keys and channels.
    pub lanes: u32,
    /// Invocations of a workgroup along query rows.
    pub row_groups: u32,
}

/// Kernel shapes in force. [`Tuning::for_adapter`] is the table; set fields to try others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuning {
    /// Shape of the matmul kernel.
    pub matmul: MatmulKernel,
    /// Shape of the blocked attention kernel.
    pub attention: AttentionTile,
    /// Invocations per workgroup of kernels that handle elements or rows on their own.
    pub streaming_lanes: u32,
}

impl Tuning {
    /// The table's row for a kind of adapter.
    pub const fn for_adapter(kind: AdapterKind) -> Self {
        match kind {
            AdapterKind::Cpu => Self {
                matmul: MatmulKernel::Direct { row_blocks: 4, col_vecs: 1 },
                attention: AttentionTile { lanes: 8, row_groups: 1 },
                streaming_lanes: 8,
            },
            _ => Self {
                matmul: MatmulKernel::Staged,
                attention: AttentionTile { lanes: 8, row_groups: 8 },
                streaming_lanes: 64,
            },
        }
    }
}
