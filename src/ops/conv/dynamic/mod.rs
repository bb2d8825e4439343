//! Dynamic convolution: each position has a kernel of its own, shared by the channels of a head (Wu et al., arXiv 1901.10430, section 3.2).
//!
//! ```text
//! y[b, t, c] = sum over taps j of  kernels[b, t, h(c), j] x[b, t + j - before, c]          0 outside of x
//! dx[b, s, c] = sum over taps j of kernels[b, t, h(c), j] dy[b, t, c]   where t = s - j + before
//! dkernels[b, t, h, j] = sum over channels c of head h of  dy[b, t, c] x[b, t + j - before, c]
//! ```

#[cfg(feature = "check")]
mod cases;
mod kernels;
mod reference;

use super::inputs::check_segments;
use super::reach::{Along, Plane, Reach};
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::contract::Contract;
use crate::tensor::{Array, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "conv/dynamic";

/// The convolution of `x: [batch, time, heads * size]` by a kernel for each place and head, `kernels: [batch, time, heads, taps]`: `[batch, time,
/// heads * size]`. Tap `j` of a place reads `j - before` places behind it, and 0 outside of the sequence: `before` is `taps - 1` of a causal one.
///
/// The kernels are taken as they are; dynamic convolution as published gives their softmax over the taps. Of `segments: i32 [batch, time]`, numbers
/// of packed sequences, a tap that leaves the sequence of its position reads 0. Sums are f32 whatever the storage. Fails when shapes or
/// types differ, the heads do not divide the channels, or `before` is not below the number of taps.
pub fn dynamic_conv(
    graph: &mut Graph,
    x: Value,
    kernels: Value,
    before: usize,
    segments: Option<Value>,
) -> Result<Value> {
    let (desc, of_kernels) = (graph.desc(x)?, graph.desc(kernels)?);
    let [_, time, _] = *desc.shape.dims() else {
        return Err(Error::new(ErrorKind::Shape, NAME, "x")
            .expecting("[batch, time, channels]")
            .but_found(desc));
    };
    let [_, _, _, taps] = *of_kernels.shape.dims() else {
        let error = Error::new(ErrorKind::Shape, NAME, "kernels");
        return Err(error.expecting("[batch, time, heads, taps]").but_found(of_kernels));
    };
    if before >= taps {
        let error = Error::new(ErrorKind::Argument, NAME, "before");
        return Err(error.expecting(format!("less than the {taps} taps")).but_found(before));
    }
    let along = Along { padding: [before, taps - 1 - before], ..Along::PLAIN };
    let plane = Plane { down: Reach::ONE, across: Reach::new(NAME, along, taps, time)? };
    let op = Dynamic { plane, form: Form::Forward, segments: segments.is_some() };
    graph.push_builtin_one(op, &[x, kernels].into_iter().chain(segments).collect::<Vec<_>>())
}

/// What is computed from what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `y` from `x` and the kernels of its places.
    Forward,
    /// `dx` from `dy` and the kernels of the places that are read.
    Input,
    /// The gradient of kernels for so many heads from `x` and `dy`.
    Kernels(usize),
}

/// Inputs are the two that its form says, and segments where there are such. The plane is turned for gradients of x.
#[derive(Clone, Copy, Debug)]
struct Dynamic {
    plane: Plane,
    form: Form,
    segments: bool,
}

impl Op for Dynamic {
    fn name(&self) -> &'static str {
        match self.form {
            Form::Forward => NAME,
            Form::Input => "conv/dynamic_input_gradient",
            Form::Kernels(_) => "conv/dynamic_kernel_gradient",
        }
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let mut contract = Contract::new(self.name()).may_be_empty(&["batch", "time"]);
        let (x, other) = (&inputs[0], &inputs[1]);
        contract.float("x", x)?;
        contract.bind("x", x, &["batch", "time", "channels"])?;
        let [batch, time, channels] = ["batch", "time", "channels"].map(|axis| contract.extent(axis));
        if let Some(segments) = inputs.get(2) {
            check_segments(&contract, &self.plane, batch, segments)?;
        }
        if let Form::Kernels(heads) = self.form {
            contract.same("upstream", other, "x", x)?;
            return Ok(vec![TensorDesc::new(x.dtype, [batch, time, heads, self.plane.taps()])]);
        }
        contract.dtype("kernels", other, x.dtype)?;
        contract.bind("kernels", other, &["batch", "time", "heads", "taps"])?;
        let heads = contract.extent("heads");
        if !channels.is_multiple_of(heads) {
            let error = contract.shape_error("kernels");
            return Err(error.expecting(format!("heads that divide {channels} channels")).but_found(heads));
        }
        Ok(vec![x.clone()])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![reference::reference(self, inputs)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(self, step, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        if self.form != Form::Forward {
            return Err(Error::new(ErrorKind::NotDifferentiable, self.name(), "gradients")
                .expecting("gradients of the convolution")
                .but_found("gradients of its gradients"));
        }
        let mut gradients = vec![Gradient::None; adjoint.inputs().len()];
        let Some(dy) = adjoint.upstream(0) else { return Ok(gradients) };
        let (x, kernels, segments) = (adjoint.inputs()[0], adjoint.inputs()[1], adjoint.inputs().get(2));
        let heads = graph.desc(kernels)?.shape.dims()[2];
        let mut append = |op: Self, inputs: [Value; 2]| -> Result<Gradient> {
            let inputs: Vec<Value> = inputs.into_iter().chain(segments.copied()).collect();
            Ok(Gradient::Whole(graph.push_builtin_one(op, &inputs)?))
        };
        if adjoint.wants(0) {
            let turned = Self { plane: self.plane.turned(), form: Form::Input, ..*self };
            gradients[0] = append(turned, [dy, kernels])?;
        }
        if adjoint.wants(1) {
            gradients[1] = append(Self { form: Form::Kernels(heads), ..*self }, [x, dy])?;
        }
        Ok(gradients)
    }
}
