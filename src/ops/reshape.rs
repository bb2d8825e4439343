//! The same elements under another shape. Nothing runs: the result shares its input's memory.

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

/// Conformance cases: views of inputs, of results, of views, and one value handed out twice.
#[cfg(feature = "check")]
mod cases {
    use super::{NAME, reshape};
    use crate::check::Case;
    use crate::ops::scale;
    use crate::tensor::DType;

    pub(crate) fn cases() -> Vec<Case> {
        let mut cases = Vec::new();
        for dtype in [DType::F32, DType::F16] {
            cases.push(Case::new(NAME, format!("{dtype} input to output"), move |problem| {
                let x = problem.random("x", dtype, [3, 5], 1.0)?;
                Ok(vec![reshape(&mut problem.graph, x, [15])?])
            }));
            cases.push(Case::new(
                NAME,
                format!("{dtype} result, read again and handed out twice"),
                move |problem| {
                    let x = problem.random("x", dtype, [3, 5], 1.0)?;
                    let y = scale(&mut problem.graph, x, 2.0)?;
                    let flat = reshape(&mut problem.graph, y, [15])?;
                    let back = reshape(&mut problem.graph, flat, [5, 3])?;
                    let z = scale(&mut problem.graph, back, 0.5)?;
                    Ok(vec![y, back, z])
                },
            ));
            cases.push(Case::new(NAME, format!("{dtype} empty"), move |problem| {
                let x = problem.random("x", dtype, [0, 5], 1.0)?;
                Ok(vec![reshape(&mut problem.graph, x, [5, 0, 2])?])
            }));
        }
        cases
    }
}
