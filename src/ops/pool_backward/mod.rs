//! The gradient of [`pool`](super::pool()): of the mean, an even share of its row's gradient for every position; of the first and of
//! the largest, all of it for that position, and of several that are as large for the first.

#[cfg(feature = "check")]
mod cases;
mod kernels;
mod reference;

use super::contract::Contract;
use super::pool::{Kind, Pool, output};
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "pool_backward";

/// The gradient of [`pool`](super::pool()) with respect to `x: [batch, time, width]`, of its shape and type, for `upstream`, of the
/// shape and type of its result. Positions that do not count get 0.
///
/// Only of the largest are the elements of `x` read; else its shape is all that counts, and x need not be kept. Of ids that decrease
/// the result is not specified. Fails as the forward pass does, and when upstream does not fit.
pub fn pool_backward(graph: &mut Graph, x: Value, upstream: Value, spec: &Pool) -> Result<Value> {
    let op = PoolBackward { spec: *spec, x: graph.desc(x)?.clone() };
    let inputs: Vec<Value> =
        [upstream].into_iter().chain(spec.places()).chain(op.reads_x().then_some(x)).collect();
    graph.push_builtin_one(op, &inputs)
}

#[derive(Clone, Debug)]
struct PoolBackward {
    spec: Pool,
    x: TensorDesc,
}

impl PoolBackward {
    /// Whether x is an input, the last one.
    fn reads_x(&self) -> bool {
        self.spec.kind == Kind::Max
    }
}

impl Op for PoolBackward {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let upstream = &inputs[0];
        let contract = Contract::new(NAME);
        let places = &inputs[1..inputs.len() - usize::from(self.reads_x())];
        let expected = output(NAME, &self.spec, &self.x, places)?;
        contract.dtype("upstream", upstream, expected.dtype)?;
        if upstream.shape == expected.shape {
            return Ok(vec![self.x.clone()]);
        }
        Err(contract
            .shape_error("upstream")
            .expecting(format!("{} as of the forward pass", expected.shape))
            .but_found(&upstream.shape))
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![reference::backward(inputs, &self.spec, &self.x.shape)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(self, step, caps)
    }
}
