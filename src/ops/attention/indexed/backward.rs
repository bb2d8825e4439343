//! The backward pass: queries' gradients are summed by the owner of a query, keys' and values' by that of a key, round after round.
//!
//! ```text
//! P_ij  = exp(s_ij - m_i) / l_i         D_i  = d_out_i . out_i - dL_i         dS_ij = P_ij (d_out_i . v_j - D_i)
//! dQ_i  = scale sum_j dS_ij k_j         dK_j = scale sum_i dS_ij q_i          dV_j  = sum_i P_ij d_out_i
//! ```
//!
//! with `m` and `l` over all rounds. A score that stands for a token's own has no gradient.

use super::{INDEX, IndexedAttention, Results, kernels, reference};
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::attention::Dims;
use crate::tensor::{Array, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

pub(super) const NAME: &str = "attention/indexed_backward";

/// Inputs before `d_lse`: query, key, value, index, out, statistics, d_out.
pub(super) const REQUIRED: usize = 7;

#[derive(Clone, Copy, Debug)]
pub(super) struct IndexedBackward {
    pub(super) forward: IndexedAttention,
    /// Whether the log-sum-exp has an upstream gradient, which is the last input.
    pub(super) d_lse: bool,
}

/// Appends the gradients of query, key and value of a step: of their shapes, or with slots in place of positions.
pub(super) fn append(
    graph: &mut Graph,
    forward: &IndexedAttention,
    attended: [Value; REQUIRED],
    d_lse: Option<Value>,
) -> Result<[Value; 3]> {
    let inputs: Vec<Value> = attended.into_iter().chain(d_lse).collect();
    let op = IndexedBackward { forward: *forward, d_lse: d_lse.is_some() };
    let outputs = graph.push_builtin(op, &inputs)?;
    Ok([outputs[0], outputs[1], outputs[2]])
}

impl Op for IndexedBackward {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let dims = self.forward.check(&inputs[..=INDEX])?;
        let spec = &self.forward.spec;
        let Dims { batch, heads, .. } = dims;
        let time = spec.result_time(&dims);
        let out = TensorDesc::new(inputs[0].dtype, [batch, time, heads, dims.value_size]);
        let [lse, statistics] =
            [TensorDesc::f32([batch, heads, time]), TensorDesc::f32([batch, heads, time, 2])];
        let attended = [("out", &out), ("statistics", &statistics), ("d_out", &out), ("d_lse", &lse)];
        for ((argument, wanted), found) in attended.into_iter().zip(&inputs[INDEX + 1..]) {
            if found != wanted {
                let kind = if found.dtype == wanted.dtype { ErrorKind::Shape } else { ErrorKind::Dtype };
                return Err(Error::new(kind, NAME, argument)
                    .expecting(format!("{wanted}, as the forward pass has it"))
                    .but_found(found));
            }
        }
        let [query_time, key_time] = match spec.results {
            Results::Positions => [dims.query_time, dims.key_time],
            Results::Slots => [spec.query_slots(), spec.key_slots()],
        };
        let of = |time, size| TensorDesc::new(inputs[0].dtype, [batch, time, heads, size]);
        Ok(vec![of(query_time, dims.head_size), of(key_time, dims.head_size), of(key_time, dims.value_size)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        reference::backward(inputs, self)
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower_backward(self, step, caps)
    }
}
