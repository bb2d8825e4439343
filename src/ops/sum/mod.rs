//! Sums over any axes: `y = sum_s x`, where `s` walks the axes summed over, which stay with extent 1.

#[cfg(feature = "check")]
mod cases;
mod kernels;
mod reference;

use super::contract::Contract;
use super::layout::broadcast;
use super::upstream;
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, Real, Shape, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "sum";

#[derive(Clone, Debug)]
struct Sum {
    axes: Vec<usize>,
}

/// The sum of a float `x` over `axes`, in any order, which stay as axes of extent 1. Sums are f32 whatever the storage, in an
/// order that the shape decides.
///
/// A sum of no elements is 0; where only axes of extent 1, or none, are summed over, nothing runs. Fails when `x` is not a float, or
/// `axes` names one twice or one that `x` lacks.
pub fn sum(graph: &mut Graph, x: Value, axes: &[usize]) -> Result<Value> {
    graph.push_builtin_one(Sum { axes: axes.to_vec() }, &[x])
}

impl Op for Sum {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["x"])?;
        contract.float("x", &inputs[0])?;
        let mut dims = inputs[0].shape.dims().to_vec();
        for (i, &axis) in self.axes.iter().enumerate() {
            if axis >= dims.len() || self.axes[..i].contains(&axis) {
                return Err(contract
                    .argument_error("axes")
                    .expecting(format!("some of the {} axes of {}, each once", dims.len(), inputs[0].shape))
                    .but_found(Shape::from(&self.axes[..])));
            }
        }
        for &axis in &self.axes {
            dims[axis] = 1;
        }
        Ok(vec![TensorDesc::new(inputs[0].dtype, dims)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![reference::forward(inputs[0], &self.axes)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(&self.axes, step, caps)
    }

    /// `dx = dy`, repeated along the axes summed over.
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        upstream::to_input(adjoint, |upstream| {
            let shape = graph.desc(adjoint.inputs()[0])?.shape.clone();
            broadcast(graph, upstream, shape)
        })
    }
}
