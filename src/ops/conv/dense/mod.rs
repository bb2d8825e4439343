//! Convolutions of many channels: a matrix product for each item and group, of what the taps read and the weights. What the taps read is a
//! matrix that is never stored; the tiles of [`matmul`](crate::ops::matmul()) read the input in its place.
//!
//! ```text
//! y[b, p, o] = f(bias[o] + sum over taps j and channels c of the group of o:  w[group, j, c, o] x[b, read(p, j), c])
//! ```
//!
//! Its gradient with respect to x is a convolution of the upstream gradient with the weights' last two axes exchanged
//! ([`Reach::turned`](super::reach::Reach::turned)).

#[cfg(feature = "check")]
mod cases;
mod kernels;
mod reference;
mod weights;

use super::inputs::{Optional, check_x};
use super::reach::Plane;
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::contract::Contract;
use crate::ops::elementwise::{Activation, activation_gradient};
use crate::ops::transpose;
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

pub(super) const NAME: &str = "conv/dense";

/// Settings and values of [`dense`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    pub(super) plane: Plane,
    pub(super) activation: Activation,
    /// `[out]`.
    pub(super) bias: Option<Value>,
    /// i32 `[batch, time]`, of a plane that takes them.
    pub(super) segments: Option<Value>,
}

/// `x: [batch, down, across, in]` by `weight: [groups, taps, in / groups, out / groups]`: `[batch, down, across, out]`.
pub(super) fn dense(graph: &mut Graph, x: Value, weight: Value, spec: &Spec) -> Result<Value> {
    let Spec { plane, activation, bias, segments } = *spec;
    let op = Dense { plane, activation, optional: Optional::of([bias, segments]) };
    let inputs: Vec<Value> = [x, weight].into_iter().chain(bias).chain(segments).collect();
    Ok(graph.push_builtin(op, &inputs)?[0])
}

/// Inputs are x, weight, and what is optional. One that activates has a second output for its gradients: the sums that are activated.
#[derive(Clone, Copy, Debug)]
struct Dense {
    plane: Plane,
    activation: Activation,
    optional: Optional,
}

impl Dense {
    fn activates(&self) -> bool {
        self.activation != Activation::Identity
    }
}

impl Op for Dense {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let mut contract = Contract::new(NAME).may_be_empty(&["batch", "down", "across"]);
        let (x, weight) = (&inputs[0], &inputs[1]);
        contract.dtype("weight", weight, x.dtype)?;
        contract.bind("weight", weight, &["groups", "taps", "group in", "group out"])?;
        let shape = ["groups", "taps", "group in", "group out"].map(|axis| contract.extent(axis));
        let [groups, taps, inner, out] = shape;
        let batch = check_x(&mut contract, &self.plane, x, [taps, groups * inner])?;
        let width = groups * out;
        self.optional.check(&contract, &self.plane, inputs, [batch, width])?;
        let result = TensorDesc::new(x.dtype, [batch, self.plane.down.to, self.plane.across.to, width]);
        Ok(vec![result; 1 + usize::from(self.activates())])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let [bias, segments] = self.optional.arrays(inputs);
        let sums = reference::forward(&self.plane, inputs[0], inputs[1], bias, segments);
        if !self.activates() {
            return vec![sums];
        }
        let activated = sums.reals().iter().map(|&sum| self.activation.at(sum)).collect();
        vec![Array::real(sums.dims().to_vec(), activated), sums]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::forward(self, step, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let mut gradients = vec![Gradient::None; adjoint.inputs().len()];
        adjoint.refuse_upstream(NAME, 1, "sums")?;
        let Some(mut dy) = adjoint.upstream(0) else { return Ok(gradients) };
        if self.activates() {
            dy = activation_gradient(graph, adjoint.outputs()[1], dy, self.activation)?;
        }
        let (x, weight) = (adjoint.inputs()[0], adjoint.inputs()[1]);
        let segments = self.optional.segments(adjoint);
        if adjoint.wants(0) {
            let turned = transpose(graph, weight, &[0, 1, 3, 2])?;
            let plane = self.plane.turned();
            let spec = Spec { plane, activation: Activation::Identity, bias: None, segments };
            gradients[0] = Gradient::Whole(dense(graph, dy, turned, &spec)?);
        }
        if adjoint.wants(1) {
            let groups = graph.desc(weight)?.shape.dims()[0];
            gradients[1] = Gradient::Whole(weights::gradient(graph, [x, dy], self.plane, groups, segments)?);
        }
        self.optional.bias_gradient(graph, adjoint, dy, &mut gradients)?;
        Ok(gradients)
    }
}
