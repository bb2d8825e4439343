//! Sigmoid linear unit, `x / (1 + exp(-x))`, also called swish (Elfwing, Uchibe and Doya, arXiv 1702.03118, equation 2).

#[cfg(feature = "check")]
mod cases;

use super::{Activation, activation_backward, unary};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, Source, wgsl};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "elementwise/silu";

/// The WGSL function `apply`, and what it calls.
pub(super) const APPLY: [Source; 3] = [
    wgsl!("elementwise/silu/apply.wgsl"),
    wgsl!("elementwise/silu/silu.wgsl"),
    wgsl!("elementwise/sigmoid/sigmoid.wgsl"),
];

/// The specification, for one element.
pub(super) fn at<R: Real>(x: R) -> R {
    x / (R::one() + (-x).exp())
}

/// The WGSL function `slope`, and what it calls.
pub(super) const SLOPE: [Source; 1] = [wgsl!("elementwise/silu/slope.wgsl")];

/// The derivative, for one element: `s + x s (1 - s)`, where `s` is the sigmoid.
pub(super) fn slope_at<R: Real>(x: R) -> R {
    let sigmoid = R::one() / (R::one() + (-x).exp());
    sigmoid + x * sigmoid * (R::one() - sigmoid)
}

#[derive(Clone, Copy, Debug)]
struct Silu;

/// `x / (1 + exp(-x))` for every element of a float value of any shape.
pub fn silu(graph: &mut Graph, x: Value) -> Result<Value> {
    graph.push_builtin_one(Silu, &[x])
}

impl Op for Silu {
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
        activation_backward::backward(graph, adjoint, Activation::Silu)
    }
}
