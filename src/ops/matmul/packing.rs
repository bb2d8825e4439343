//! A copy of `b` for CPU adapters, in which a tile's columns lie behind one another: the product then reads its part of `b` from end to
//! end, where it read a few elements of every page (Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008).

use super::tiles::{Kind, Tile};
use super::{Geometry, NAME, Placement};
use crate::Result;
use crate::kernel::{Caps, Dispatch, Kernel, Operand, params, wgsl};
use crate::ops::contract::to_u32;
use crate::tensor::DType;

/// Lines that a workgroup copies.
const LINES: usize = 32;

/// Invocations of a workgroup: one subgroup of a software rasterizer.
const LANES: u32 = 8;

/// Tiles of rows that read the copy, below which it costs more than it saves.
const LEAST_READERS: usize = 8;

/// Bytes of a line of `b`, below which a page holds several of them.
const LEAST_LINE: usize = 4096;

params! {
    /// Columns and distances in packs of four elements.
    struct PackingParams {
        cols: u32,
        /// Columns of a tile.
        width: u32,
        b_batch: u32,
        b_head: u32,
        b_line: u32,
        inner: u32,
        /// Tiles of a matrix.
        tiles: u32,
        heads: u32,
        /// Workgroups of a tile.
        chunks: u32,
    }
}

/// Where `b` is copied to, and by what.
pub(super) struct Packing {
    /// The product of `a` and the copy.
    pub(super) geometry: Geometry,
    /// Size of the copy, which is the step's first scratch.
    pub(super) bytes: u64,
    pub(super) dispatch: Dispatch,
}

/// The copy for `tile`, where it pays: the figures are in the module doc of the tiles.
pub(super) fn packing(
    geometry: &Geometry,
    tile: &Tile,
    dtype: DType,
    caps: &Caps,
) -> Result<Option<Packing>> {
    let Geometry { batch, heads, rows, columns, inner, b, .. } = *geometry;
    let readers = rows.div_ceil(tile.rows as usize);
    if tile.kind != Kind::Direct
        || b.transposed
        || !b.in_vectors(columns)
        || readers < LEAST_READERS
        || b.line * dtype.size() < LEAST_LINE
    {
        return Ok(None);
    }
    let repeats = (b.batch, b.head) == (0, 0);
    let [batches, heads_of_b] = if repeats { [1, 1] } else { [batch, heads] };
    let width = tile.columns as usize;
    let tiles = columns.div_ceil(width);
    let matrix = tiles * inner * width;
    let head = if repeats { 0 } else { matrix };
    let bytes = (batches * heads_of_b * matrix * dtype.size()) as u64;
    if bytes == 0 || bytes > caps.max_binding_bytes {
        return Ok(None);
    }
    let chunks = inner.div_ceil(LINES);
    let to_u32 = |what, count| to_u32(NAME, what, count);
    let workgroups = to_u32("workgroups", batches * heads_of_b * tiles * chunks)?;
    let params = PackingParams {
        cols: to_u32("columns", columns / 4)?,
        width: to_u32("columns", width / 4)?,
        b_batch: to_u32("b", b.batch / 4)?,
        b_head: to_u32("b", b.head / 4)?,
        b_line: to_u32("b", b.line / 4)?,
        inner: to_u32("inner", inner)?,
        tiles: to_u32("tiles", tiles)?,
        heads: to_u32("heads", heads_of_b)?,
        chunks: to_u32("workgroups", chunks)?,
    };
    // Bit by bit, four elements at a time.
    let dispatch = Kernel::new("matmul, packing", [wgsl!("matmul/packing.wgsl")])
        .lanes(dtype.size() as u32)
        .read("b", Operand::Input(1), DType::U32)
        .write("packed", Operand::Scratch(0), DType::U32)
        .params(params)
        .constant("LINES", LINES as u32)
        // Of each of an invocation's packs, every line.
        .turns((width as u64 / 4).div_ceil(LANES.into()) * (LINES as u64 + 2))
        .per_workgroup(workgroups, LANES);
    Ok(Some(Packing {
        geometry: Geometry {
            b: Placement { first: 0, batch: heads * head, head, line: width, transposed: false },
            b_panel: inner * width - width,
            ..geometry.clone()
        },
        bytes,
        dispatch,
    }))
}
