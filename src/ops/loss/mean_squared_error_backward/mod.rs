//! The gradients of [`mean_squared_error`](super::mean_squared_error()): `d_a = 2 (a - b) upstream / elements`, `d_b = -d_a`.

#[cfg(feature = "check")]
mod cases;

use super::pair;
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, wgsl};
use crate::ops::contract::Contract;
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "loss/mean_squared_error_backward";

/// The gradients of [`mean_squared_error`](super::mean_squared_error()) with respect to `a` and `b`, of their shape and type,
/// for `upstream`, f32 of shape `[1]`, the gradient of the loss. One that nothing reads is not computed.
/// Fails as the forward pass does, and when upstream is not one f32.
pub fn mean_squared_error_backward(
    graph: &mut Graph,
    a: Value,
    b: Value,
    upstream: Value,
) -> Result<(Value, Value)> {
    let outputs = graph.push_builtin(MeanSquaredErrorBackward, &[a, b, upstream])?;
    Ok((outputs[0], outputs[1]))
}

#[derive(Clone, Copy, Debug)]
struct MeanSquaredErrorBackward;

impl Op for MeanSquaredErrorBackward {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        pair::check(&Contract::new(NAME), inputs, ["a", "b"], true)?;
        Ok(inputs[..2].to_vec())
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (a, b) = (inputs[0], inputs[1]);
        let factor = R::of(2.0) * inputs[2].reals()[0] / R::of(a.reals().len().max(1) as f64);
        let d_a = a.reals().iter().zip(b.reals()).map(|(&a, &b)| factor * (a - b)).collect();
        let d_a = Array::real(a.shape().clone(), d_a);
        let d_b = d_a.map(|d| -d);
        vec![d_a, d_b]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let elements = step.inputs[0].elements();
        pair::lower_backward(
            NAME,
            wgsl!("loss/mean_squared_error_backward/slopes.wgsl"),
            elements,
            step,
            caps,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::loss::mean_squared_error::MeanSquaredError;

    #[test]
    fn is_the_slope_of_the_loss() {
        pair::tests::assert_slopes(&MeanSquaredError, &MeanSquaredErrorBackward);
    }
}
