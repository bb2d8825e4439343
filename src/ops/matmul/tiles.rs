//! Which tile a product gets, by the adapter and the product's extents. The shapes that were tried, and what they gained or lost, are in the
//! guide's page on performance.

use super::Geometry;
use super::few_rows::few_rows;
use crate::kernel::{Caps, CooperativeTile, Kernel, MatmulKernel, Tier, wgsl};
use crate::tensor::DType;

/// Elements behind each staged line of the cooperative kernel, against bank conflicts; lines begin at multiples of 16 bytes.
const LINE_PADDING: u32 = 8;

/// The same behind each line of finished sums.
const LAID_PADDING: u32 = 4;

/// Invocations of a subgroup, on devices that do not say: a multiple of all sizes that these may have.
const LARGEST_SUBGROUP: u32 = 64;

/// Invocations of the direct kernel's workgroup: one subgroup of a software rasterizer.
pub(super) const DIRECT_LANES: u32 = 8;

/// Invocations of the staged kernel's workgroup, along each axis.
const STAGED_LANES: u32 = 16;

/// How a tile is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Subgroups multiply fragments, which take operands as they are stored.
    Cooperative,
    /// Lanes share what is read of `b`, each element of it once.
    FewRows,
    /// Registers straight from storage.
    Direct,
    /// Registers from workgroup memory.
    Staged,
}

/// A kernel with its tile.
pub(super) struct Tile {
    /// The files and what they leave open, but for operands, parameters and the entry point.
    pub(super) kernel: Kernel,
    pub(super) kind: Kind,
    pub(super) rows: u32,
    pub(super) columns: u32,
    /// Invocations of a workgroup; none where the kernel has a `main` of its own.
    pub(super) lanes: Option<u32>,
    /// The most turns that an invocation's loops take for how much of the inner axis.
    pub(super) turns: (u32, u32),
    pub(super) name: &'static str,
    pub(super) reason: &'static str,
}

impl Tile {
    /// The tile of a product, gated or not, of operands of `dtype`.
    pub(super) fn of(geometry: &Geometry, dtype: DType, gated: bool, caps: &Caps) -> Self {
        let suited =
            || few_rows(geometry, dtype, gated, caps).or_else(|| cooperative(geometry, dtype, gated, caps));
        suited().unwrap_or_else(|| match caps.tuning.matmul {
            MatmulKernel::Direct { row_blocks, col_vecs, shared_reads } => {
                direct(geometry, [row_blocks, col_vecs], shared_reads, gated)
            }
            MatmulKernel::Staged { row_blocks, col_vecs } => {
                staged(geometry, [row_blocks, col_vecs], gated, caps)
            }
            // The yardstick has no gated form.
            MatmulKernel::Classic if gated => staged(geometry, [1, 1], gated, caps),
            MatmulKernel::Classic => classic(),
        })
    }

    pub(super) fn tier(&self) -> Tier {
        match self.kind {
            Kind::Cooperative => Tier::CooperativeMatrix,
            Kind::FewRows => Tier::Streaming,
            Kind::Direct | Kind::Staged => Tier::RegisterTile,
        }
    }
}

/// The tile on cooperative matrices, where the device has them, the tuning wants them, and the product fills fragments.
fn cooperative(geometry: &Geometry, dtype: DType, gated: bool, caps: &Caps) -> Option<Tile> {
    let CooperativeTile { mut blocks, mut fragments, inner, subgroup_size } = caps.tuning.cooperative?;
    let side = caps.fragment(dtype)?;
    // A workgroup is made of whole subgroups, whatever their size: those without a block have nothing to do.
    let subgroup_size = subgroup_size.next_multiple_of(caps.subgroup_size.unwrap_or(LARGEST_SUBGROUP));
    let extents = [geometry.rows, geometry.columns, geometry.inner].map(|extent| extent as u64);
    if extents.iter().any(|&extent| extent < u64::from(side)) {
        return None;
    }
    // A block has as many fragments of each factor.
    let halves = if gated { 2 } else { 1 };
    // As with register tiles, smaller ones keep more workgroups busy.
    while fragments[0].max(fragments[1]) > 2
        && geometry.tiles(blocks[0] * fragments[0] * side, blocks[1] * fragments[1].div_ceil(halves) * side)
            < caps.tuning.attention.busy_workgroups as usize
    {
        let longer = usize::from(fragments[1] > fragments[0]);
        fragments[longer] = fragments[longer].div_ceil(2);
    }
    let fragments = [fragments[0], fragments[1].div_ceil(halves)];
    // Blocks without a result cost as much as those with one; tiles that do not fit become smaller.
    let block = fragments.map(|count| u64::from(count * side));
    for axis in 0..2 {
        while blocks[axis] > 1 && u64::from(blocks[axis] / 2) * block[axis] >= extents[axis] {
            blocks[axis] /= 2;
        }
    }
    let (tile, laid) = loop {
        let tile = [0, 1].map(|axis| blocks[axis] * fragments[axis] * side);
        let count = blocks[0] * blocks[1];
        let staged = (inner + LINE_PADDING) * (tile[0] + halves * tile[1]);
        let left = caps.max_workgroup_bytes.saturating_sub(staged * dtype.size() as u32);
        // As many fragments of a row at a time as there is room for: fewer waits, longer runs of stores.
        let laid = (1..=fragments[1]).rev().find(|&laid| {
            let area = halves * count * side * (laid * side + LAID_PADDING);
            fragments[1].is_multiple_of(laid) && area * size_of::<f32>() as u32 <= left
        });
        if let Some(laid) = laid
            && count * subgroup_size <= caps.max_invocations
        {
            break (tile, laid);
        }
        let widest = usize::from(blocks[1] > blocks[0]);
        if blocks[widest] == 1 {
            return None;
        }
        blocks[widest] /= 2;
    };
    let kernel =
        Kernel::new("matmul/cooperative", [wgsl!("matmul/cooperative.wgsl.j2"), wgsl!("matmul/tile.wgsl")])
            .on_cooperative_matrices(side, dtype)
            .alias("Operand", dtype)
            .constant("FRAGMENT", side)
            .constant("FRAGMENTS_Y", fragments[0])
            .constant("FRAGMENTS_X", fragments[1])
            .constant("BLOCKS_Y", blocks[0])
            .constant("BLOCKS_X", blocks[1])
            .constant("THREADS", blocks[0] * blocks[1] * subgroup_size)
            .constant("LINE_PADDING", LINE_PADDING)
            .constant("LAID", laid)
            .constant("LAID_PADDING", LAID_PADDING)
            .constant("A_TRANSPOSED", geometry.a.transposed)
            .constant("B_TRANSPOSED", geometry.b.transposed)
            .constant("WHOLE", geometry.inner.is_multiple_of(inner as usize))
            .constant("TILE_INNER", inner);
    Some(Tile {
        kernel,
        kind: Kind::Cooperative,
        rows: tile[0],
        columns: tile[1],
        lanes: None,
        // A single subgroup would do all blocks.
        turns: (blocks[0] * blocks[1], inner),
        name: if side == 16 { "cooperative 16x16" } else { "cooperative 8x8" },
        reason: "fragments that add up in f32",
    })
}

