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

use super::dense::{check_segments, of_bias};
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
    let op = Depthwise { plane, channels, bias: bias.is_some(), segments: segments.is_some() };
    let inputs: Vec<Value> = [x, weight].into_iter().chain(bias).chain(segments).collect();
    graph.push_builtin_one(op, &inputs)
}

/// Inputs are x, weight, then bias and segments where there are such.
#[derive(Clone, Copy, Debug)]
struct Depthwise {
    plane: Plane,
    channels: Channels,
    bias: bool,
    segments: bool,
}

impl Depthwise {
    fn segments_index(&self) -> Option<usize> {
        self.segments.then_some(2 + usize::from(self.bias))
    }
}

/// Batch and channels of the result, after checking x and the weights' shape.
fn check(
    contract: &mut Contract,
    plane: &Plane,
    channels: Channels,
    x: &TensorDesc,
    [taps, width]: [usize; 2],
) -> Result<[usize; 2]> {
    contract.float("x", x)?;
    contract.bind("x", x, &["batch", "down", "across", "in"])?;
    let [inner, out] = channels.of(width);
    let expected = [contract.extent("batch"), plane.down.from, plane.across.from, inner];
    if x.shape.dims() != expected || taps != plane.taps() {
        let error = contract.shape_error("x");
        let expected = format!("{expected:?} and {} taps", plane.taps());
        return Err(error.expecting(expected).but_found(format!("{x} and {taps} taps")));
    }
    Ok([expected[0], out])
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
        let shape = ["taps", "wide"].map(|axis| contract.extent(axis));
        let [batch, out] = check(&mut contract, &self.plane, self.channels, x, shape)?;
        if self.bias {
            contract.same("bias", &inputs[2], "weight", &TensorDesc::new(x.dtype, [out]))?;
        }
        if let Some(segments) = self.segments_index() {
            check_segments(&contract, &self.plane, batch, &inputs[segments])?;
        }
        Ok(vec![TensorDesc::new(x.dtype, [batch, self.plane.down.to, self.plane.across.to, out])])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let bias = self.bias.then(|| inputs[2]);
        let segments = self.segments_index().map(|index| inputs[index]);
        vec![reference::forward(&self.plane, self.channels, inputs[0], inputs[1], bias, segments)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::forward(self, step, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let mut gradients = vec![Gradient::None; adjoint.inputs().len()];
        let Some(dy) = adjoint.upstream(0) else { return Ok(gradients) };
        let (x, weight) = (adjoint.inputs()[0], adjoint.inputs()[1]);
        let segments = self.segments_index().map(|index| adjoint.inputs()[index]);
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
        if self.bias && adjoint.wants(2) {
            gradients[2] = Gradient::Whole(of_bias(graph, dy)?);
        }
        Ok(gradients)
    }
}
