//! Lowering: the tile, the operands it reads, and one dispatch of it; several over parts of a long inner axis, whose sums are added up.

use std::ops::Range;

use super::packing::{Packing, packing};
use super::tiles::{Kind, Tile};
use super::{Geometry, NAME, Placement};
use crate::Result;
use crate::kernel::{Caps, Choice, Dispatch, Kernel, Lowered, Matrix, Operand, params, wgsl};
use crate::ops::contract::to_u32;
use crate::tensor::DType;

/// Turns of loops over the inner axis from which on it is taken in parts: half of what the drivers that count them allow
/// ([`Dispatch::turns`]).
const LONG: u64 = 1 << 15;

/// Turns of an invocation's other loops, and of what is left of the inner axis.
const OTHER_TURNS: u64 = 64;

params! {
    /// Distances in elements.
    struct MatmulParams {
        rows: u32,
        cols: u32,
        inner: u32,
        heads: u32,
        a_first: u32,
        a_batch: u32,
        a_head: u32,
        a_line: u32,
        b_first: u32,
        b_batch: u32,
        b_head: u32,
        b_line: u32,
        /// From a tile's columns to the next one's, beyond their number.
        b_panel: u32,
        /// From B to the other factor of a gated product.
        b_second: u32,
        /// The first element of C that is written, where B is a part of a matrix.
        c_first: u32,
        c_batch: u32,
        c_head: u32,
        c_line: u32,
    }
}

/// A product as a kernel that still lacks what becomes of the sums: `finish(base, row, column, product)`, or `finish_pair` of a gated one.
pub(in crate::ops) struct Product {
    /// Reads `a` and `b`.
    pub(in crate::ops) kernel: Kernel,
    /// How the result is written.
    pub(in crate::ops) c: Matrix,
    /// What starts the kernel when it is whole.
    pub(in crate::ops) entry: Entry,
}

/// The workgroups of a product.
pub(in crate::ops) struct Entry {
    workgroups: u32,
    /// None where the kernel has a `main` of its own.
    lanes: Option<u32>,
}

impl Entry {
    pub(in crate::ops) fn dispatch(&self, kernel: Kernel) -> Dispatch {
        match self.lanes {
            Some(lanes) => kernel.per_workgroup(self.workgroups, lanes),
            None => kernel.with_own_main(self.workgroups),
        }
    }
}

/// What a product is made for.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Part {
    /// Where `b` is; `a` is the first input.
    pub(in crate::ops) b: Operand,
    /// How the result is stored.
    pub(in crate::ops) result: DType,
    /// For a gated product, the distance from the first factor's columns of `b` to the second's.
    pub(in crate::ops) second: Option<usize>,
}

pub(super) fn lower(geometry: &Geometry, dtype: DType, caps: &Caps) -> Result<Lowered> {
    let geometry = geometry.merged();
    let tile = Tile::of(&geometry, dtype, false, caps);
    let packed = packing(&geometry, &tile, dtype, caps)?;
    let mut scratch = Vec::new();
    let mut dispatches = Vec::new();
    let (geometry, b) = match packed {
        Some(Packing { geometry, bytes, dispatch }) => {
            scratch.push(bytes);
            dispatches.push(dispatch);
            (geometry, Operand::Scratch(0))
        }
        None => (geometry, Operand::Input(1)),
    };
    let parts = tile.inner_parts(geometry.inner);
    // Sums over parts of the inner axis are f32, too.
    let rounded = parts.len() > 1 && dtype != DType::F32;
    let (sums, result) = match rounded {
        false => (Operand::Output(0), dtype),
        true => (Operand::Scratch(scratch.len()), DType::F32),
    };
    for (number, inner) in parts.iter().enumerate() {
        let part = geometry.part(inner.clone());
        let Product { kernel, c, entry } =
            tile.product(NAME, &part, dtype, Part { b, result, second: None })?;
        let kernel = match number {
            0 => kernel.source(wgsl!("matmul/finish.wgsl")).write_rows("c", sums, c),
            _ => kernel.source(wgsl!("matmul/finish_part.wgsl")).update_rows("c", sums, c),
        };
        dispatches.push(entry.dispatch(kernel));
    }
    if rounded {
        scratch.push((geometry.shape.elements() * size_of::<f32>()) as u64);
        dispatches.push(rounding(&geometry, sums, dtype, caps)?);
    }
    let mut choice = tile.choice(caps);
    if b != Operand::Input(1) {
        choice.kernel = format!("{}, b packed", choice.kernel).into();
    }
    if parts.len() > 1 {
        choice.kernel = format!("{}, inner axis in {} parts", choice.kernel, parts.len()).into();
    }
    Ok(Lowered::Kernels { choice, dispatches, scratch })
}

/// The result of `dtype` from sums over all parts of the inner axis.
fn rounding(geometry: &Geometry, sums: Operand, dtype: DType, caps: &Caps) -> Result<Dispatch> {
    let elements = geometry.shape.elements();
    let lanes = if elements.is_multiple_of(4) { 4 } else { 1 };
    let count = to_u32(NAME, "elements", elements)? / lanes;
    Ok(Kernel::new("matmul, rounding", [wgsl!("matmul/rounding.wgsl")])
        .lanes(lanes)
        .read("sums", sums, DType::F32)
        .write("c", Operand::Output(0), dtype)
        .per_element(count, caps))
}

