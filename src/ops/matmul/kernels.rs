//! Lowering: one dispatch, tiled for the adapter.
//!
//! Shapes tried for 1024^3 f32 and not chosen, as ratios to the classic tile of the same run (lavapipe, Mesa 22.3 / 26; two
//! cores): with reads passed round the subgroup 32x32 gets 12.6 / 3.1 and is in the table; 24x64 11.2 / 3.2, 48x32 12.0 / 2.7,
//! 32x64 10.8 / 2.4. Without subgroups 16x64 gets 5.4 / 2.5 and is in the table; 16x32 3.9 / 2.0, 24x64 5.8 / 1.8. The staged
//! tile gets 1.4 / 1.0 there. `acc += block * row` instead of `fma` costs 4 / 9 %, row tiles varying fastest 7 / 2 %.
//!
//! f16 read as `vec4<f16>` got 0.9 / 0.66 of f32's rate. In pairs, with `b` as it is 1.22 / 1.74 and transposed 1.05 / 1.08 (medians of 11 runs
//! in turn).
//!
//! What bounds the direct tile there, by samples of the code that Mesa 26 makes (1024^3): 47 % in multiply-adds, 35 % in gathers of `b`, 18 % in
//! gathers of `a`. Each line of `b` is a page of its own: from a copy in which a tile's lines are neighbours the product runs 1.08 / 1.22 times
//! as fast, copying included (two builds in turn, the best of 45 runs each; 1.0 / 1.2 with 256 rows, 1.0 / 1.1 with 1500 columns). Lines of half a page lose by
//! the copy (- / 0.93), shorter ones more. Lost against that: every invocation reading `a` for itself (0.65 to 0.85), 64 rows (0.7 to 1.0),
//! touching the next lines of `b` one step ahead (0.8 to 1.0), the copy made by the kernel of transposes, which
//! divides for every four elements (0.9).
//!
//! No GPU has timed its tiles. They were chosen by the code compiled for NVIDIA's Ampere (Mesa 26; instructions / cycles by the compiler's own
//! count, each instruction once) and AMD's RDNA 3 (Mesa 25), neither of which spills. Cooperative, f16, 128x128, 32 k at a time: with operands
//! made f32 and f16 again on their way to workgroup memory, fragments loaded across lines and no tile on its way, 2755 / 58,939, with `b`
//! transposed 3250 / 82,819. As it is, 2321 / 17,904 and 2284 / 15,884: 64 of the 331 instructions of a step multiply fragments, where 1291
//! were needed with `b` not turned while staged. RDNA 3 read 128 halves one by one then, and none now. Staged, f32, 128x128: 47,759 cycles with
//! loads waited for, 31,749 with the next tile on its way; 1024 of the 1350 instructions of 16 k multiply. Unrolled by 8 in place of 4: no better.

use super::packing::{Packing, packing};
use super::{Geometry, NAME, Placement};
use crate::Result;
use crate::kernel::{
    Caps, Choice, CooperativeTile, Dispatch, Lowered, MatmulKernel, Operand, Params, Shader, Source, Tier,
    params, wgsl,
};
use crate::ops::contract::to_u32;
use crate::tensor::DType;

/// Elements behind each staged line of the cooperative kernel, against bank conflicts; lines begin at multiples of 16 bytes.
const LINE_PADDING: u32 = 8;

/// The same behind each line of finished sums.
const LAID_PADDING: u32 = 4;

/// Invocations of a subgroup, on devices that do not say: a multiple of all sizes that these may have.
const LARGEST_SUBGROUP: u32 = 64;

/// Invocations of the direct kernel's workgroup: one subgroup of a software rasterizer.
pub(super) const DIRECT_LANES: u32 = 8;

params! {
    /// Distances in elements.
    struct MatmulParams {
        rows: u32,
        cols: u32,
        inner: u32,
        heads: u32,
        a_batch: u32,
        a_head: u32,
        a_line: u32,
        b_batch: u32,
        b_head: u32,
        b_line: u32,
        b_panel: u32,
        c_batch: u32,
        c_head: u32,
        c_line: u32,
        b_second: u32,
        c_first: u32,
        count: u32,
    }
}

/// A kernel with its tile.
pub(super) struct Tiling {
    shader: Shader,
    tier: Tier,
    rows: u32,
    columns: u32,
    name: &'static str,
    reason: &'static str,
}