fn direct(geometry: &Geometry, [row_blocks, col_vecs]: [u32; 2], shared_reads: bool, gated: bool) -> Tile {
    // A gated tile takes twice the columns in the same registers.
    let (row_blocks, vecs) =
        if gated { (row_blocks.div_ceil(2), 2 * col_vecs) } else { (row_blocks, col_vecs) };
    // Rows that do not exist cost as much as those that do.
    let row_blocks = row_blocks.min(geometry.rows.div_ceil(4).next_power_of_two().max(1) as u32);
    let mut kernel =
        Kernel::new("matmul/direct", [wgsl!("matmul/direct.wgsl.j2"), wgsl!("matmul/tile.wgsl")])
            .constant("SHARED_READS", shared_reads)
            .constant("A_TRANSPOSED", geometry.a.transposed)
            .constant("ROW_BLOCKS", row_blocks)
            .constant("COL_VECS", vecs);
    if shared_reads {
        kernel = kernel.subgroups_of(DIRECT_LANES);
    }
    Tile {
        kernel,
        kind: Kind::Direct,
        rows: 4 * row_blocks,
        columns: 4 * col_vecs * DIRECT_LANES,
        lanes: Some(DIRECT_LANES),
        turns: (1, 8),
        name: "direct",
        reason: if shared_reads {
            "registers straight from storage, reads of a passed round the subgroup of 8"
        } else {
            "registers straight from storage, as staging would only cost"
        },
    }
}

fn staged(geometry: &Geometry, [mut row_blocks, mut col_vecs]: [u32; 2], gated: bool, caps: &Caps) -> Tile {
    let lanes = STAGED_LANES;
    // A register tile of 8 x 8 multiplies more for each read, but four of 4 x 4 keep four times as many workgroups busy.
    while row_blocks * col_vecs > 1
        && geometry.tiles(4 * lanes * row_blocks, 4 * lanes * col_vecs)
            < caps.tuning.attention.busy_workgroups as usize
    {
        if row_blocks >= col_vecs { row_blocks /= 2 } else { col_vecs /= 2 }
    }
    let vecs = if gated { 2 * col_vecs } else { col_vecs };
    let bytes = |inner: u32| (lanes * (row_blocks + vecs) + 2) * inner * 4 * size_of::<f32>() as u32;
    let inner = if bytes(16) <= caps.max_workgroup_bytes { 16 } else { 8 };
    let kernel = Kernel::new("matmul/staged", [wgsl!("matmul/staged.wgsl.j2"), wgsl!("matmul/tile.wgsl")])
        .constant("LANES_X", lanes)
        .constant("LANES_Y", lanes)
        .constant("WHOLE", geometry.inner.is_multiple_of(inner as usize))
        .constant("TILE_INNER", inner)
        .constant("ROW_BLOCKS", row_blocks)
        .constant("COL_VECS", vecs);
    Tile {
        kernel,
        kind: Kind::Staged,
        rows: 4 * row_blocks * lanes,
        columns: 4 * col_vecs * lanes,
        lanes: Some(lanes * lanes),
        // Four steps of the inner axis are written out.
        turns: (inner / 4 + 2, inner),
        name: "staged",
        reason: "tiles staged through workgroup memory",
    }
}

fn classic() -> Tile {
    Tile {
        kernel: Kernel::new("matmul/classic", [wgsl!("matmul/classic.wgsl"), wgsl!("matmul/tile.wgsl")]),
        kind: Kind::Staged,
        rows: 64,
        columns: 64,
        lanes: Some(256),
        // A copy of four elements, and 16 steps of 4 x 4 products.
        turns: (4 + 16 * (4 * (4 + 2) + 2) + 3, 16),
        name: "classic",
        reason: "asked for as the yardstick",
    }
}
