//! The backward pass of [`super::blocked()`] (FlashAttention, arXiv 2205.14135, algorithm 4; FlashAttention-2, 2307.08691,
//! algorithm 2), without atomics: queries' gradients are summed by the owner of a query, keys' and values' by that of a key.
//!
//! With upstream gradients `d_out` and `dL`, for query `i` and each key `j` that it sees:
//!
//! ```text
//! P_ij  = exp(s_ij - L_i)               D_i  = d_out_i . out_i - dL_i
//! dS_ij = P_ij (d_out_i . v_j - D_i)    softcap c: dS_ij (1 - (s_ij / c)^2)
//! dQ_i  = scale sum_j dS_ij k_j         dK_j = scale sum_i dS_ij q_i         dV_j = sum_i P_ij d_out_i
//! ```
//!
//! Scores are computed again from the log-sum-exp `L`, so memory stays linear in length. Key heads sum over the query heads
//! that share them. Rows that see no key, and keys that no row sees, have gradients of exactly 0.

#[cfg(feature = "check")]
mod cases;
mod kernels;
mod reference;

use super::{Blocked, Dims};
use crate::graph::{Graph, Op, Problem, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, DType, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

#[cfg(feature = "check")]
pub(crate) use cases::cases;

const NAME: &str = "attention/blocked_backward";

/// What [`super::blocked_with_lse`] made of query, key and value, and the loss's gradients with respect to it.
#[derive(Clone, Copy, Debug)]
pub struct Attended {
    /// `[batch, query_time, heads, value_size]`, of the query's type.
    pub out: Value,
    /// The natural log-sum-exp of every row of scores: f32 `[batch, heads, query_time]`.
    pub lse: Value,
    /// The gradient of `out`, of its shape and type.
    pub d_out: Value,
    /// The gradient of `lse`, of its shape and type, where the loss depends on it.
    pub d_lse: Option<Value>,
}

/// Gradients of query, key and value, each of its shape and type: the backward pass of [`super::blocked_with_lse`] with the same
/// `query`, `key`, `value` and `spec`, which gave `attended`. A gradient that nobody reads is not computed.
///
/// Scores, weights and sums are f32 whatever the storage. Fails when shapes, types or settings do not fit.
pub fn blocked_backward(
    graph: &mut Graph,
    query: Value,
    key: Value,
    value: Value,
    attended: &Attended,
    spec: &Blocked,
) -> Result<[Value; 3]> {
    let Attended { out, lse, d_out, d_lse } = *attended;
    let mut inputs = vec![query, key, value, out, lse, d_out];
    inputs.extend(d_lse);
    let op = BlockedBackward { spec: *spec, d_lse: d_lse.is_some() };
    let outputs = graph.push(op, &spec.inputs(&inputs))?;
    Ok([outputs[0], outputs[1], outputs[2]])
}

#[derive(Clone, Copy, Debug)]
struct BlockedBackward {
    spec: Blocked,
    /// Whether the log-sum-exp has an upstream gradient.
    d_lse: bool,
}

/// Where `d_lse` stands among the inputs, behind query, key, value, out, lse and d_out.
const D_LSE: usize = 6;

impl BlockedBackward {
    /// The inputs before those of the settings.
    fn required(&self) -> usize {
        D_LSE + usize::from(self.d_lse)
    }
}

impl Op for BlockedBackward {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let dims = self.spec.check(NAME, inputs, self.required())?;
        let Dims { batch, query_time, heads, value_size, .. } = dims;
        let out = TensorDesc::new(inputs[0].dtype, [batch, query_time, heads, value_size]);
        let lse = TensorDesc::new(DType::F32, [batch, heads, query_time]);
        let attended = [("out", &out), ("lse", &lse), ("d_out", &out), ("d_lse", &lse)];
        for ((argument, wanted), found) in attended.into_iter().zip(&inputs[3..self.required()]) {
            if found != wanted {
                let kind = if found.dtype == wanted.dtype { ErrorKind::Shape } else { ErrorKind::Dtype };
                return Err(Error::new(kind, NAME, argument)
                    .expecting(format!("{wanted}, as the forward pass has it"))
                    .but_found(found));
            }
        }
        Ok(inputs[..3].to_vec())
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        reference::backward(inputs, self)
    }

    fn lower(&self, problem: &Problem, caps: &Caps) -> Result<Lowered> {
        kernels::lower(self, problem, caps)
    }
}