/// A product as one dispatch that still lacks the file which stores results: `c_store`, or `c_store_pair` of a gated one.
pub(in crate::ops) struct Product {
    /// Reads `a` and `b`; packs of the result are `CPack`.
    pub(in crate::ops) shader: Shader,
    /// The shader's uniform.
    pub(in crate::ops) params: Params,
    /// Workgroups with work.
    pub(in crate::ops) workgroups: u64,
    /// Which kernel, and why.
    pub(in crate::ops) choice: Choice,
    /// Whether results are stored four at a time.
    pub(in crate::ops) in_vectors: bool,
}

/// What a product is part of.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Part {
    /// How the result is stored.
    pub(in crate::ops) result: DType,
    /// The first column of the whole result that `b` gives.
    pub(in crate::ops) first_column: usize,
    /// For a gated product, the distance from the first factor's columns of `b` to the second's.
    pub(in crate::ops) second: Option<usize>,
}

pub(super) fn lower(geometry: &Geometry, dtype: DType, caps: &Caps) -> Result<Lowered> {
    let geometry = geometry.merged();
    let packing = packing(&geometry, dtype, caps)?;
    let (geometry, b) = match &packing {
        Some(packing) => (&packing.geometry, Operand::Scratch(0)),
        None => (&geometry, Operand::Input(1)),
    };
    let Product { mut shader, params, workgroups, mut choice, in_vectors } =
        product(NAME, geometry, dtype, caps, Part { result: dtype, first_column: 0, second: None })?;
    shader.sources.push(if in_vectors {
        wgsl!("matmul/operands/c_vec4.wgsl")
    } else {
        wgsl!("matmul/operands/c_scalar.wgsl")
    });
    let product = Dispatch {
        shader,
        bindings: vec![("a", Operand::Input(0)), ("b", b), ("c", Operand::Output(0))],
        params,
        workgroups,
        turns: 0,
    };
    Ok(match packing {
        None => Lowered::Kernels { choice, dispatches: vec![product], scratch: Vec::new() },
        Some(Packing { dispatch, bytes, .. }) => {
            choice.kernel = format!("{}, b packed", choice.kernel).into();
            Lowered::Kernels { choice, dispatches: vec![dispatch, product], scratch: vec![bytes] }
        }
    })
}

/// The dispatch of a product, tiled for the adapter. `op` is who asks.
pub(in crate::ops) fn product(
    op: &'static str,
    geometry: &Geometry,
    dtype: DType,
    caps: &Caps,
    part: Part,
) -> Result<Product> {
    let Geometry { heads, rows, columns, inner, .. } = *geometry;
    let gated = part.second.is_some();
    let tiling = cooperative(geometry, dtype, gated, caps)
        .unwrap_or_else(|| tiling(geometry, caps.tuning.matmul, gated, caps));
    let to_u32 = |what, count| to_u32(op, what, count);
    let count = to_u32("workgroups", geometry.tiles(tiling.rows, tiling.columns))?;
    let in_vectors = geometry.c.in_vectors(columns) && part.first_column.is_multiple_of(4);
    let vectors = [
        geometry.a.in_vectors(if geometry.a.transposed { rows } else { inner }),
        geometry.b.in_vectors(if geometry.b.transposed { inner } else { columns }),
    ];
    let mut shader = tiling.shader;
    // Fragments take operands as they are stored.
    let on_fragments = tiling.tier == Tier::CooperativeMatrix;
    shader.sources.extend(if on_fragments {
        piece_sources(vectors)
    } else {
        operand_sources(geometry, vectors)
    });
    let packs = [
        ("APack", wgsl!("matmul/operands/a_wide.wgsl"), wgsl!("matmul/operands/a_wide_pairs.wgsl")),
        ("BPack", wgsl!("matmul/operands/b_wide.wgsl"), wgsl!("matmul/operands/b_wide_pairs.wgsl")),
    ];
    for ((name, plain, pairs), vectors) in packs.into_iter().zip(vectors) {
        let (source, pack, lanes) = match (vectors, dtype) {
            (true, _) if on_fragments => (None, dtype, 4),
            (true, DType::F16) => (Some(pairs), DType::U32, 2),
            (true, _) => (Some(plain), dtype, 4),
            (false, _) => (None, dtype, 1),
        };
        shader.sources.extend(source);
        shader = shader.alias(name, pack, lanes);
    }
    shader = shader.alias("CPack", part.result, if in_vectors { 4 } else { 1 });
    let shader = shader
        .constant("TILE_ROWS", tiling.rows)
        .constant("TILE_COLS", tiling.columns)
        .constant("GATED", part.second.is_some());
    let params = MatmulParams {
        rows: to_u32("rows", rows)?,
        cols: to_u32("columns", columns)?,
        inner: to_u32("inner", inner)?,
        heads: to_u32("heads", heads)?,
        a_batch: to_u32("a", geometry.a.batch)?,
        a_head: to_u32("a", geometry.a.head)?,
        a_line: to_u32("a", geometry.a.line)?,
        b_batch: to_u32("b", geometry.b.batch)?,
        b_head: to_u32("b", geometry.b.head)?,
        b_line: to_u32("b", geometry.b.line)?,
        b_panel: to_u32("b", geometry.b_panel)?,
        c_batch: to_u32("result", geometry.c.batch)?,
        c_head: to_u32("result", geometry.c.head)?,
        c_line: to_u32("result", geometry.c.line)?,
        b_second: to_u32("b", part.second.unwrap_or(0))?,
        c_first: to_u32("result", part.first_column)?,
        count,
    };
    Ok(Product {
        shader,
        params: params.into(),
        workgroups: count.into(),
        choice: Choice {
            tier: tiling.tier,
            kernel: format!("{} {}x{}", tiling.name, tiling.rows, tiling.columns).into(),
            reason: format!("{}: {}", caps.adapter.name(), tiling.reason).into(),
        },
        in_vectors,
    })
}