/// The product of `a: [rows, inner]`, input 0, and `b`, in the tile that suits it. `op` is who asks.
pub(in crate::ops) fn product(
    op: &'static str,
    geometry: &Geometry,
    dtype: DType,
    part: Part,
    caps: &Caps,
) -> Result<(Product, Choice)> {
    let tile = Tile::of(geometry, dtype, part.second.is_some(), caps);
    Ok((tile.product(op, geometry, dtype, part)?, tile.choice(caps)))
}

impl Tile {
    /// The kernel of a product in this tile. `op` is who asks.
    fn product(&self, op: &'static str, geometry: &Geometry, dtype: DType, part: Part) -> Result<Product> {
        let Geometry { rows, columns, inner, .. } = *geometry;
        let kernel = self
            .kernel
            .clone()
            .constant("TILE_ROWS", self.rows)
            .constant("TILE_COLS", self.columns)
            .constant("GATED", part.second.is_some())
            .params(geometry.params(op, part.second)?)
            .turns(self.turns_over(inner));
        // Register tiles see to the end of the inner axis themselves.
        let inner_end = (self.kind == Kind::Cooperative).then_some("params.inner");
        let a = Matrix {
            dtype,
            transposed: geometry.a.transposed,
            line: Some("params.a_line"),
            vectors: geometry.a.in_vectors(if geometry.a.transposed { rows } else { inner }),
            rows: Some("params.rows"),
            columns: inner_end,
        };
        let b = Matrix {
            transposed: geometry.b.transposed,
            line: Some("params.b_line"),
            vectors: geometry.b.in_vectors(if geometry.b.transposed { inner } else { columns }),
            rows: inner_end,
            columns: Some("params.cols"),
            ..a
        };
        let kernel = match self.kind {
            Kind::Cooperative => {
                kernel.read_as_stored("a", Operand::Input(0), a).read_as_stored("b", part.b, b)
            }
            Kind::Direct | Kind::Staged => {
                kernel.read_matrix("a", Operand::Input(0), a).read_matrix("b", part.b, b)
            }
        };
        let c = Matrix {
            dtype: part.result,
            transposed: false,
            line: Some("params.c_line"),
            vectors: geometry.c.in_vectors(columns),
            rows: Some("params.rows"),
            columns: Some("params.cols"),
        };
        let workgroups = to_u32(op, "workgroups", geometry.tiles(self.rows, self.columns))?;
        Ok(Product { kernel, c, entry: Entry { workgroups, lanes: self.lanes } })
    }

    fn choice(&self, caps: &Caps) -> Choice {
        Choice {
            tier: self.tier(),
            kernel: format!("{} {}x{}", self.name, self.rows, self.columns).into(),
            reason: format!("{}: {}", caps.adapter.name(), self.reason).into(),
        }
    }

    /// The most turns that an invocation's loops take over `inner`.
    fn turns_over(&self, inner: usize) -> u64 {
        let (turns, of) = self.turns;
        (inner as u64).div_ceil(of.into()) * u64::from(turns) + OTHER_TURNS
    }

    /// The inner axis in as few parts as loops that are not long allow.
    fn inner_parts(&self, inner: usize) -> Vec<Range<usize>> {
        let (turns, of) = self.turns;
        let most = LONG / u64::from(turns) * u64::from(of);
        let count = (inner as u64).div_ceil(most).max(1) as usize;
        // Of about the same length, in whole turns but for the last.
        let length = inner.div_ceil(count).next_multiple_of(of as usize).max(1);
        (0..inner.max(1)).step_by(length).map(|first| first..(first + length).min(inner)).collect()
    }
}

impl Geometry {
    fn params(&self, op: &'static str, second: Option<usize>) -> Result<MatmulParams> {
        let Self { heads, rows, columns, inner, b_panel, a, b, c, .. } = *self;
        let to_u32 = |what, count| to_u32(op, what, count);
        Ok(MatmulParams {
            rows: to_u32("rows", rows)?,
            cols: to_u32("columns", columns)?,
            inner: to_u32("inner", inner)?,
            heads: to_u32("heads", heads)?,
            a_first: to_u32("a", a.first)?,
            a_batch: to_u32("a", a.batch)?,
            a_head: to_u32("a", a.head)?,
            a_line: to_u32("a", a.line)?,
            b_first: to_u32("b", b.first)?,
            b_batch: to_u32("b", b.batch)?,
            b_head: to_u32("b", b.head)?,
            b_line: to_u32("b", b.line)?,
            b_panel: to_u32("b", b_panel)?,
            b_second: to_u32("b", second.unwrap_or(0))?,
            c_first: to_u32("result", c.first)?,
            c_batch: to_u32("result", c.batch)?,
            c_head: to_u32("result", c.head)?,
            c_line: to_u32("result", c.line)?,
        })
    }

    /// The product over a part of the inner axis.
    fn part(&self, inner: Range<usize>) -> Self {
        let mut part = Self { inner: inner.len(), ..self.clone() };
        part.a.first = self.a.offset(0, 0, 0, inner.start);
        part.b.first = self.b.offset(0, 0, inner.start, 0);
        part
    }

    /// How many tiles of `rows` and `columns` there are of the result.
    pub(super) fn tiles(&self, rows: u32, columns: u32) -> usize {
        let tiles = self.rows.div_ceil(rows as usize) * self.columns.div_ceil(columns as usize);
        self.batch.saturating_mul(self.heads).saturating_mul(tiles)
    }
}

impl Placement {
    /// Whether every row starts at, and extends over, whole vectors of four.
    pub(super) fn in_vectors(&self, extent: usize) -> bool {
        [self.first, self.batch, self.head, self.line, extent].iter().all(|n| n % 4 == 0)
    }
}
