//! A copy of `b` for CPU adapters, in which a tile's columns lie behind one another: the product then reads its part of `b` from end to
//! end, where it read a few elements of every page (Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008).

use super::kernels::{DIRECT_LANES, cooperative, direct_columns};
use super::{Geometry, NAME, Placement};
use crate::Result;
use crate::kernel::{Caps, Dispatch, MatmulKernel, Operand, Shader, params, wgsl};
use crate::ops::contract::to_u32;
use crate::tensor::DType;

/// Lines that a workgroup copies.
const LINES: usize = 32;

/// Tiles of rows that read the copy, below which it costs more than it saves.
const LEAST_READERS: usize = 8;

/// Bytes of a line of `b`, below which a page holds several of them.
const LEAST_LINE: usize = 4096;

params! {
    /// See the shader for units.
    struct PackingParams {
        cols: u32,
        width: u32,
        b_batch: u32,
        b_head: u32,
        b_line: u32,
        inner: u32,
        tiles: u32,
        heads: u32,
        chunks: u32,
        count: u32,
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

/// The copy, where it pays: the figures are in the module doc of the kernels.
pub(super) fn packing(geometry: &Geometry, dtype: DType, caps: &Caps) -> Result<Option<Packing>> {
    let MatmulKernel::Direct { row_blocks, col_vecs, .. } = caps.tuning.matmul else { return Ok(None) };
    let Geometry { batch, heads, rows, columns, inner, b, .. } = *geometry;
    let readers = rows.div_ceil(4 * row_blocks as usize);
    if b.transposed
        || !b.in_vectors(columns)
        || readers < LEAST_READERS
        || b.line * dtype.size() < LEAST_LINE
        || cooperative(geometry, dtype, false, caps).is_some()
    {
        return Ok(None);
    }
    let repeats = (b.batch, b.head) == (0, 0);
    let [batches, heads_of_b] = if repeats { [1, 1] } else { [batch, heads] };
    let width = direct_columns(col_vecs) as usize;
    let tiles = columns.div_ceil(width);
    let matrix = tiles * inner * width;
    let head = if repeats { 0 } else { matrix };
    let bytes = (batches * heads_of_b * matrix * dtype.size()) as u64;
    if bytes == 0 || bytes > caps.max_binding_bytes {
        return Ok(None);
    }
    let chunks = inner.div_ceil(LINES);
    let to_u32 = |what, count| to_u32(NAME, what, count);
    let count = to_u32("workgroups", batches * heads_of_b * tiles * chunks)?;
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
        count,
    };
    // Bit by bit, four elements at a time.
    let shader = Shader::new("matmul, packing", [wgsl!("matmul/packing.wgsl")])
        .alias("Pack", DType::U32, dtype.size() as u32)
        .constant("WG_X", DIRECT_LANES)
        .constant("LINES", LINES as u32);
    Ok(Some(Packing {
        geometry: Geometry {
            b: Placement { batch: heads * head, head, line: width, transposed: false },
            b_panel: inner * width - width,
            ..geometry.clone()
        },
        bytes,
        dispatch: Dispatch {
            shader,
            bindings: vec![("b", Operand::Input(1)), ("packed", Operand::Scratch(0))],
            params: params.into(),
            workgroups: count.into(),
            turns: 0,
        },
    }))
}
