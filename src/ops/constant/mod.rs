//! Data that a graph holds itself, such as the layout of a block mask. Nothing runs: a program uploads it when it is made.

#[cfg(feature = "check")]
mod cases;

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
