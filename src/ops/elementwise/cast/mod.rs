//! Conversion between float types.

#[cfg(feature = "check")]
mod cases;

use super::super::upstream;
use super::unary;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, wgsl};
use crate::tensor::{Array, DType, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "elementwise/cast";

#[derive(Clone, Copy, Debug)]
struct Cast {
    to: DType,
}

/// `x`, a float value of any shape, stored as `to` (f32 or f16). f32 beyond f16's range (65,504) has no defined f16 result.
pub fn cast(graph: &mut Graph, x: Value, to: DType) -> Result<Value> {
    graph.push_builtin_one(Cast { to }, &[x])
}

impl Op for Cast {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        if !self.to.is_float() {
            return Err(Error::new(ErrorKind::Dtype, NAME, "to").expecting("f32 or f16").but_found(self.to));
        }
        Ok(vec![TensorDesc::new(self.to, unary::contract(NAME, inputs)?.shape)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![inputs[0].clone()]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        unary::lower(NAME, &[wgsl!("elementwise/cast/apply.wgsl")], 0.0, step, caps)
    }

    /// `dx = dy`, in the type of `x`.
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        upstream::to_input(adjoint, |upstream| {
            let from = graph.desc(adjoint.inputs()[0])?.dtype;
            cast(graph, upstream, from)
        })
    }
}
