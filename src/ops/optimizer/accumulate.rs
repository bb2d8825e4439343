//! `total + gradient`, in place: gradients of several small batches that make one step.

use super::check;
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, Operand, wgsl};
use crate::tensor::{Array, DType, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "optimizer/accumulate";

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
        super::lower(NAME, wgsl!("optimizer/accumulate.wgsl"), &step.inputs[0], caps, |kernel| {
            kernel.update("total", Operand::Output(0), DType::F32).read(
                "gradient",
                Operand::Input(1),
                DType::F32,
            )
        })
    }
}

/// Conformance cases: packs and single elements.
#[cfg(feature = "check")]
mod cases {
    use super::{NAME, accumulate};
    use crate::check::{Bench, Case, Work};
    use crate::tensor::DType;

    pub(crate) fn cases() -> Vec<Case> {
        [&[1][..], &[63], &[65, 4], &[97, 3], &[0], &[1000, 12]]
            .into_iter()
            .map(|shape| {
                Case::new(NAME, format!("{shape:?}"), move |problem| {
                    let total = problem.random("total", DType::F32, shape, 1.0)?;
                    let gradient = problem.random("gradient", DType::F32, shape, 1.0)?;
                    Ok(vec![accumulate(&mut problem.graph, total, gradient)?])
                })
            })
            .collect()
    }

    /// Two reads and one write of every element.
    pub(crate) fn benches() -> Vec<Bench> {
        vec![Bench::new(NAME, "1M f32", Work::Bytes(12 << 20), |problem| {
            let total = problem.random("total", DType::F32, [1 << 20], 1.0)?;
            let gradient = problem.random("gradient", DType::F32, [1 << 20], 1.0)?;
            Ok(vec![accumulate(&mut problem.graph, total, gradient)?])
        })]
    }
}
