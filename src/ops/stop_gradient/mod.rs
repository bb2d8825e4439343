//! The same values, as if they were given: no gradient passes. Nothing runs: the result shares its input's memory.

#[cfg(feature = "check")]
mod cases;

use super::contract::Contract;
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::cases;

const NAME: &str = "stop_gradient";

#[derive(Clone, Copy, Debug)]
struct StopGradient;

/// `x`, of which [`Graph::gradients`] knows nothing further: what it was made of is not differentiated through here. For memory that a
/// segment takes over from the one before (Transformer-XL, arXiv 1901.02860, section 3.2), and for targets that a model sets itself.
pub fn stop_gradient(graph: &mut Graph, x: Value) -> Result<Value> {
    graph.push_builtin_one(StopGradient, &[x])
}

impl Op for StopGradient {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        Contract::new(NAME).count(inputs, &["x"])?;
        Ok(inputs.to_vec())
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![inputs[0].clone()]
    }

    fn lower(&self, _: &StepDesc, _: &Caps) -> Result<Lowered> {
        Ok(Lowered::View(0))
    }

    fn stops_gradients(&self) -> bool {
        true
    }
}
