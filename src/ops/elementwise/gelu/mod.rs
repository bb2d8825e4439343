//! Gaussian error linear unit, `x Phi(x) = x (1 + erf(x / sqrt 2)) / 2` (Hendrycks and Gimpel, arXiv 1606.08415, section 2).

#[cfg(feature = "check")]
mod cases;

use super::unary;
use crate::Result;
use crate::graph::{Graph, Op, Problem, Value};
use crate::kernel::{Caps, Lowered, wgsl};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::cases;

const NAME: &str = "elementwise/gelu";

#[derive(Clone, Copy, Debug)]
struct Gelu;

/// The exact (erf) gelu of every element of a float value of any shape.
pub fn gelu(graph: &mut Graph, x: Value) -> Result<Value> {
    graph.push_single(Gelu, &[x])
}

impl Op for Gelu {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        Ok(vec![unary::contract(NAME, inputs)?])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let half = R::of(0.5);
        vec![inputs[0].map(|x| half * x * (R::one() + (x * half.sqrt()).erf()))]
    }

    fn lower(&self, problem: &Problem, caps: &Caps) -> Result<Lowered> {
        let apply = [
            wgsl!("elementwise/gelu/apply.wgsl"),
            wgsl!("elementwise/gelu/gelu.wgsl"),
            wgsl!("elementwise/gelu/erf.wgsl"),
        ];
        unary::lower(NAME, &apply, 0.0, problem, caps)
    }
}
