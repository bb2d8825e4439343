//! Gaussian error linear unit, `x Phi(x) = x (1 + erf(x / sqrt 2)) / 2` (Hendrycks and Gimpel, arXiv 1606.08415, section 2).

#[cfg(feature = "check")]
mod cases;

use super::{Activation, activation_backward, unary};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, Source, wgsl};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "elementwise/gelu";

/// The WGSL function `apply`, and what it calls.
pub(super) const APPLY: [Source; 3] = [
    wgsl!("elementwise/gelu/apply.wgsl"),
    wgsl!("elementwise/gelu/gelu.wgsl"),
    wgsl!("elementwise/gelu/erf.wgsl"),
];

/// The specification, for one element.
pub(super) fn at<R: Real>(x: R) -> R {
    let half = R::of(0.5);
    half * x * (R::one() + (x * half.sqrt()).erf())
}

/// The WGSL function `slope`, and what it calls.
pub(super) const SLOPE: [Source; 3] = [
    wgsl!("elementwise/gelu/slope.wgsl"),
    wgsl!("elementwise/gelu/gelu.wgsl"),
    wgsl!("elementwise/gelu/erf.wgsl"),
];

/// The derivative, for one element: `Phi(x) + x phi(x)`, where `phi` is the density of `Phi`.
pub(super) fn slope_at<R: Real>(x: R) -> R {
    let (half, density) = (R::of(0.5), R::of((0.5 * std::f64::consts::FRAC_1_PI).sqrt()));
    half * (R::one() + (x * half.sqrt()).erf()) + x * density * (-half * x * x).exp()
}

#[derive(Clone, Copy, Debug)]
struct Gelu;

/// The exact (erf) gelu of every element of a float value of any shape.
pub fn gelu(graph: &mut Graph, x: Value) -> Result<Value> {
    graph.push_builtin_one(Gelu, &[x])
}

impl Op for Gelu {
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
        activation_backward::backward(graph, adjoint, Activation::Gelu)
    }
}
