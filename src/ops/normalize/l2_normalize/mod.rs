//! Rows of length 1, `y = x / max(sqrt(sum x^2), eps)` along the last axis, as `torch.nn.functional.normalize`.

#[cfg(feature = "check")]
mod cases;
mod kernels;
mod reference;

use super::super::contract::Contract;
use super::super::rows;
use super::check_eps;
use super::l2_normalize_backward::l2_normalize_backward;
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "normalize/l2_normalize";

#[derive(Clone, Copy, Debug)]
pub(super) struct L2Normalize {
    pub(super) eps: f32,
}

/// `x: [.., width]`, f32 or f16, with every row along the last axis divided by its Euclidean norm, or by `eps` where that is
/// larger: rows of zeros stay zeros.
///
/// Sums are f32 whatever the storage, and no square overflows. Fails when `x` is a scalar or not a float, or `eps` is not a
/// finite, positive, normal number.
pub fn l2_normalize(graph: &mut Graph, x: Value, eps: f32) -> Result<Value> {
    graph.push_builtin_one(L2Normalize { eps }, &[x])
}

impl Op for L2Normalize {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        check_eps(NAME, self.eps)?;
        let contract = Contract::new(NAME);
        contract.count(inputs, &["x"])?;
        rows::check(&contract, "x", &inputs[0])?;
        Ok(inputs.to_vec())
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![reference::forward(inputs[0], R::of(self.eps.into()))]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(self.eps, step, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        match (adjoint.inputs(), adjoint.upstream(0)) {
            (&[x], Some(upstream)) => {
                Ok(vec![Gradient::Whole(l2_normalize_backward(graph, x, upstream, self.eps)?)])
            }
            _ => Ok(vec![Gradient::None]),
        }
    }
}
