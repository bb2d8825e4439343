//! Sorting along the last axis. The order of a row's largest elements, of [`top_k`](super::top_k), is made the same way.
//!
//! Positions are a step and values, which are picked by them, another: an order of floats is a choice that backward passes keep
//! ([`Op::is_choice`]), whereas values may be picked anew.

#[cfg(feature = "check")]
mod cases;
mod pick;
mod place;

use super::radix::{self, Keys};
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, params, wgsl};
use crate::ops::contract::{Contract, to_u32};
use crate::tensor::{Array, DType, Real, TensorDesc};

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
#[non_exhaustive]
pub struct Sorted {
    /// The elements, of the argument's type.
    pub values: Value,
    /// Where each element was in its row: u32, of the shape of `values`.
    pub positions: Value,
}

/// The order of rows, of which the first few positions are kept.
#[derive(Clone, Copy, Debug)]
struct SortRows {
    name: &'static str,
    order: Order,
    /// How many positions of a row are kept; without, all of them.
    kept: Option<usize>,
    /// Of floats, which may be other ones where they are computed anew.
    of_floats: bool,
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
    sort_rows(graph, NAME, x, order, None)
}

/// The positions of [`sort()`] alone: u32, of the shape of `x`.
pub fn argsort(graph: &mut Graph, x: Value, order: Order) -> Result<Value> {
    Ok(sort(graph, x, order)?.positions)
}

/// Sorts rows of `x` for the op called `name`, and keeps the first few elements of each where `kept` says so.
pub(super) fn sort_rows(
    graph: &mut Graph,
    name: &'static str,
    x: Value,
    order: Order,
    kept: Option<usize>,
) -> Result<Sorted> {
    let of_floats = graph.desc(x)?.dtype.is_float();
    let positions = graph.push_builtin_one(SortRows { name, order, kept, of_floats }, &[x])?;
    Ok(Sorted { values: pick::pick(graph, name, x, positions)?, positions })
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
        Ok(vec![TensorDesc::u32(dims)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let x = inputs[0];
        let mut dims = x.dims().to_vec();
        let length = dims.last().copied().unwrap_or(1);
        let kept = self.kept.unwrap_or(length);
        let rows = dims.iter().rev().skip(1).product();
        let mut positions = Vec::new();
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
            positions.extend(order[..kept].iter().map(|&position| position as i64));
        }
        if let Some(extent) = dims.last_mut() {
            *extent = kept;
        }
        vec![Array::index(dims, positions)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let x = &step.inputs[0];
        let [rows, length] = rows_of(x);
        let keys = Keys { dtype: x.dtype, descending: self.order == Order::Descending, most: u32::MAX };
        // Of all positions of a row, in scratch, the first few are the output.
        let (order, first_scratch) = match self.kept {
            None => (Operand::Output(0), 0),
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
        if let Some(kept) = self.kept {
            scratch.insert(0, (x.elements() as u64 * 4).max(16));
            let kernel = Kernel::new("sort, first positions", [wgsl!("index/sort/first.wgsl")])
                .read("order", order, DType::U32)
                .write("positions", Operand::Output(0), DType::U32)
                .params(PickParams {
                    length: to_u32(self.name, "length", length)?,
                    kept: to_u32(self.name, "k", kept)?,
                });
            dispatches.push(kernel.per_element(to_u32(self.name, "elements", rows * kept)?, caps));
        }
        let kernel = format!("radix sort of {} keys", x.dtype);
        Ok(Lowered::streaming(kernel, format!("{rows} rows of {length}"), dispatches, scratch))
    }

    fn is_choice(&self) -> bool {
        self.of_floats
    }

    fn stops_gradients(&self) -> bool {
        true
    }
}

/// Numbers by value, then NaN.
fn compare<R: Real>(a: R, b: R) -> std::cmp::Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}
