//! What convolutions read: x, weights and, where there are such, a bias and numbers of sequences.

use super::reach::Plane;
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Value};
use crate::ops::contract::Contract;
use crate::ops::{reshape, sum};
use crate::tensor::{Array, DType, Real, TensorDesc};

/// Which inputs stand behind x and weights: the bias, then the segments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Optional {
    pub(super) bias: bool,
    pub(super) segments: bool,
}

impl Optional {
    pub(super) fn of([bias, segments]: [Option<Value>; 2]) -> Self {
        Self { bias: bias.is_some(), segments: segments.is_some() }
    }

    pub(super) fn bias_index(self) -> Option<usize> {
        self.bias.then_some(2)
    }

    pub(super) fn segments_index(self) -> Option<usize> {
        self.segments.then_some(2 + usize::from(self.bias))
    }

    /// Bias and segments among arrays.
    pub(super) fn arrays<'a, R: Real>(self, inputs: &[&'a Array<R>]) -> [Option<&'a Array<R>>; 2] {
        [self.bias_index(), self.segments_index()].map(|index| index.map(|index| inputs[index]))
    }

    /// The segments among an op's inputs.
    pub(super) fn segments(self, adjoint: &Adjoint) -> Option<Value> {
        self.segments_index().map(|index| adjoint.inputs()[index])
    }

    /// Refuses a bias that is not `[out]`, and segments that do not tell the places of `batch` items apart.
    pub(super) fn check(
        self,
        contract: &Contract,
        plane: &Plane,
        inputs: &[TensorDesc],
        [batch, out]: [usize; 2],
    ) -> Result<()> {
        if let Some(index) = self.bias_index() {
            let expected = TensorDesc::new(inputs[0].dtype, [out]);
            contract.same("bias", &inputs[index], "weight", &expected)?;
        }
        match self.segments_index() {
            Some(index) => check_segments(contract, plane, batch, &inputs[index]),
            None => Ok(()),
        }
    }

    /// The gradient of the bias, where it is wanted: sums of `dy: [batch, down, across, out]` over all places.
    pub(super) fn bias_gradient(
        self,
        graph: &mut Graph,
        adjoint: &Adjoint,
        dy: Value,
        gradients: &mut [Gradient],
    ) -> Result<()> {
        let Some(index) = self.bias_index().filter(|index| adjoint.wants(*index)) else { return Ok(()) };
        let dims = graph.desc(dy)?.shape.dims().to_vec();
        let flat = reshape(graph, dy, [dims[..3].iter().product(), dims[3]])?;
        let total = sum(graph, flat, &[0])?;
        gradients[index] = Gradient::Whole(reshape(graph, total, [dims[3]])?);
        Ok(())
    }
}

/// How many items `x` has. Fails unless it is `[batch, down, across, inner]` of the plane, and weights have the plane's taps.
pub(super) fn check_x(
    contract: &mut Contract,
    plane: &Plane,
    x: &TensorDesc,
    [taps, inner]: [usize; 2],
) -> Result<usize> {
    contract.float("x", x)?;
    contract.bind("x", x, &["batch", "down", "across", "in"])?;
    let expected = [contract.extent("batch"), plane.down.from, plane.across.from, inner];
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
    let expected = [batch, plane.across.from];
    if !plane.takes_segments() {
        let error = contract.argument_error("segments");
        return Err(error.expecting("as many places as before, without strides").but_found("another number"));
    }
    if segments.shape.dims() != expected {
        return Err(contract.shape_error("segments").expecting(format!("{expected:?}")).but_found(segments));
    }
    Ok(())
}
