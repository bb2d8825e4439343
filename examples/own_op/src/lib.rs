//! An op that foveate does not have: the soft threshold `sign(x) max(|x| - threshold, 0)`, the proximal operator of the L1 norm
//! (Donoho, "De-noising by soft-thresholding", IEEE Transactions on Information Theory 41(3), 1995).
//!
//! An op is a public function that appends a step, and an `impl Op` with four parts: what it demands of its inputs, what it computes on the
//! CPU, what runs on the device, and its gradient.

use foveate::kernel::{Caps, Kernel, Lowered, Operand};
use foveate::ops::{self, Contract};
use foveate::{
    Adjoint, Array, DType, Error, ErrorKind, Gradient, Graph, Op, Real, Result, StepDesc, TensorDesc, Value,
    params, wgsl,
};

const NAME: &str = "soft_threshold";

params! {
    struct SoftThresholdParams {
        threshold: f32,
    }
}

#[derive(Clone, Copy, Debug)]
struct SoftThreshold {
    threshold: f32,
}

/// `sign(x) max(|x| - threshold, 0)` of every element of `x`, f32 of any shape.
///
/// Fails for another type, and for a threshold that is negative or not finite.
pub fn soft_threshold(graph: &mut Graph, x: Value, threshold: f32) -> Result<Value> {
    Ok(graph.push(SoftThreshold { threshold }, &[x])?[0])
}

impl Op for SoftThreshold {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["x"])?;
        contract.dtype("x", &inputs[0], DType::F32)?;
        if !(self.threshold >= 0.0 && self.threshold.is_finite()) {
            return Err(contract
                .argument_error("threshold")
                .expecting("a number of at least 0")
                .but_found(self.threshold));
        }
        Ok(vec![inputs[0].clone()])
    }

    // The specification, in f64 for tests and in f32.
    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let threshold = R::of(self.threshold.into());
        let shrunk = |&x: &R| {
            let rest = x.abs() - threshold;
            if rest > R::zero() { rest * x.signum() } else { R::zero() }
        };
        let x = inputs[0];
        vec![Array::real(x.shape().clone(), x.reals().iter().map(shrunk).collect())]
    }

    // One invocation for each element, or four of them where the number divides.
    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let desc = &step.outputs[0];
        let lanes = if desc.elements().is_multiple_of(4) { 4 } else { 1 };
        let count = u32::try_from(desc.elements()).map_err(|error| {
            Error::new(ErrorKind::Limit, NAME, "elements").expecting("at most 2^32 - 1").caused_by(error)
        })?;
        let dispatch = Kernel::new(NAME, [wgsl!("soft_threshold.wgsl")])
            .lanes(lanes)
            .read("x", Operand::Input(0), desc.dtype)
            .write("result", Operand::Output(0), desc.dtype)
            .params(SoftThresholdParams { threshold: self.threshold })
            .per_element(count / lanes, caps);
        Ok(Lowered::elementwise(dispatch, lanes))
    }

    // dx = dy where the result is not 0: ops that are there already do.
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let Some(upstream) = adjoint.upstream(0).filter(|_| adjoint.wants(0)) else {
            return Ok(vec![Gradient::None]);
        };
        let kept = ops::abs(graph, adjoint.outputs()[0])?;
        let kept = ops::sign(graph, kept)?;
        Ok(vec![Gradient::Whole(ops::multiply(graph, upstream, kept)?)])
    }
}
