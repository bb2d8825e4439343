//! Sorting along the last axis, and selecting the largest elements of rows, for [`top_k`](super::top_k).
//!
//! Positions are a step and values, which are picked by them, another: an order of floats is a choice that backward passes keep
//! ([`Op::is_choice`]), whereas values may be picked anew.

#[cfg(feature = "check")]
mod cases;
mod pick;
mod place;
mod select;

use super::radix::{self, Keys};
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, Operand, params};
use crate::ops::contract::Contract;
use crate::ops::slice;
use crate::tensor::{Array, Real, TensorDesc};

pub(super) use select::select_rows;

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

/// The order of rows.
#[derive(Clone, Copy, Debug)]
struct SortRows {
    name: &'static str,
    order: Order,
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
    let positions = sort_rows(graph, NAME, x, order)?;
    Ok(Sorted { values: pick::pick(graph, NAME, x, positions)?, positions })
}

/// The positions of [`sort()`] alone: u32, of the shape of `x`.
pub fn argsort(graph: &mut Graph, x: Value, order: Order) -> Result<Value> {
    sort_rows(graph, NAME, x, order)
}

/// [`argsort`] for the op called `name`.
fn sort_rows(graph: &mut Graph, name: &'static str, x: Value, order: Order) -> Result<Value> {
    let of_floats = graph.desc(x)?.dtype.is_float();
    graph.push_builtin_one(SortRows { name, order, of_floats }, &[x])
}

/// The `kept` largest elements of each row of `x`, the largest first, for the op called `name`.
pub(super) fn largest_first(graph: &mut Graph, name: &'static str, x: Value, kept: usize) -> Result<Sorted> {
    let dims = kept_dims(&Contract::new(name), graph.desc(x)?, kept)?;
    let length = graph.desc(x)?.shape.dims()[dims.len() - 1];
    let positions = if kept <= length / SELECTED_FROM {
        let positions = select_rows(graph, name, x, kept)?;
        let values = pick::pick(graph, name, x, positions)?;
        // Of equal ones the earlier comes first, as positions ascend.
        let order = sort_rows(graph, name, values, Order::Descending)?;
        pick::pick(graph, name, positions, order)?
    } else {
        let order = sort_rows(graph, name, x, Order::Descending)?;
        slice(graph, order, dims.len() - 1, 0..kept)?
    };
    Ok(Sorted { values: pick::pick(graph, name, x, positions)?, positions })
}

/// Of rows so many times as long as what is kept of them, that is selected before it is sorted.
const SELECTED_FROM: usize = 4;

/// The extents of `x` with `kept` in place of the length of rows, which must have as many elements.
fn kept_dims(contract: &Contract, x: &TensorDesc, kept: usize) -> Result<Vec<usize>> {
    let mut dims = x.shape.dims().to_vec();
    let Some(length) = dims.last_mut() else {
        return Err(contract.shape_error("x").expecting("at least one axis").but_found("a scalar"));
    };
    if kept == 0 || kept > *length {
        let expected = format!("from 1 to the {length} elements of a row");
        return Err(contract.argument_error("k").expecting(expected).but_found(kept));
    }
    *length = kept;
    Ok(dims)
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
        if inputs[0].shape.rank() == 0 {
            return Err(contract.shape_error("x").expecting("at least one axis").but_found("a scalar"));
        }
        Ok(vec![TensorDesc::u32(inputs[0].shape.clone())])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let dims = inputs[0].dims();
        let rows = dims.iter().rev().skip(1).product();
        let orders = (0..rows).flat_map(|row| order_of(inputs[0], row, self.order));
        vec![Array::index(dims, orders.map(|position| position as i64).collect())]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let x = &step.inputs[0];
        let [rows, length] = rows_of(x);
        let keys = Keys { dtype: x.dtype, descending: self.order == Order::Descending, most: u32::MAX };
        let order = Some(Operand::Output(0));
        let sort = radix::sort(self.name, (Operand::Input(0), keys), [rows, length], order, 0, caps)?;
        let kernel = format!("radix sort of {} keys", x.dtype);
        Ok(Lowered::streaming(kernel, format!("{rows} rows of {length}"), sort.dispatches, sort.scratch))
    }

    fn is_choice(&self) -> bool {
        self.of_floats
    }

    fn stops_gradients(&self) -> bool {
        true
    }
}

/// The positions of a row of `x` in order.
fn order_of<R: Real>(x: &Array<R>, row: usize, order: Order) -> Vec<usize> {
    let length = x.dims().last().copied().unwrap_or(1);
    let mut positions: Vec<usize> = (0..length).collect();
    positions.sort_by(|&a, &b| {
        let [a, b] = [a, b].map(|position| row * length + position);
        let compared = match x.reals() {
            [] => x.indices()[a].cmp(&x.indices()[b]),
            reals => compare(reals[a], reals[b]),
        };
        if order == Order::Ascending { compared } else { compared.reverse() }
    });
    positions
}

/// Numbers by value, then NaN.
fn compare<R: Real>(a: R, b: R) -> std::cmp::Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}