impl Geometry {
    /// How many tiles of `rows` and `columns` there are of the result.
    fn tiles(&self, rows: u32, columns: u32) -> usize {
        let tiles = self.rows.div_ceil(rows as usize) * self.columns.div_ceil(columns as usize);
        self.batch.saturating_mul(self.heads).saturating_mul(tiles)
    }
}

impl Placement {
    /// Whether every row starts at, and extends over, whole vectors of four.
    pub(super) fn in_vectors(&self, extent: usize) -> bool {
        [self.batch, self.head, self.line, extent].iter().all(|n| n % 4 == 0)
    }
}

/// The tile on cooperative matrices, where the device has them, the tuning wants them, and the product fills fragments.
pub(super) fn cooperative(geometry: &Geometry, dtype: DType, gated: bool, caps: &Caps) -> Option<Tiling> {
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
    Some(Tiling {
        shader: Shader::new(
            "matmul/cooperative",
            [wgsl!("matmul/cooperative.wgsl.j2"), wgsl!("matmul/interface.wgsl")],
        )
        .on_cooperative_matrices(side, dtype)
        .alias("Operand", dtype, 1)
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
        .constant("TILE_INNER", inner),
        tier: Tier::CooperativeMatrix,
        rows: tile[0],
        columns: tile[1],
        name: if side == 16 { "cooperative 16x16" } else { "cooperative 8x8" },
        reason: "fragments that add up in f32",
    })
}

/// Columns of the direct kernel's tile.
pub(super) const fn direct_columns(col_vecs: u32) -> u32 {
    4 * col_vecs * DIRECT_LANES
}

