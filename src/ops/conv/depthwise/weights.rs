//! The gradient of the weights: `dw[j, o] = sum over items and places of dy[b, p, o] x[b, read(p, j), o / multiplier]`, by chunks of places whose
//! sums are added up.

use super::{Channels, kernels, reference};
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::contract::Contract;
use crate::ops::conv::inputs::check_x;
use crate::ops::conv::reach::Plane;
use crate::tensor::{Array, Real, TensorDesc};

/// Appends the gradient of `[taps, wide]` for `x: [batch, down, across, in]` and the gradient of the result, `dy`.
pub(super) fn gradient(
    graph: &mut Graph,
    [x, dy]: [Value; 2],
    plane: Plane,
    channels: Channels,
    segments: Option<Value>,
) -> Result<Value> {
    let op = WeightGradient { plane, channels, segments: segments.is_some() };
    graph.push_builtin_one(op, &[x, dy].into_iter().chain(segments).collect::<Vec<_>>())
}

/// Inputs are x, the upstream gradient, and segments where there are such.
#[derive(Clone, Copy, Debug)]
pub(super) struct WeightGradient {
    pub(super) plane: Plane,
    pub(super) channels: Channels,
    pub(super) segments: bool,
}

impl Op for WeightGradient {
    fn name(&self) -> &'static str {
        "conv/depthwise_weight_gradient"
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let mut contract = Contract::new(self.name()).may_be_empty(&["batch", "down", "across"]);
        let (x, dy) = (&inputs[0], &inputs[1]);
        contract.dtype("upstream", dy, x.dtype)?;
        let wide = if self.channels.gathers { x } else { dy };
        let shape = [self.plane.taps(), wide.shape.dims().last().copied().unwrap_or(0)];
        let [inner, _] = self.channels.of(shape[1]);
        check_x(&mut contract, &self.plane, x, [shape[0], inner])?;
        Ok(vec![TensorDesc::new(x.dtype, shape)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let segments = self.segments.then(|| inputs[2]);
        vec![reference::weights(&self.plane, self.channels, inputs[0], inputs[1], segments)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::weights(self, step, caps)
    }
}
