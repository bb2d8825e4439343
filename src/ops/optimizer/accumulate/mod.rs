//! `total + gradient`, in place: gradients of several small batches that make one step.

#[cfg(feature = "check")]
mod cases;

use super::check;
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, Operand, params, wgsl};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "optimizer/accumulate";

params! {
    struct AccumulateParams {
        count: u32,
        workgroups: u32,
    }
}

#[derive(Clone, Copy, Debug)]
struct Accumulate;

/// `total` with `gradient` added, both f32 and of one shape. Hand it to [`Graph::update`], and `total` is changed in place.
pub fn accumulate(graph: &mut Graph, total: Value, gradient: Value) -> Result<Value> {
    graph.push_builtin_one(Accumulate, &[total, gradient])
}

impl Op for Accumulate {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        check(NAME, inputs, &["total", "gradient"], false)?;
        Ok(vec![inputs[0].clone()])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let sums = inputs[0].reals().iter().zip(inputs[1].reals()).map(|(&total, &g)| total + g);
        vec![Array::real(inputs[0].shape().clone(), sums.collect())]
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let bindings = vec![("total", Operand::Output(0)), ("gradient", Operand::Input(1))];
        let params = |count, workgroups| AccumulateParams { count, workgroups }.into();
        let sources = [wgsl!("optimizer/accumulate/accumulate.wgsl")];
        super::lower(NAME, &sources, bindings, &step.inputs[0], params, caps)
    }
}
