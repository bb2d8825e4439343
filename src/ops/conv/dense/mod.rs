//! Convolutions of many channels: a matrix product for each item and group, of what the taps read and the weights. What the taps read is a
//! matrix that is never stored; the tiles of [`matmul`](crate::ops::matmul()) read the input in its place.
//!
//! ```text
//! y[b, p, o] = bias[o] + sum over taps j and channels c of the group of o:  w[group, j, c, o] x[b, read(p, j), c]
//! ```
//!
//! Its gradient with respect to x is a convolution of the upstream gradient with the weights' last two axes exchanged
//! ([`Reach::turned`](super::reach::Reach::turned)).

#[cfg(feature = "check")]
mod cases;
mod kernels;
mod reference;
mod weights;

use super::reach::Plane;
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::contract::Contract;
use crate::ops::{sum, transpose};
use crate::tensor::{Array, DType, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

pub(super) const NAME: &str = "conv/dense";

/// Settings and values of [`dense`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    pub(super) plane: Plane,
    /// `[out]`.
    pub(super) bias: Option<Value>,
    /// i32 `[batch, time]`, of a plane that takes them.
    pub(super) segments: Option<Value>,
}

/// `x: [batch, down, across, in]` by `weight: [groups, taps, in / groups, out / groups]`: `[batch, down, across, out]`.
pub(super) fn dense(graph: &mut Graph, x: Value, weight: Value, spec: &Spec) -> Result<Value> {
    let Spec { plane, bias, segments } = *spec;
    let op = Dense { plane, bias: bias.is_some(), segments: segments.is_some() };
    let inputs: Vec<Value> = [x, weight].into_iter().chain(bias).chain(segments).collect();
    graph.push_builtin_one(op, &inputs)
}

/// Inputs are x, weight, then bias and segments where there are such.
#[derive(Clone, Copy, Debug)]
struct Dense {
    plane: Plane,
    bias: bool,
    segments: bool,
}

impl Dense {
    fn segments_index(&self) -> Option<usize> {
        self.segments.then_some(2 + usize::from(self.bias))
    }
}

/// How many items x has, after checking it for weights of this shape.
fn check(
    contract: &mut Contract,
    plane: &Plane,
    x: &TensorDesc,
    [groups, taps, inner, _]: [usize; 4],
) -> Result<usize> {
    contract.float("x", x)?;
    contract.bind("x", x, &["batch", "down", "across", "in"])?;
    let expected = [contract.extent("batch"), plane.down.from, plane.across.from, groups * inner];
    if x.shape.dims() != expected || taps != plane.taps() {
        let error = contract.shape_error("x");
        let expected = format!("{expected:?} and {} taps", plane.taps());
        return Err(error.expecting(expected).but_found(format!("{x} and {taps} taps")));
    }
    Ok(expected[0])
}

/// Refuses segments that do not tell the places of x apart.
pub(super) fn check_segments(
    contract: &Contract,
    plane: &Plane,
    batch: usize,
    segments: &TensorDesc,
) -> Result<()> {
    contract.dtype("segments", segments, DType::I32)?;
    if !plane.takes_segments() {
        let error = contract.argument_error("segments");
        return Err(error
            .expecting("a stride of 1 and as many places of the result as of x")
            .but_found(format!("{} places of {}", plane.across.to, plane.across.from)));
    }
    contract.same("segments", segments, "x", &TensorDesc::i32([batch, plane.across.from]))
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
        let batch = check(&mut contract, &self.plane, x, shape)?;
        let width = shape[0] * shape[3];
        if self.bias {
            contract.same("bias", &inputs[2], "weight", &TensorDesc::new(x.dtype, [width]))?;
        }
        if let Some(segments) = self.segments_index() {
            check_segments(&contract, &self.plane, batch, &inputs[segments])?;
        }
        Ok(vec![TensorDesc::new(x.dtype, [batch, self.plane.down.to, self.plane.across.to, width])])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let bias = self.bias.then(|| inputs[2]);
        let segments = self.segments_index().map(|index| inputs[index]);
        vec![reference::forward(&self.plane, inputs[0], inputs[1], bias, segments)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::forward(self, step, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let mut gradients = vec![Gradient::None; adjoint.inputs().len()];
        let Some(dy) = adjoint.upstream(0) else { return Ok(gradients) };
        let (x, weight) = (adjoint.inputs()[0], adjoint.inputs()[1]);
        let segments = self.segments_index().map(|index| adjoint.inputs()[index]);
        if adjoint.wants(0) {
            let turned = transpose(graph, weight, &[0, 1, 3, 2])?;
            let spec = Spec { plane: self.plane.turned(), bias: None, segments };
            gradients[0] = Gradient::Whole(dense(graph, dy, turned, &spec)?);
        }
        if adjoint.wants(1) {
            let groups = graph.desc(weight)?.shape.dims()[0];
            gradients[1] = Gradient::Whole(weights::gradient(graph, [x, dy], self.plane, groups, segments)?);
        }
        if self.bias && adjoint.wants(2) {
            gradients[2] = Gradient::Whole(of_bias(graph, dy)?);
        }
        Ok(gradients)
    }
}

/// The gradient of the bias: sums of `dy: [batch, down, across, out]` over all places.
pub(super) fn of_bias(graph: &mut Graph, dy: Value) -> Result<Value> {
    let dims = graph.desc(dy)?.shape.dims().to_vec();
    let flat = crate::ops::reshape(graph, dy, [dims[..3].iter().product(), dims[3]])?;
    let total = sum(graph, flat, &[0])?;
    crate::ops::reshape(graph, total, [dims[3]])
}
