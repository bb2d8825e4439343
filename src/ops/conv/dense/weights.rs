//! The gradient of the weights: `dw[group, j, c, o] = sum over items and places of x[b, read(p, j), c] dy[b, p, o]`, the product of what the taps
//! read, transposed, and the upstream gradient.

use super::{kernels, reference};
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::contract::Contract;
use crate::ops::conv::inputs::check_x;
use crate::ops::conv::reach::Plane;
use crate::tensor::{Array, Real, TensorDesc};

/// Appends the gradient of `[groups, taps, in / groups, out / groups]` for `x: [batch, down, across, in]` and the gradient of the result, `dy`.
pub(super) fn gradient(
    graph: &mut Graph,
    [x, dy]: [Value; 2],
    plane: Plane,
    groups: usize,
    segments: Option<Value>,
) -> Result<Value> {
    let op = WeightGradient { plane, groups, segments: segments.is_some() };
    graph.push_builtin_one(op, &[x, dy].into_iter().chain(segments).collect::<Vec<_>>())
}

/// Inputs are x, the upstream gradient, and segments where there are such.
#[derive(Clone, Copy, Debug)]
pub(super) struct WeightGradient {
    pub(super) plane: Plane,
    groups: usize,
    pub(super) segments: bool,
}

impl Op for WeightGradient {
    fn name(&self) -> &'static str {
        "conv/dense_weight_gradient"
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let mut contract = Contract::new(self.name()).may_be_empty(&["batch", "down", "across"]);
        let (x, dy) = (&inputs[0], &inputs[1]);
        contract.dtype("upstream", dy, x.dtype)?;
        let last = |desc: &TensorDesc| desc.shape.dims().last().copied().unwrap_or(0) / self.groups;
        let shape = [self.groups, self.plane.taps(), last(x), last(dy)];
        check_x(&mut contract, &self.plane, x, [shape[1], self.groups * shape[2]])?;
        Ok(vec![TensorDesc::new(x.dtype, shape)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let segments = self.segments.then(|| inputs[2]);
        vec![reference::weights(&self.plane, self.groups, inputs[0], inputs[1], segments)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::weights(self, step, caps)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Dense;
    use super::*;
    use crate::ops::conv::inputs::Optional;
    use crate::ops::conv::reach::{Along, Reach};
    use crate::ops::differences::{assert_gradient, dot, random};
    use crate::ops::elementwise::Activation;

    #[test]
    fn is_the_slope_of_the_forward_pass() {
        let along = Along { stride: 2, dilation: 3, padding: [4, 1] };
        let across = Reach::new("conv", along, 3, 7).unwrap();
        let plane = Plane { down: Reach::ONE, across };
        let (x, weight, dy) =
            (random([2, 1, 7, 4], 1), random([2, 3, 2, 3], 2), random([2, 1, across.to, 6], 3));
        let forward = Dense { plane, activation: Activation::Identity, optional: Optional::of([None, None]) };
        let backward = WeightGradient { plane, groups: 2, segments: false };
        let dw = backward.reference(&[&x, &dy]).remove(0);
        assert_gradient(&dw, &weight, |weight| dot(&forward.reference(&[&x, weight])[0], &dy));
    }
}
