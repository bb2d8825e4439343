//! Gaussian error linear unit in its tanh form, `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2` (Hendrycks and Gimpel,
//! arXiv 1606.08415, section 2): what GPT-2 calls gelu.

#[cfg(feature = "check")]
mod cases;

use super::{Activation, activation_backward, unary};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, Source, wgsl};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "elementwise/gelu_tanh";

/// The WGSL function `apply`, and what it calls.
pub(super) const APPLY: [Source; 3] = [
    wgsl!("elementwise/gelu_tanh/apply.wgsl"),
    wgsl!("elementwise/gelu_tanh/gelu_tanh.wgsl"),
    wgsl!("elementwise/sigmoid/sigmoid.wgsl"),
];

/// The specification, for one element.
pub(super) fn at<R: Real>(x: R) -> R {
    let (slope, cubic) = (R::of(std::f64::consts::FRAC_2_PI.sqrt()), R::of(0.044715));
    R::of(0.5) * x * (R::one() + (slope * (x + cubic * x * x * x)).tanh())
}

/// The WGSL function `slope`, and what it calls.
pub(super) const SLOPE: [Source; 3] = [
    wgsl!("elementwise/gelu_tanh/slope.wgsl"),
    wgsl!("elementwise/gelu_tanh/gelu_tanh.wgsl"),
    wgsl!("elementwise/sigmoid/sigmoid.wgsl"),
];

/// The derivative, for one element: `(1 + tanh(u) + x (1 - tanh(u)^2) u') / 2`.
pub(super) fn slope_at<R: Real>(x: R) -> R {
    // The slope is 0 or 1 to rounding long before, and the cube may overflow.
    if x.abs() > R::of(20.0) {
        return if x > R::zero() { R::one() } else { R::zero() };
    }
    let (slope, cubic) = (R::of(std::f64::consts::FRAC_2_PI.sqrt()), R::of(0.044715));
    let tanh = (slope * (x + cubic * x * x * x)).tanh();
    let du = slope * (R::one() + R::of(3.0) * cubic * x * x);
    R::of(0.5) * (R::one() + tanh + x * (R::one() - tanh * tanh) * du)
}

#[derive(Clone, Copy, Debug)]
struct GeluTanh;

/// The tanh form of gelu of every element of a float value of any shape. It is within 5e-4 of [`gelu`](super::gelu()).
pub fn gelu_tanh(graph: &mut Graph, x: Value) -> Result<Value> {
    graph.push_builtin_one(GeluTanh, &[x])
}

impl Op for GeluTanh {
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
        activation_backward::backward(graph, adjoint, Activation::GeluTanh)
    }
}
