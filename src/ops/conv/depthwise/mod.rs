//! Convolutions of single channels: each channel of the result reads one of the input, `multiplier` channels of the result the same one.
//!
//! ```text
//! y[b, p, o] = bias[o] + sum over taps j of  w[j, o] x[b, read(p, j), o / multiplier]
//! ```
//!
//! An invocation holds the sums of several places, so that each weight is read once for all of them. The gradient with respect to x has the same
//! form, with the reach turned and, of several channels that read one, their sum.

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
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

pub(super) const NAME: &str = "conv/depthwise";

/// Which channels meet. There are `multiplier` times as many of one side as of the other; weights have those of the wider one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Channels {
    pub(super) multiplier: usize,
    /// Whether the wider side is the input, whose channels are then added up.
    pub(super) gathers: bool,
}

impl Channels {
    /// Channels of the input and of the result, of weights that have `width`.
    fn of(self, width: usize) -> [usize; 2] {
        let narrow = width / self.multiplier;
        if self.gathers { [width, narrow] } else { [narrow, width] }
    }
}

/// `x: [batch, down, across, in]` by `weight: [taps, wide]`, wide the wider number of channels: `[batch, down, across, out]`. `bias: [out]`,
/// `segments: i32 [batch, time]` of a plane that takes them.
pub(super) fn depthwise(
    graph: &mut Graph,
    [x, weight]: [Value; 2],
    plane: Plane,
    channels: Channels,
    [bias, segments]: [Option<Value>; 2],
) -> Result<Value> {
    let op = Depthwise { plane, channels, optional: Optional::of([bias, segments]) };
    let inputs: Vec<Value> = [x, weight].into_iter().chain(bias).chain(segments).collect();
    graph.push_builtin_one(op, &inputs)
}

/// Inputs are x, weight, and what is optional.
#[derive(Clone, Copy, Debug)]
struct Depthwise {
    plane: Plane,
    channels: Channels,
    optional: Optional,
}

impl Op for Depthwise {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let mut contract = Contract::new(NAME).may_be_empty(&["batch", "down", "across"]);
        let (x, weight) = (&inputs[0], &inputs[1]);
        contract.dtype("weight", weight, x.dtype)?;
        contract.bind("weight", weight, &["taps", "wide"])?;
        let [taps, wide] = ["taps", "wide"].map(|axis| contract.extent(axis));
        let [inner, out] = self.channels.of(wide);
        let batch = check_x(&mut contract, &self.plane, x, [taps, inner])?;
        self.optional.check(&contract, &self.plane, inputs, [batch, out])?;
        Ok(vec![TensorDesc::new(x.dtype, [batch, self.plane.down.to, self.plane.across.to, out])])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let [bias, segments] = self.optional.arrays(inputs);
        vec![reference::forward(&self.plane, self.channels, inputs[0], inputs[1], bias, segments)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::forward(self, step, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let mut gradients = vec![Gradient::None; adjoint.inputs().len()];
        let Some(dy) = adjoint.upstream(0) else { return Ok(gradients) };
        let (x, weight) = (adjoint.inputs()[0], adjoint.inputs()[1]);
        let segments = self.optional.segments(adjoint);
        let Channels { multiplier, gathers } = self.channels;
        if adjoint.wants(0) {
            let turned = Channels { multiplier, gathers: multiplier > 1 && !gathers };
            let dx = depthwise(graph, [dy, weight], self.plane.turned(), turned, [None, segments])?;
            gradients[0] = Gradient::Whole(dx);
        }
        if adjoint.wants(1) {
            let dw = weights::gradient(graph, [x, dy], self.plane, self.channels, segments)?;
            gradients[1] = Gradient::Whole(dw);
        }
        self.optional.bias_gradient(graph, adjoint, dy, &mut gradients)?;
        Ok(gradients)
    }
}
