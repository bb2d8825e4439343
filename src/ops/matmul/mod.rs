//! Batched matrix product, `c = a b`, either operand transposed, heads before or inside the rows.

#[cfg(feature = "check")]
mod cases;
mod few_rows;
mod gradient;
mod kernels;
mod packing;
mod reference;
mod tiles;

use super::contract::Contract;
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, MAX_RANK, Real, Shape, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};
pub(in crate::ops) use kernels::{Gathered, Part, Product, product};

const NAME: &str = "matmul";

/// Names of the leading axes, outermost first.
const BATCH: [&str; MAX_RANK - 2] = ["batch 0", "batch 1", "batch 2", "batch 3", "batch 4", "batch 5"];

/// Where an operand keeps the axis that counts heads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Heads {
    /// `[.., rows, columns]`: every leading axis counts matrices.
    #[default]
    Outer,
    /// `[batch, rows, head, columns]`: the order a linear layer produces, read in place.
    Inner,
}

/// How the operands of a [`matmul`] are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Matmul {
    transpose_a: bool,
    transpose_b: bool,
    a: Heads,
    b: Heads,
    result: Heads,
}

impl Matmul {
    /// Neither operand transposed, heads outermost.
    pub fn new() -> Self {
        Self::default()
    }

    /// `a` is stored as `[.., inner, rows]`.
    #[must_use]
    pub fn transpose_a(self) -> Self {
        Self { transpose_a: true, ..self }
    }

    /// `b` is stored as `[.., columns, inner]`.
    #[must_use]
    pub fn transpose_b(self) -> Self {
        Self { transpose_b: true, ..self }
    }

    /// Where `a`, `b` and the result keep their heads.
    #[must_use]
    pub fn heads(self, a: Heads, b: Heads, result: Heads) -> Self {
        Self { a, b, result, ..self }
    }

    /// The axes of `a`: those that count matrices, then what one matrix is stored as.
    fn stored_a(&self) -> [&'static str; 2] {
        if self.transpose_a { ["inner", "rows"] } else { ["rows", "inner"] }
    }

    fn stored_b(&self) -> [&'static str; 2] {
        if self.transpose_b { ["columns", "inner"] } else { ["inner", "columns"] }
    }
}

/// The product of every pair of matrices: `a: [.., rows, inner]`, `b: [.., inner, columns]`, result `[.., rows, columns]`.
///
/// The leading axes of `a` and `b` are equal, or one of the two has none and repeats. With [`Heads::Inner`] a value is
/// `[batch, rows, head, columns]`, and `[head]` takes the place of the second leading axis. Sums are f32 whatever the
/// storage. Rows, columns and the inner axis may be empty; an empty inner axis gives zeros. On CPU adapters a `b` whose lines
/// fill pages may be copied to scratch, which is part of the plan's memory.
///
/// Exact attention without a stored transpose: scores are `q k^T` with `heads(Inner, Inner, Outer)`, and the output is
/// `p v` with `heads(Outer, Inner, Inner)`.
pub fn matmul(graph: &mut Graph, a: Value, b: Value, spec: &Matmul) -> Result<Value> {
    graph.push_builtin_one(*spec, &[a, b])
}