fn tiling(geometry: &Geometry, kernel: MatmulKernel, gated: bool, caps: &Caps) -> Tiling {
    match kernel {
        MatmulKernel::Direct { row_blocks, col_vecs, shared_reads } => {
            // A gated tile takes twice the columns in the same registers.
            let (row_blocks, vecs) =
                if gated { (row_blocks.div_ceil(2), 2 * col_vecs) } else { (row_blocks, col_vecs) };
            // Rows that do not exist cost as much as those that do.
            let row_blocks = row_blocks.min(geometry.rows.div_ceil(4).next_power_of_two().max(1) as u32);
            let mut sources = vec![wgsl!("matmul/direct.wgsl.j2"), wgsl!("matmul/interface.wgsl")];
            sources.push(match (shared_reads, geometry.a.transposed) {
                (false, _) => wgsl!("matmul/operands/a_own.wgsl"),
                (true, false) => wgsl!("matmul/operands/a_lanes_plain.wgsl"),
                (true, true) => wgsl!("matmul/operands/a_lanes_transposed.wgsl"),
            });
            let mut shader = Shader::new("matmul/direct", sources)
                .constant("WG_X", DIRECT_LANES)
                .constant("ROW_BLOCKS", row_blocks)
                .constant("COL_VECS", vecs);
            if shared_reads {
                shader = shader.subgroups_of(DIRECT_LANES);
            }
            Tiling {
                shader,
                tier: Tier::RegisterTile,
                rows: 4 * row_blocks,
                columns: direct_columns(col_vecs),
                name: "direct",
                reason: if shared_reads {
                    "registers straight from storage, reads of a passed round the subgroup of 8"
                } else {
                    "registers straight from storage, as staging would only cost"
                },
            }
        }
        // The yardstick has no gated form.
        MatmulKernel::Classic if gated => {
            tiling(geometry, MatmulKernel::Staged { row_blocks: 1, col_vecs: 1 }, gated, caps)
        }
        MatmulKernel::Staged { mut row_blocks, mut col_vecs } => {
            let lanes = 16;
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
            Tiling {
                shader: Shader::new(
                    "matmul/staged",
                    [
                        wgsl!("matmul/staged.wgsl.j2"),
                        wgsl!("matmul/interface.wgsl"),
                        wgsl!("matmul/tails.wgsl"),
                    ],
                )
                .constant("WG_X", lanes)
                .constant("WG_Y", lanes)
                .constant("WHOLE", geometry.inner.is_multiple_of(inner as usize))
                .constant("TILE_INNER", inner)
                .constant("ROW_BLOCKS", row_blocks)
                .constant("COL_VECS", vecs),
                tier: Tier::RegisterTile,
                rows: 4 * row_blocks * lanes,
                columns: 4 * col_vecs * lanes,
                name: "staged",
                reason: "tiles staged through workgroup memory",
            }
        }
        MatmulKernel::Classic => Tiling {
            shader: Shader::new(
                "matmul/classic",
                [wgsl!("matmul/classic.wgsl"), wgsl!("matmul/interface.wgsl")],
            ),
            tier: Tier::RegisterTile,
            rows: 64,
            columns: 64,
            name: "classic",
            reason: "asked for as the yardstick",
        },
    }
}

/// The files that take `a` and `b` to workgroup memory as they are stored.
fn piece_sources([a, b]: [bool; 2]) -> Vec<Source> {
    vec![
        if a {
            wgsl!("matmul/operands/a_piece_vec4.wgsl")
        } else {
            wgsl!("matmul/operands/a_piece_scalar.wgsl")
        },
        if b {
            wgsl!("matmul/operands/b_piece_vec4.wgsl")
        } else {
            wgsl!("matmul/operands/b_piece_scalar.wgsl")
        },
    ]
}

/// The files that read `a` and `b` the way they are stored, as f32.
fn operand_sources(geometry: &Geometry, [a, b]: [bool; 2]) -> Vec<Source> {
    let a = match (geometry.a.transposed, a) {
        (false, false) => {
            [wgsl!("matmul/operands/a_plain.wgsl"), wgsl!("matmul/operands/a_plain_scalar.wgsl")]
        }
        (false, true) => [wgsl!("matmul/operands/a_plain.wgsl"), wgsl!("matmul/operands/a_plain_vec4.wgsl")],
        (true, false) => {
            [wgsl!("matmul/operands/a_transposed.wgsl"), wgsl!("matmul/operands/a_transposed_scalar.wgsl")]
        }
        (true, true) => {
            [wgsl!("matmul/operands/a_transposed.wgsl"), wgsl!("matmul/operands/a_transposed_vec4.wgsl")]
        }
    };
    let b = match (geometry.b.transposed, b) {
        (false, false) => {
            [wgsl!("matmul/operands/b_plain.wgsl"), wgsl!("matmul/operands/b_plain_scalar.wgsl")]
        }
        (false, true) => [wgsl!("matmul/operands/b_plain.wgsl"), wgsl!("matmul/operands/b_plain_vec4.wgsl")],
        (true, false) => {
            [wgsl!("matmul/operands/b_transposed.wgsl"), wgsl!("matmul/operands/b_transposed_scalar.wgsl")]
        }
        (true, true) => {
            [wgsl!("matmul/operands/b_transposed.wgsl"), wgsl!("matmul/operands/b_transposed_vec4.wgsl")]
        }
    };
    a.into_iter().chain(b).collect()
}
