//! The gradient of [`cross_entropy`](super::cross_entropy()) with respect to its logits:
//! `d_logits[c] = (exp(logits[c] - lse) - q_c) upstream / counted`, where `q` is the smoothed target distribution and `counted`
//! the number of rows whose target counts; plus `exp(logits[c] - lse) lse_upstream` where the log-sum-exp was handed out.

#[cfg(feature = "check")]
mod cases;
mod kernels;
mod reference;

use super::cross_entropy::{CrossEntropy, check_rows};
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::contract::Contract;
use crate::tensor::{Array, DType, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "loss/cross_entropy_backward";

/// The gradient of [`cross_entropy`](super::cross_entropy()) with respect to `logits: [.., classes]`, of their shape and type,
/// for its `targets`, the `lse` of [`cross_entropy_with_lse`](super::cross_entropy_with_lse), and `upstream`, f32 of shape `[1]`,
/// the gradient of the loss; and for `lse_upstream`, of the shape of lse, where that is part of a loss, too. Rows whose target does
/// not count get 0.
///
/// Fails as the forward pass does, and when lse or upstream are not what it gives.
pub fn cross_entropy_backward(
    graph: &mut Graph,
    logits: Value,
    targets: Value,
    lse: Value,
    upstream: Value,
    lse_upstream: Option<Value>,
    spec: &CrossEntropy,
) -> Result<Value> {
    let inputs: Vec<Value> = [logits, targets, lse, upstream].into_iter().chain(lse_upstream).collect();
    graph.push_builtin_one(CrossEntropyBackward(*spec), &inputs)
}

#[derive(Clone, Copy, Debug)]
struct CrossEntropyBackward(CrossEntropy);

impl Op for CrossEntropyBackward {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        self.0.check(NAME)?;
        let contract = Contract::new(NAME);
        let rows = check_rows(&contract, &inputs[0], &inputs[1])?;
        for (argument, desc) in [("lse", Some(&inputs[2])), ("lse_upstream", inputs.get(4))] {
            let Some(desc) = desc else { continue };
            contract.dtype(argument, desc, DType::F32)?;
            if desc.shape != rows.shape {
                return Err(contract
                    .shape_error(argument)
                    .expecting(format!("{} as of targets", rows.shape))
                    .but_found(&desc.shape));
            }
        }
        super::check_upstream(&contract, &inputs[3])?;
        Ok(vec![inputs[0].clone()])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![reference::backward(inputs, self.0.smoothing().into())]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(&self.0, step, caps)
    }
}
