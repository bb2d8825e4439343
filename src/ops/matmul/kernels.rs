//! Lowering: the tile, the operands it reads, and one dispatch of it; several over parts of a long inner axis, whose sums are added up.

use std::fmt::Debug;
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

/// An `a` that is stored otherwise than as a matrix.
pub(in crate::ops) trait Gathered: Debug {
    /// Declares its variables, its parameters and the functions of [`Kernel::read_matrix`] for `a`, of an inner axis that starts at `first`. Where
    /// `in_operand_type`, its elements are given as `Operand`, as cooperative matrices take them, else as f32.
    fn read(&self, kernel: Kernel, first: u32, in_operand_type: bool) -> Kernel;
}

/// What a product is made for.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Part<'p> {
    /// What reads `a`; the first input is a matrix where nothing does.
    pub(in crate::ops) a: Option<&'p dyn Gathered>,
    /// Where `b` is.
    pub(in crate::ops) b: Operand,
    /// How the result is stored.
    pub(in crate::ops) result: DType,
    /// For a gated product, the distance from the first factor's columns of `b` to the second's.
    pub(in crate::ops) second: Option<usize>,
    /// Where f32 sums over parts of the inner axis go if it is taken in parts: as many as the product has, of a gated one those of both factors.
    pub(in crate::ops) so_far: Operand,
}

/// The dispatches of a product.
pub(in crate::ops) struct Product {
    pub(in crate::ops) dispatches: Vec<Dispatch>,
    pub(in crate::ops) choice: Choice,
    /// Whether the inner axis is taken in parts, whose sums [`Part::so_far`] holds.
    pub(in crate::ops) in_parts: bool,
}

pub(super) fn lower(geometry: &Geometry, dtype: DType, caps: &Caps) -> Result<Lowered> {
    let geometry = geometry.merged();
    let tile = Tile::of(&geometry, dtype, false, caps);
    let (mut scratch, mut dispatches) = (Vec::new(), Vec::new());
    let (geometry, b) = match packing(&geometry, &tile, dtype, caps)? {
        Some(Packing { geometry, bytes, dispatch }) => {
            scratch.push(bytes);
            dispatches.push(dispatch);
            (geometry, Operand::Scratch(0))
        }
        None => (geometry, Operand::Input(1)),
    };
    let part = Part { a: None, b, result: dtype, second: None, so_far: Operand::Scratch(scratch.len()) };
    let finish =
        |kernel: Kernel, c| kernel.source(wgsl!("matmul/finish.wgsl")).write_rows("c", Operand::Output(0), c);
    let mut product = tile.product(NAME, &geometry, dtype, part, caps, finish)?;
    dispatches.append(&mut product.dispatches);
    if product.in_parts {
        scratch.push(geometry.bytes_of_sums());
    }
    let mut choice = product.choice;
    if b != Operand::Input(1) {
        choice.kernel = format!("{}, b packed", choice.kernel).into();
    }
    Ok(Lowered::Kernels { choice, dispatches, scratch })
}

/// The product of `a: [rows, inner]`, input 0, and `b`, in the tile that suits it. `op` names the op in errors. `finish` adds the epilogue, the WGSL
/// function `finish(base, row, column, product)`, or `finish_pair` of a gated product, and gets the layout of the result. That function adds
/// `so_far_row` to what it is given: the sums over earlier parts of the inner axis, or zeros.
pub(in crate::ops) fn product(
    op: &'static str,
    geometry: &Geometry,
    dtype: DType,
    part: Part<'_>,
    caps: &Caps,
    finish: impl Fn(Kernel, Matrix) -> Kernel,
) -> Result<Product> {
    Tile::of(geometry, dtype, part.second.is_some(), caps).product(op, geometry, dtype, part, caps, finish)
}

impl Tile {
    /// [`product`] in this tile: one dispatch for each part of the inner axis, of which the last one finishes.
    fn product(
        &self,
        op: &'static str,
        geometry: &Geometry,
        dtype: DType,
        part: Part<'_>,
        caps: &Caps,
        finish: impl Fn(Kernel, Matrix) -> Kernel,
    ) -> Result<Product> {
        let parts = self.inner_parts(geometry.inner);
        let c = self.result(geometry, part.result);
        // A row of a gated product's sums has both factors.
        let so_far_line = if part.second.is_some() { "2u * params.c_line" } else { "params.c_line" };
        let so_far = Matrix { dtype: DType::F32, line: Some(so_far_line), ..c };
        let mut dispatches = Vec::new();
        for (number, inner) in parts.iter().enumerate() {
            let (is_first, is_last) = (number == 0, number + 1 == parts.len());
            let first = to_u32(op, "inner", inner.start)?;
            let mut own = geometry.part(inner.clone());
            if part.a.is_some() {
                own.a.first = geometry.a.first;
            }
            let kernel = self.kernel(op, &own, first, dtype, part)?;
            let kernel = match (is_first, is_last) {
                (_, true) => {
                    let before = (!is_first).then_some(part.so_far);
                    finish(kernel.read_rows_if("so_far", before, so_far), c)
                }
                (true, _) => kernel
                    .source(wgsl!("matmul/finish_part.wgsl"))
                    .read_rows_if("so_far", None, so_far)
                    .write_rows("so_far", part.so_far, so_far),
                _ => {
                    kernel.source(wgsl!("matmul/finish_part.wgsl")).update_rows("so_far", part.so_far, so_far)
                }
            };
            let workgroups = to_u32(op, "workgroups", geometry.tiles(self.rows, self.columns))?;
            dispatches.push(match self.lanes {
                Some(lanes) => kernel.per_workgroup(workgroups, lanes),
                None => kernel.with_own_main(workgroups),
            });
        }
        let mut choice = self.choice(caps);
        if parts.len() > 1 {
            choice.kernel = format!("{}, inner axis in {} parts", choice.kernel, parts.len()).into();
        }
        Ok(Product { dispatches, choice, in_parts: parts.len() > 1 })
    }

    /// The kernel of a product, which reads `a` and `b` from the `first` of the inner axis on, without its epilogue.
    fn kernel(
        &self,
        op: &'static str,
        geometry: &Geometry,
        first: u32,
        dtype: DType,
        part: Part<'_>,
    ) -> Result<Kernel> {
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
            // Few rows are all there.
            rows: (self.kind != Kind::FewRows).then_some("params.rows"),
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
        let in_operand_type = self.kind == Kind::Cooperative;
        let kernel = match part.a {
            Some(gathered) => gathered.read(kernel, first, in_operand_type),
            None if in_operand_type => kernel.read_as_stored("a", Operand::Input(0), a),
            None => kernel.read_matrix("a", Operand::Input(0), a),
        };
        Ok(match in_operand_type {
            true => kernel.read_as_stored("b", part.b, b),
            false => kernel.read_matrix("b", part.b, b),
        })
    }

    /// How the result lies.
    fn result(&self, geometry: &Geometry, dtype: DType) -> Matrix {
        Matrix {
            dtype,
            transposed: false,
            line: Some("params.c_line"),
            vectors: geometry.c.in_vectors(geometry.columns),
            rows: Some("params.rows"),
            columns: Some("params.cols"),
        }
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
