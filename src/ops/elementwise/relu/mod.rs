//! Rectified linear unit, `max(x, 0)` (Nair and Hinton, "Rectified Linear Units Improve Restricted Boltzmann Machines", ICML
//! 2010, section 2).

#[cfg(feature = "check")]
mod cases;

use super::{Activation, activation_backward, unary};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, Source, wgsl};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "elementwise/relu";

/// The WGSL function `apply`, and what it calls.
pub(super) const APPLY: [Source; 2] =
    [wgsl!("elementwise/relu/apply.wgsl"), wgsl!("elementwise/relu/relu.wgsl")];

/// The specification, for one element.
pub(super) fn at<R: Real>(x: R) -> R {
    x.max(R::zero())
}

/// The WGSL function `slope`, and what it calls.
pub(super) const SLOPE: [Source; 1] = [wgsl!("elementwise/relu/slope.wgsl")];

/// The derivative, for one element: 0 at 0.
pub(super) fn slope_at<R: Real>(x: R) -> R {
    if x > R::zero() { R::one() } else { R::zero() }
}

#[derive(Clone, Copy, Debug)]
struct Relu;

/// `max(x, 0)` for every element of a float value of any shape.
pub fn relu(graph: &mut Graph, x: Value) -> Result<Value> {
    graph.push_builtin_one(Relu, &[x])
}

impl Op for Relu {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        Ok(vec![unary::contract(NAME, inputs)?])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![inputs[0].map(at)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        unary::lower(NAME, &APPLY, 0.0, step, caps)
    }
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        activation_backward::backward(graph, adjoint, Activation::Relu)
    }
}
