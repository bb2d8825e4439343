//! Multiplication by one number, `factor * x`.

#[cfg(feature = "check")]
mod cases;

use super::super::upstream;
use super::unary;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, wgsl};
use crate::tensor::{Array, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "elementwise/scale";

#[derive(Clone, Copy, Debug)]
struct Scale {
    factor: f32,
}

/// `factor * x` for every element of a float value of any shape. Fails when `factor` is not finite.
pub fn scale(graph: &mut Graph, x: Value, factor: f32) -> Result<Value> {
    graph.push_builtin_one(Scale { factor }, &[x])
}

impl Op for Scale {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        if !self.factor.is_finite() {
            return Err(Error::new(ErrorKind::Argument, NAME, "factor")
                .expecting("a finite number")
                .but_found(self.factor));
        }
        Ok(vec![unary::contract(NAME, inputs)?])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let factor = R::of(self.factor.into());
        vec![inputs[0].map(|x| factor * x)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        unary::lower(NAME, &[wgsl!("elementwise/scale/apply.wgsl")], self.factor, step, caps)
    }

    /// `dx = factor * dy`
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        upstream::to_input(adjoint, |upstream| scale(graph, upstream, self.factor))
    }
}
