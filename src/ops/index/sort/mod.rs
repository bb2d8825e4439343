//! Sorting along the last axis. The order of a row's largest elements, of [`top_k`](super::top_k), is made the same way.

mod backward;
#[cfg(feature = "check")]
mod cases;

use super::radix::{self, Keys};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, params, wgsl};
use crate::ops::contract::{Contract, to_u32};
use crate::tensor::{Array, DType, Real, TensorDesc};
use crate::{Error, ErrorKind};

#[cfg(feature = "check")]
pub(super) use cases::{TYPES, with_ties};
#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "index/sort";

/// Which end of an order comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The smallest element first; NaN last.
    Ascending,
    /// The largest element first; NaN before it.
    Descending,
}

/// Elements in order, and where they came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sorted {
    /// The elements, of the argument's type.
    pub values: Value,
    /// Where each element was in its row: u32, of the shape of `values`.
    pub positions: Value,
}

/// Rows in order, of which the first few are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct SortRows {
    pub(super) name: &'static str,
    pub(super) order: Order,
    /// How many elements of a row are kept; without, all of them.
    pub(super) kept: Option<usize>,
}

params! {
    struct PickParams {
        length: u32,
        kept: u32,
    }
}

/// `x: [.., length]`, of any type, with each row along the last axis sorted, and the positions that elements had.
///
/// The sort is stable in either order: of equal elements the one with the lower position comes first. -0 equals 0; NaN counts as greater than
/// every number, and equals NaN. Values keep their bits. Gradients go to where the values came from; positions have none.
///
/// Rows may be empty. Fails when `x` is a scalar.
pub fn sort(graph: &mut Graph, x: Value, order: Order) -> Result<Sorted> {
    SortRows { name: NAME, order, kept: None }.push(graph, x)
}

/// The positions of [`sort()`] alone: u32, of the shape of `x`.
pub fn argsort(graph: &mut Graph, x: Value, order: Order) -> Result<Value> {
    Ok(sort(graph, x, order)?.positions)
}

impl SortRows {
    pub(super) fn push(self, graph: &mut Graph, x: Value) -> Result<Sorted> {
        let outputs = graph.push_builtin(self, &[x])?;
        let [values, positions] = outputs[..] else {
            return Err(Error::new(ErrorKind::Argument, self.name, "outputs")
                .expecting("two")
                .but_found(outputs.len()));
        };
        Ok(Sorted { values, positions })
    }
}

/// Rows and their length, of a value that is no scalar.
pub(super) fn rows_of(desc: &TensorDesc) -> [usize; 2] {
    match desc.shape.dims().split_last() {
        Some((&length, leading)) => [leading.iter().product(), length],
        None => [1, 1],
    }
}

impl Op for SortRows {
    fn name(&self) -> &'static str {
        self.name
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(self.name);
        contract.count(inputs, &["x"])?;
        let mut dims = inputs[0].shape.dims().to_vec();
        let Some(length) = dims.last_mut() else {
            return Err(contract.shape_error("x").expecting("at least one axis").but_found("a scalar"));
        };
        if let Some(kept) = self.kept {
            if kept == 0 || kept > *length {
                let expected = format!("from 1 to the {length} elements of a row");
                return Err(contract.argument_error("k").expecting(expected).but_found(kept));
            }
            *length = kept;
        }
        Ok(vec![TensorDesc::new(inputs[0].dtype, dims.clone()), TensorDesc::u32(dims)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let x = inputs[0];
        let mut dims = x.dims().to_vec();
        let length = dims.last().copied().unwrap_or(1);
        let kept = self.kept.unwrap_or(length);
        let rows = dims.iter().rev().skip(1).product();
        let (mut places, mut positions) = (Vec::new(), Vec::new());
        for row in 0..rows {
            let mut order: Vec<usize> = (0..length).collect();
            order.sort_by(|&a, &b| {
                let [a, b] = [a, b].map(|position| row * length + position);
                let compared = match x.reals() {
                    [] => x.indices()[a].cmp(&x.indices()[b]),
                    reals => compare(reals[a], reals[b]),
                };
                if self.order == Order::Ascending { compared } else { compared.reverse() }
            });
            places.extend(order[..kept].iter().map(|position| row * length + position));
            positions.extend(order[..kept].iter().map(|&position| position as i64));
        }
        if let Some(extent) = dims.last_mut() {
            *extent = kept;
        }
        vec![x.gathered(dims.clone(), &places), Array::index(dims, positions)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let x = &step.inputs[0];
        let [rows, length] = rows_of(x);
        let keys = Keys { dtype: x.dtype, descending: self.order == Order::Descending, most: u32::MAX };
        // All positions of a row are an output of their own; the first few are picked from scratch.
        let (order, first_scratch) = match self.kept {
            None => (Operand::Output(1), 0),
            Some(_) => (Operand::Scratch(0), 1),
        };
        let sort = radix::sort(
            self.name,
            (Operand::Input(0), keys),
            [rows, length],
            Some(order),
            first_scratch,
            caps,
        )?;
        let (mut dispatches, mut scratch) = (sort.dispatches, sort.scratch);
        if self.kept.is_some() {
            scratch.insert(0, (x.elements() as u64 * 4).max(16));
        }
        if self.kept.is_some() || step.wanted[0] {
            let kept = self.kept.unwrap_or(length);
            let kernel = Kernel::new("sort, elements in order", [wgsl!("index/sort/pick.wgsl")])
                .read("x", Operand::Input(0), x.dtype)
                .read("order", order, DType::U32)
                .write_if("values", step.wanted[0].then_some(Operand::Output(0)), x.dtype)
                .write_if("positions", self.kept.map(|_| Operand::Output(1)), DType::U32)
                .params(PickParams {
                    length: to_u32(self.name, "length", length)?,
                    kept: to_u32(self.name, "k", kept)?,
                });
            dispatches.push(kernel.per_element(to_u32(self.name, "elements", rows * kept)?, caps));
        }
        let kernel = format!("radix sort of {} keys", x.dtype);
        Ok(Lowered::streaming(kernel, format!("{rows} rows of {length}"), dispatches, scratch))
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let length = graph.desc(adjoint.inputs()[0])?.shape.dims().last().copied().unwrap_or(1);
        let positions = adjoint.outputs()[1];
        crate::ops::upstream::to_input(adjoint, |upstream| {
            backward::place(graph, self.name, positions, upstream, length)
        })
    }
}

/// Numbers by value, then NaN.
fn compare<R: Real>(a: R, b: R) -> std::cmp::Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}
