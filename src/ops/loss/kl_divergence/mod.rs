//! Kullback-Leibler divergence of distributions given by their logarithms: the mean over rows of `sum_c p_c (ln p_c - ln q_c)`
//! (Kullback and Leibler 1951), what a student `q` is distilled from a teacher `p` by (Hinton et al., arXiv 1503.02531,
//! section 2).

#[cfg(feature = "check")]
mod cases;

use super::kl_divergence_backward::kl_divergence_backward;
use super::pair;
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, wgsl};
use crate::ops::contract::Contract;
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "loss/kl_divergence";

/// Mean over rows of `sum p (ln p - ln q)`, f32 of shape `[1]`, for `student: [.., classes]`, `ln q`, and `target`, `ln p`, both
/// results of [`log_softmax`](crate::ops::log_softmax()), of one shape and type, f32 or f16; 0 where there are no rows.
///
/// It is PyTorch's `kl_div(student, target, log_target=True, reduction="batchmean")` with every row an item of the batch. Sums
/// are f32 whatever the storage. Fails when shapes or types differ, are not floats, or scalars.
pub fn kl_divergence(graph: &mut Graph, student: Value, target: Value) -> Result<Value> {
    graph.push_builtin_one(KlDivergence, &[student, target])
}

/// Refuses anything but two values of one shape with at least one axis.
pub(super) fn check(op: &'static str, inputs: &[TensorDesc], backward: bool) -> Result<()> {
    let contract = Contract::new(op);
    pair::check(&contract, inputs, ["student", "target"], backward)?;
    if inputs[0].shape.rank() > 0 {
        return Ok(());
    }
    Err(contract.shape_error("student").expecting("at least one axis").but_found("a scalar"))
}

/// The rows of a shape: what the sum is a mean over, at least 1.
pub(super) fn rows(dims: &[usize]) -> usize {
    dims.split_last().map_or(1, |(_, leading)| leading.iter().product()).max(1)
}

#[derive(Clone, Copy, Debug)]
pub(super) struct KlDivergence;

impl Op for KlDivergence {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        check(NAME, inputs, false)?;
        Ok(vec![TensorDesc::f32([1])])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (student, target) = (inputs[0].reals(), inputs[1].reals());
        let sum: R = student.iter().zip(target).map(|(&q, &p)| p.exp() * (p - q)).sum();
        vec![Array::real([1], vec![sum / R::of(rows(inputs[0].dims()) as f64)])]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let rows = rows(step.inputs[0].shape.dims());
        pair::lower(NAME, wgsl!("loss/kl_divergence/term.wgsl"), rows, step, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        pair::backward(graph, adjoint, kl_divergence_backward)
    }
}
