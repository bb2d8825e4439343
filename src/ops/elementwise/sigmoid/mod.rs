//! Logistic function, `1 / (1 + exp(-x))`.

#[cfg(feature = "check")]
mod cases;

use super::{Activation, activation_backward, unary};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, Source, wgsl};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "elementwise/sigmoid";

/// The WGSL function `apply`, and what it calls.
pub(super) const APPLY: [Source; 2] =
    [wgsl!("elementwise/sigmoid/apply.wgsl"), wgsl!("elementwise/sigmoid/sigmoid.wgsl")];

/// The specification, for one element.
pub(super) fn at<R: Real>(x: R) -> R {
    R::one() / (R::one() + (-x).exp())
}

/// The WGSL function `slope`, and what it calls.
pub(super) const SLOPE: [Source; 1] = [wgsl!("elementwise/sigmoid/slope.wgsl")];

/// The derivative, for one element: `s (1 - s)`, where `s` is the function.
pub(super) fn slope_at<R: Real>(x: R) -> R {
    let sigmoid = at(x);
    sigmoid * (R::one() - sigmoid)
}

#[derive(Clone, Copy, Debug)]
struct Sigmoid;

/// The logistic function of every element of a float value of any shape.
pub fn sigmoid(graph: &mut Graph, x: Value) -> Result<Value> {
    graph.push_builtin_one(Sigmoid, &[x])
}

impl Op for Sigmoid {
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
        activation_backward::backward(graph, adjoint, Activation::Sigmoid)
    }
}
