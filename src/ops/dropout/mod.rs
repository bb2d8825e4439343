//! Dropout (Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 15, 2014), scaled while
//! training: `y = x / (1 - rate)` for elements that are kept, else 0.
//!
//! Which are kept is a function of seed, stream, step and place alone, so that a backward pass or a replay repeats it without a mask
//! in memory: element `i` is kept where number `i % 4` of [`philox`](super::philox) at the counter `(i / 4, step, stream, 0)`
//! under the seed as key is at least `rate * 2^32`.

#[cfg(feature = "check")]
mod cases;
mod kernels;
mod reference;

use super::contract::Contract;
use super::upstream;
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, DType, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "dropout";

/// How many elements [`dropout`] drops, and which.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// The probability that an element is dropped: at least 0 and below 1.
    pub rate: f32,
    /// What tells a training run from others.
    pub seed: u64,
    /// What tells a place in a model from others of the same run.
    pub stream: u32,
}

impl Dropout {
    /// Random numbers below this drop an element. A rate below 2^-33 drops none.
    fn threshold(&self) -> u32 {
        // No rate below 1 rounds to more than 2^32 - 256, as 24 bits hold it.
        (f64::from(self.rate) * 2f64.powi(32)).round() as u32
    }

    /// What kept elements are multiplied by.
    fn scale(&self) -> f64 {
        1.0 / (1.0 - f64::from(self.rate))
    }

    /// The low and the high word of the seed.
    fn key(&self) -> [u32; 2] {
        [self.seed as u32, (self.seed >> 32) as u32]
    }
}

/// Each element of a float `x` of any shape kept with probability `1 - rate` and divided by it, else 0. `step: [1]` is a u32 that
/// changes from run to run; with the same one, and the same `spec`, the same elements are kept.
///
/// At a rate of 0 nothing runs. Fails when the rate is not at least 0 and below 1, `x` is not a float, or `step` not one u32.
pub fn dropout(graph: &mut Graph, x: Value, spec: &Dropout, step: Value) -> Result<Value> {
    graph.push_builtin_one(DropoutOp(*spec), &[x, step])
}

#[derive(Clone, Copy, Debug)]
struct DropoutOp(Dropout);

impl Op for DropoutOp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["x", "step"])?;
        let rate = self.0.rate;
        // A NaN lies in no range.
        if !(0.0..1.0).contains(&rate) {
            return Err(contract.argument_error("rate").expecting("at least 0 and below 1").but_found(rate));
        }
        let (x, step) = (&inputs[0], &inputs[1]);
        contract.float("x", x)?;
        contract.dtype("step", step, DType::U32)?;
        if step.shape.dims() != [1] {
            return Err(contract.shape_error("step").expecting("[1]").but_found(&step.shape));
        }
        Ok(vec![x.clone()])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![reference::forward(&self.0, inputs[0], inputs[1].indices()[0] as u32)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(&self.0, step, caps)
    }

    /// `dx = dy / (1 - rate)` where `x` was kept, else 0: the same dropout of `dy`.
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        upstream::to_input(adjoint, |upstream| dropout(graph, upstream, &self.0, adjoint.inputs()[1]))
    }
}
