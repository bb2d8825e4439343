//! The same elements under another shape. Nothing runs: the result shares its input's memory.

#[cfg(feature = "check")]
mod cases;

use super::upstream;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, Real, Shape, TensorDesc};
use crate::{Error, ErrorKind, Result};

#[cfg(feature = "check")]
pub(crate) use cases::cases;

const NAME: &str = "reshape";

#[derive(Clone, Debug)]
struct Reshape {
    shape: Shape,
}

/// `x` under `shape`, row-major. Fails when the element counts differ or the rank is too high.
pub fn reshape(graph: &mut Graph, x: Value, shape: impl Into<Shape>) -> Result<Value> {
    graph.push_builtin_one(Reshape { shape: shape.into() }, &[x])
}

impl Op for Reshape {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        super::contract::Contract::new(NAME).count(inputs, &["x"])?;
        let desc = TensorDesc::new(inputs[0].dtype, self.shape.clone());
        desc.check_rank(NAME, "shape")?;
        if desc.elements() != inputs[0].elements() {
            return Err(Error::new(ErrorKind::Shape, NAME, "shape")
                .expecting(format!("{} elements as in {}", inputs[0].elements(), inputs[0].shape))
                .but_found(format!("{} in {}", desc.elements(), self.shape)));
        }
        Ok(vec![desc])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![inputs[0].clone().reshaped(self.shape.clone())]
    }

    fn lower(&self, _: &StepDesc, _: &Caps) -> Result<Lowered> {
        Ok(Lowered::View(0))
    }

    /// `dx = dy`, in the shape of `x`.
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        upstream::to_input(adjoint, |upstream| {
            let shape = graph.desc(adjoint.inputs()[0])?.shape.clone();
            reshape(graph, upstream, shape)
        })
    }
}
