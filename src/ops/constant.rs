//! Data that a graph holds itself, such as the layout of a block mask. Nothing runs: a program uploads it when it is made.

use std::sync::Arc;

use super::contract::Contract;
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, HostTensor, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::cases;

const NAME: &str = "constant";

#[derive(Clone, Debug)]
struct Constant {
    data: Arc<HostTensor>,
}

/// A value that is `data` in every run.
pub fn constant(graph: &mut Graph, data: HostTensor) -> Result<Value> {
    graph.push_builtin_one(Constant { data: Arc::new(data) }, &[])
}

impl Op for Constant {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        Contract::new(NAME).count(inputs, &[])?;
        let desc = self.data.desc();
        desc.check_rank(NAME, "data")?;
        Ok(vec![desc])
    }

    fn reference<R: Real>(&self, _: &[&Array<R>]) -> Vec<Array<R>> {
        vec![self.data.to_array()]
    }

    fn lower(&self, _: &StepDesc, _: &Caps) -> Result<Lowered> {
        Ok(Lowered::Constant(self.data.clone()))
    }

    fn backward(&self, _: &mut Graph, _: &Adjoint) -> Result<Vec<Gradient>> {
        Ok(Vec::new())
    }
}

/// Conformance cases: every type, read by a step, handed out as it is and under another shape, and empty.
#[cfg(feature = "check")]
mod cases {
    use super::{NAME, constant};
    use crate::check::Case;
    use crate::ops::{add, reshape};
    use crate::tensor::{DType, HostTensor};

    pub(crate) fn cases() -> Vec<Case> {
        let mut cases = Vec::new();
        for dtype in [DType::F32, DType::F16] {
            cases.push(Case::new(NAME, format!("{dtype} added, handed out, and reshaped"), move |problem| {
                let data = HostTensor::from_f32(
                    dtype,
                    [3, 5],
                    &(0..15).map(|x| x as f32 / 4.0).collect::<Vec<_>>(),
                )?;
                let data = constant(&mut problem.graph, data)?;
                let x = problem.random("x", dtype, [3, 5], 1.0)?;
                let sum = add(&mut problem.graph, data, x)?;
                Ok(vec![sum, data, reshape(&mut problem.graph, data, [15])?])
            }));
        }
        cases.push(Case::new(NAME, "i32", |problem| {
            Ok(vec![constant(&mut problem.graph, HostTensor::i32([3], vec![-1, 0, 7])?)?])
        }));
        cases.push(Case::new(NAME, "empty", |problem| {
            Ok(vec![constant(&mut problem.graph, HostTensor::f32([0, 2], Vec::new())?)?])
        }));
        cases
    }
}
