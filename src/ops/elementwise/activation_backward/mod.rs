//! The backward pass of the activations: `dx = f'(x) * dy`.

#[cfg(feature = "check")]
mod cases;

use super::super::contract::Contract;
use super::super::upstream;
use super::{Activation, binary};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, Source, wgsl};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases, slope_ulps};

const NAME: &str = "elementwise/activation_backward";

#[derive(Clone, Copy, Debug)]
struct ActivationBackward {
    activation: Activation,
}

/// `upstream * f'(x)`, where `f` is `activation`: the gradient of `x` from that of `f(x)`.
///
/// `x` and `upstream` share shape, which may be any, and float type. The slope of relu at 0 is 0. Fails when they differ.
pub fn activation_backward(
    graph: &mut Graph,
    x: Value,
    upstream: Value,
    activation: Activation,
) -> Result<Value> {
    graph.push_builtin_one(ActivationBackward { activation }, &[x, upstream])
}

/// The gradient of the input of an op that is `activation`.
pub(super) fn backward(
    graph: &mut Graph,
    adjoint: &Adjoint,
    activation: Activation,
) -> Result<Vec<Gradient>> {
    upstream::to_input(adjoint, |upstream| {
        activation_backward(graph, adjoint.inputs()[0], upstream, activation)
    })
}

impl Op for ActivationBackward {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["x", "upstream"])?;
        let (x, upstream) = (&inputs[0], &inputs[1]);
        contract.float("x", x)?;
        contract.dtype("upstream", upstream, x.dtype)?;
        if upstream.shape != x.shape {
            return Err(contract.shape_error("upstream").expecting(&x.shape).but_found(&upstream.shape));
        }
        Ok(vec![x.clone()])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (x, upstream) = (inputs[0], inputs[1]);
        let pairs = x.reals().iter().zip(upstream.reals());
        let dx = pairs.map(|(&x, &upstream)| upstream * self.activation.slope_at(x)).collect();
        vec![Array::real(x.shape().clone(), dx)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let apply = [wgsl!("elementwise/activation_backward/apply.wgsl")];
        let sources: Vec<Source> = apply.into_iter().chain(self.activation.slope().iter().copied()).collect();
        binary::lower(NAME, &sources, step, caps)
    }
}
