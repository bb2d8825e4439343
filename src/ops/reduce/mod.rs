//! Reductions over any axes, which stay with extent 1: [`sum`], [`mean`], [`max`] and [`min`] are rows of the table in `table.rs`;
//! [`argmax`] and [`argmin`] keep where the largest and the smallest element are.

mod backward;
#[cfg(feature = "check")]
mod cases;
pub(in crate::ops) mod kernels;
mod reference;
pub(in crate::ops) mod table;

use super::contract::Contract;
use super::elementwise::scale;
use super::layout::broadcast;
use super::{Entry, entry, upstream};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, DType, Real, Shape, TensorDesc};

use kernels::Fold;
use table::Kind;

pub(super) const ENTRIES: &[Entry] = &[
    entry!("argmax", "where along an axis the largest element is", cases::argmax),
    entry!("argmin", "where along an axis the smallest element is", cases::argmin),
    entry!("max", "the largest element over any axes, which stay with extent 1", cases::max),
    entry!("mean", "the mean over any axes, which stay with extent 1", cases::mean),
    entry!("min", "the smallest element over any axes, which stay with extent 1", cases::min),
    entry!("sum", "sums over any axes, which stay with extent 1", cases::sum),
];

/// The sum of a float `x` over `axes`, in any order, which stay as axes of extent 1. Sums are f32 whatever the storage, in an
/// order that the shape decides.
///
/// A sum of no elements is 0; where only axes of extent 1, or none, are summed over, nothing runs. Fails when `x` is not a float, or
/// `axes` names one twice or one that `x` lacks.
pub fn sum(graph: &mut Graph, x: Value, axes: &[usize]) -> Result<Value> {
    reduce(graph, x, Kind::Sum, axes)
}

/// The mean of a float `x` over `axes`, in any order, which stay as axes of extent 1: their [`sum`], in f32, divided by the number of
/// elements.
///
/// Where only axes of extent 1, or none, are averaged over, nothing runs. Fails as [`sum`] does, and when one of the axes is empty.
pub fn mean(graph: &mut Graph, x: Value, axes: &[usize]) -> Result<Value> {
    reduce(graph, x, Kind::Mean, axes)
}

/// The largest element of a float `x` over `axes`, in any order, which stay as axes of extent 1.
///
/// Infinities are numbers like others; with a NaN among the elements the result is any of them. The gradient goes to the first, in row-major
/// order, of the elements that are as large: the one that [`argmax`] finds. (PyTorch's `amax` shares it among them.) Where only axes
/// of extent 1, or none, are reduced, nothing runs. Fails as [`sum`] does, and when one of the axes is empty.
pub fn max(graph: &mut Graph, x: Value, axes: &[usize]) -> Result<Value> {
    reduce(graph, x, Kind::Max, axes)
}

/// The smallest element of a float `x` over `axes`; otherwise as [`max`].
pub fn min(graph: &mut Graph, x: Value, axes: &[usize]) -> Result<Value> {
    reduce(graph, x, Kind::Min, axes)
}

/// Where along `axis` the largest element of a float `x` is, as u32; the lowest index of several that are as large. The axis stays
/// with extent 1.
///
/// With a NaN among the elements the result is the index of any of them. No gradient passes. Fails when `x` is not a float, there is no
/// such axis, or it is empty.
pub fn argmax(graph: &mut Graph, x: Value, axis: usize) -> Result<Value> {
    place(graph, x, "argmax", false, &[axis])
}

/// Where along `axis` the smallest element of a float `x` is; otherwise as [`argmax`].
pub fn argmin(graph: &mut Graph, x: Value, axis: usize) -> Result<Value> {
    place(graph, x, "argmin", true, &[axis])
}

fn reduce(graph: &mut Graph, x: Value, kind: Kind, axes: &[usize]) -> Result<Value> {
    graph.push_builtin_one(Reduce { kind, axes: axes.to_vec() }, &[x])
}

fn place(graph: &mut Graph, x: Value, name: &'static str, smallest: bool, axes: &[usize]) -> Result<Value> {
    graph.push_builtin_one(FirstPlace { name, smallest, axes: axes.to_vec() }, &[x])
}

/// The shape of `x` reduced over `axes`, which errors call `argument`, after checking both; `may_be_empty` says whether a result may be of
/// no elements.
fn reduced(
    op: &'static str,
    (argument, axes): (&'static str, &[usize]),
    inputs: &[TensorDesc],
    may_be_empty: bool,
) -> Result<Shape> {
    let contract = Contract::new(op);
    contract.count(inputs, &["x"])?;
    contract.float("x", &inputs[0])?;
    let mut dims = inputs[0].shape.dims().to_vec();
    for (i, &axis) in axes.iter().enumerate() {
        if axis >= dims.len() || axes[..i].contains(&axis) {
            return Err(contract
                .argument_error(argument)
                .expecting(format!("some of the {} axes of {}, each once", dims.len(), inputs[0].shape))
                .but_found(Shape::from(axes)));
        }
    }
    for &axis in axes {
        if dims[axis] == 0 && !may_be_empty {
            return Err(contract
                .shape_error("x")
                .expecting(format!("axis {axis}, which is reduced, of at least 1"))
                .but_found(&inputs[0].shape));
        }
    }
    for &axis in axes {
        dims[axis] = 1;
    }
    Ok(Shape::from(dims))
}

/// One number for the elements along some axes.
#[derive(Clone, Debug)]
struct Reduce {
    kind: Kind,
    axes: Vec<usize>,
}

impl Op for Reduce {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Sum => "sum",
            Kind::Mean => "mean",
            Kind::Max => "max",
            Kind::Min => "min",
        }
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let shape = reduced(self.name(), ("axes", &self.axes), inputs, self.kind == Kind::Sum)?;
        Ok(vec![TensorDesc::new(inputs[0].dtype, shape)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![reference::value(inputs[0], &self.axes, self.kind)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(self.name(), Fold::Value(self.kind), &self.axes, step, caps)
    }

    /// Of `y = sum x / n`, `dx = dy / n`, repeated along the axes; of the largest or smallest, `dy` where it was found.
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        upstream::to_input(adjoint, |upstream| {
            let x = adjoint.inputs()[0];
            let shape = graph.desc(x)?.shape.clone();
            match self.kind {
                Kind::Sum => broadcast(graph, upstream, shape),
                Kind::Mean => {
                    let results = graph.desc(upstream)?.elements();
                    // Without results there is no factor, and nothing to scale.
                    let elements = shape.elements().checked_div(results).unwrap_or(1);
                    let share = scale(graph, upstream, (1.0 / elements as f64) as f32)?;
                    broadcast(graph, share, shape)
                }
                Kind::Max | Kind::Min => {
                    let chosen = place(graph, x, self.name(), self.kind == Kind::Min, &self.axes)?;
                    backward::to_chosen(graph, upstream, chosen, &self.axes, shape)
                }
            }
        })
    }
}

/// The first place of the largest or smallest of the elements along some axes, in row-major order.
#[derive(Clone, Debug)]
struct FirstPlace {
    name: &'static str,
    smallest: bool,
    axes: Vec<usize>,
}

impl Op for FirstPlace {
    fn name(&self) -> &'static str {
        self.name
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        Ok(vec![TensorDesc::new(DType::U32, reduced(self.name, ("axis", &self.axes), inputs, false)?)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![reference::first_place(inputs[0], &self.axes, self.smallest)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(self.name, Fold::Place { smallest: self.smallest }, &self.axes, step, caps)
    }

    fn is_choice(&self) -> bool {
        true
    }

    fn stops_gradients(&self) -> bool {
        true
    }
}