/// The axis names of an operand of `rank` axes.
fn axes(heads: Heads, rank: usize, stored: [&'static str; 2]) -> Vec<&'static str> {
    match heads {
        Heads::Outer => {
            let leading = rank.saturating_sub(2).min(BATCH.len());
            BATCH[..leading].iter().copied().chain(stored).collect()
        }
        Heads::Inner => vec![BATCH[0], stored[0], BATCH[1], stored[1]],
    }
}

/// Number of axes that count matrices.
fn leading(heads: Heads, rank: usize) -> usize {
    match heads {
        Heads::Outer => rank.saturating_sub(2),
        Heads::Inner => 2,
    }
}

impl Op for Matmul {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let mut contract = Contract::new(NAME).may_be_empty(&["rows", "columns", "inner"]);
        contract.count(inputs, &["a", "b"])?;
        let (a, b) = (&inputs[0], &inputs[1]);
        contract.float("a", a)?;
        contract.dtype("b", b, a.dtype)?;
        contract.bind("a", a, &axes(self.a, a.shape.rank(), self.stored_a()))?;
        contract.bind("b", b, &axes(self.b, b.shape.rank(), self.stored_b()))?;
        let (leading_a, leading_b) = (leading(self.a, a.shape.rank()), leading(self.b, b.shape.rank()));
        if leading_a != leading_b && leading_a.min(leading_b) > 0 {
            return Err(contract
                .shape_error("b")
                .expecting(format!("{leading_a} leading axes as bound by a, or none"))
                .but_found(format!("{leading_b} in {}", b.shape)));
        }
        let counting = leading_a.max(leading_b);
        if self.result == Heads::Inner && counting != 2 {
            return Err(contract
                .argument_error("heads")
                .expecting("two leading axes, [batch, head], for a result with inner heads")
                .but_found(counting));
        }
        let names = axes(self.result, counting + 2, ["rows", "columns"]);
        let dims: Vec<usize> = names.iter().map(|axis| contract.extent(axis)).collect();
        Ok(vec![TensorDesc::new(a.dtype, dims)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let geometry = Geometry::new(self, inputs[0].shape(), inputs[1].shape());
        vec![reference::forward(inputs[0], inputs[1], &geometry)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let geometry = Geometry::new(self, &step.inputs[0].shape, &step.inputs[1].shape);
        kernels::lower(&geometry, step.inputs[0].dtype, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        gradient::backward(self, graph, adjoint)
    }
}

/// Where the elements of one operand lie, in elements: neighbours along its contiguous axis are 1 apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) struct Placement {
    /// The first element.
    pub(in crate::ops) first: usize,
    pub(in crate::ops) batch: usize,
    pub(in crate::ops) head: usize,
    pub(in crate::ops) line: usize,
    /// Whether rows (of `a`, or inner indices of `b`) lie along the contiguous axis.
    pub(in crate::ops) transposed: bool,
}

impl Placement {
    /// `lines` and `width` are the extents of the stored matrix; `repeats` when the operand has no leading axes.
    fn new(heads: Heads, [head_count, lines, width]: [usize; 3], transposed: bool, repeats: bool) -> Self {
        match heads {
            _ if repeats => Self { first: 0, batch: 0, head: 0, line: width, transposed },
            Heads::Outer => Self {
                first: 0,
                batch: head_count * lines * width,
                head: lines * width,
                line: width,
                transposed,
            },
            Heads::Inner => Self {
                first: 0,
                batch: lines * head_count * width,
                head: width,
                line: head_count * width,
                transposed,
            },
        }
    }

    /// Offset of an element by its place in the product: `(row, inner)` of `a`, `(inner, column)` of `b`.
    fn offset(&self, batch: usize, head: usize, first: usize, second: usize) -> usize {
        let (line, along) = if self.transposed { (second, first) } else { (first, second) };
        self.first + batch * self.batch + head * self.head + line * self.line + along
    }
}

/// A product as loops over `batch`, `heads`, `rows`, `columns`, `inner`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ops) struct Geometry {
    batch: usize,
    heads: usize,
    rows: usize,
    columns: usize,
    inner: usize,
    a: Placement,
    b: Placement,
    /// From a tile's columns of `b` to the next one's, beyond their number: 0 unless they were packed for the tile.
    b_panel: usize,
    c: Placement,
    shape: Shape,
}

impl Geometry {
    /// The loops of `spec` for operands that have passed the contract.
    fn new(spec: &Matmul, a: &Shape, b: &Shape) -> Self {
        let split = |heads: Heads, shape: &Shape| -> (Vec<usize>, [usize; 2]) {
            let dims = shape.dims();
            match heads {
                Heads::Outer => {
                    (dims[..dims.len() - 2].to_vec(), [dims[dims.len() - 2], dims[dims.len() - 1]])
                }
                Heads::Inner => (vec![dims[0], dims[2]], [dims[1], dims[3]]),
            }
        };
        let (leading_a, stored_a) = split(spec.a, a);
        let (leading_b, stored_b) = split(spec.b, b);
        let [rows, inner] = if spec.transpose_a { [stored_a[1], stored_a[0]] } else { stored_a };
        let columns = if spec.transpose_b { stored_b[0] } else { stored_b[1] };
        let (repeats_a, repeats_b) = (leading_a.is_empty(), leading_b.is_empty());
        let counting = if repeats_a { leading_b } else { leading_a };
        let heads = counting.last().copied().unwrap_or(1);
        let batch = counting.iter().rev().skip(1).product();
        let dims: Vec<usize> = match spec.result {
            Heads::Outer => counting.iter().copied().chain([rows, columns]).collect(),
            Heads::Inner => vec![batch, rows, heads, columns],
        };
        Self {
            batch,
            heads,
            rows,
            columns,
            inner,
            a: Placement::new(spec.a, [heads, stored_a[0], stored_a[1]], spec.transpose_a, repeats_a),
            b: Placement::new(spec.b, [heads, stored_b[0], stored_b[1]], spec.transpose_b, repeats_b),
            b_panel: 0,
            c: Placement::new(spec.result, [heads, rows, columns], false, false),
            shape: dims.into(),
        }
    }

    /// One product of `a: [rows, inner]` and `b: [columns, inner]`, transposed, which gives the columns from `first` on of a result whose
    /// rows lie `line` elements apart.
    pub(in crate::ops) fn dense([rows, columns, inner]: [usize; 3], first: usize, line: usize) -> Self {
        let placed = |first, line, transposed| Placement { first, batch: 0, head: 0, line, transposed };
        let (a, b, c) = (placed(0, inner, false), placed(0, inner, true), placed(first, line, false));
        Self { batch: 1, heads: 1, rows, columns, inner, a, b, b_panel: 0, c, shape: [rows, columns].into() }
    }

    /// One product of `[rows, columns, inner]` for each item and head of `counts`. Of an `a` that is gathered ([`Gathered`]), distances of items
    /// and heads are all that counts, and its lines.
    pub(in crate::ops) fn placed(
        [batch, heads]: [usize; 2],
        [rows, columns, inner]: [usize; 3],
        [a, b, c]: [Placement; 3],
    ) -> Self {
        let shape = [batch, heads, rows, columns].into();
        Self { batch, heads, rows, columns, inner, a, b, b_panel: 0, c, shape }
    }

    /// Bytes of f32 sums over parts of the inner axis ([`Part::so_far`]) of a product that is not gated.
    pub(in crate::ops) fn bytes_of_sums(&self) -> u64 {
        (self.shape.elements() * size_of::<f32>()) as u64
    }

    /// The same product with the counting axes taken as rows, where one `b` serves them all: fuller tiles.
    fn merged(&self) -> Self {
        let Self { batch, heads, rows, a, b, c, .. } = *self;
        let contiguous = |placement: Placement, line: usize| {
            !placement.transposed
                && placement.line == line
                && placement.head == rows * line
                && placement.batch == heads * rows * line
        };
        if (b.batch, b.head) != (0, 0) || !contiguous(a, self.inner) || !contiguous(c, self.columns) {
            return self.clone();
        }
        Self { batch: 1, heads: 1, rows: batch * heads * rows, ..self.clone() }
    }
}
