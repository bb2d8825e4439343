//! The backward pass of [`super::blocked()`] (FlashAttention, arXiv 2205.14135, algorithm 4; FlashAttention-2, 2307.08691,
//! algorithm 2), without atomics: queries' gradients are summed by the owner of a query, keys' and values' by that of a key.
//!
//! With upstream gradients `d_out` and `dL`, for query `i` and each key `j` that it sees:
//!
//! ```text
//! P_ij  = exp(s_ij - m_i) / l_i         D_i  = d_out_i . out_i - dL_i
//! dS_ij = P_ij (d_out_i . v_j - D_i)    softcap c: dS_ij (1 - (s_ij / c)^2)
//! dQ_i  = scale sum_j dS_ij k_j         dK_j = scale sum_i dS_ij q_i         dV_j = sum_i P_ij d_out_i
//! ```
//!
//! Scores are computed again, and the forward pass's maximum `m` and sum `l` of each row make them weights, so memory stays linear in length. Key heads sum over the query heads
//! that share them. Rows that see no key, and keys that no row sees, have gradients of exactly 0.

#[cfg(feature = "check")]
pub(super) mod cases;
mod kernels;
mod passes;
mod reference;
mod statistics;

pub(in crate::ops::attention) use kernels::add_splits;

use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::attention::Dims;
use crate::ops::attention::rules::Rule;
use crate::tensor::{Array, DType, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "attention/blocked_backward";

/// What the forward pass made of query, key and value, and the loss's gradients with respect to it: values of a graph, or operands of a step.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops::attention) struct Attended<T> {
    /// `[batch, query_time, heads, value_size]`, of the query's type.
    pub(in crate::ops::attention) out: T,
    /// Maximum and sum of every row: f32 `[batch, heads, query_time, 2]`, as [`super::Forward`] has them.
    pub(in crate::ops::attention) statistics: T,
    /// The gradient of `out`, of its shape and type.
    pub(in crate::ops::attention) d_out: T,
    /// The gradient of the log-sum-exp, f32 `[batch, heads, query_time]`, where the loss depends on it.
    pub(in crate::ops::attention) d_lse: Option<T>,
}

/// What [`append`] gives. Gradients that nobody reads are not computed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Differentiated {
    /// Those of query, key and value, each of its shape and type.
    pub(super) qkv: [Value; 3],
    /// f32 `[batch, heads, query_time, key_time]`: those of all scores, behind softcap.
    pub(super) pairs: Option<Value>,
    /// The gradient of the relative keys.
    pub(super) relative_keys: Option<Value>,
    /// f32 `[batch, query_time, heads, slots]`: for each row of queries, the sums that the gradients of the rule's terms are made of.
    pub(super) query_slots: Option<Value>,
    /// f32 `[batch, key_time, heads, slots]`, likewise.
    pub(super) key_slots: Option<Value>,
}

/// Appends the backward pass of a step with `rule`, whose query may have two vectors a row, and that gave `attended`.
///
/// Scores, weights and sums are f32 whatever the storage.
pub(super) fn append(
    graph: &mut Graph,
    rule: &Rule,
    [query, key, value]: [Value; 3],
    tensors: &[Value],
    attended: &Attended<Value>,
) -> Result<Differentiated> {
    let Attended { out, statistics, d_out, d_lse } = *attended;
    let mut inputs = vec![query, key, value, out, statistics, d_out];
    inputs.extend(d_lse);
    inputs.extend(tensors);
    let op = BlockedBackward { rule: rule.clone(), d_lse: d_lse.is_some() };
    let places = Outputs::of(rule);
    let outputs = graph.push_builtin(op, &inputs)?;
    let output = |place: Option<usize>| place.map(|place| outputs[place]);
    Ok(Differentiated {
        qkv: [outputs[0], outputs[1], outputs[2]],
        pairs: output(places.pairs),
        relative_keys: output(places.relative_keys),
        query_slots: output(places.query_slots),
        key_slots: output(places.key_slots),
    })
}

#[derive(Clone, Debug)]
struct BlockedBackward {
    rule: Rule,
    /// Whether the log-sum-exp has an upstream gradient.
    d_lse: bool,
}

/// Where `d_lse` stands among the inputs, behind query, key, value, out, statistics and d_out.
const D_LSE: usize = 6;

/// Where the outputs stand that only some rules have, behind dq, dk and dv.
#[derive(Clone, Copy, Debug)]
struct Outputs {
    pairs: Option<usize>,
    relative_keys: Option<usize>,
    query_slots: Option<usize>,
    key_slots: Option<usize>,
}

impl Outputs {
    fn of(rule: &Rule) -> Self {
        let mut next = 3;
        let mut place = |has: bool| {
            next += usize::from(has);
            has.then_some(next - 1)
        };
        Self {
            pairs: place(rule.sums_pairs()),
            relative_keys: place(rule.relative_keys().is_some()),
            query_slots: place(rule.query_slots() > 0),
            key_slots: place(rule.key_slots() > 0),
        }
    }
}

impl BlockedBackward {
    /// The inputs before the tensors of the rule.
    fn required(&self) -> usize {
        D_LSE + usize::from(self.d_lse)
    }
}

impl Op for BlockedBackward {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let dims = Dims::bind(NAME, [&inputs[0], &inputs[1], &inputs[2]], self.rule.query_vectors())?;
        let Dims { batch, query_time, key_time, heads, value_size, .. } = dims;
        let out = TensorDesc::new(inputs[0].dtype, [batch, query_time, heads, value_size]);
        let lse = TensorDesc::new(DType::F32, [batch, heads, query_time]);
        let statistics = TensorDesc::new(DType::F32, [batch, heads, query_time, 2]);
        let attended = [("out", &out), ("statistics", &statistics), ("d_out", &out), ("d_lse", &lse)];
        for ((argument, wanted), found) in attended.into_iter().zip(&inputs[3..self.required()]) {
            if found != wanted {
                let kind = if found.dtype == wanted.dtype { ErrorKind::Shape } else { ErrorKind::Dtype };
                return Err(Error::new(kind, NAME, argument)
                    .expecting(format!("{wanted}, as the forward pass has it"))
                    .but_found(found));
            }
        }
        let tensors = &inputs[self.required()..];
        self.rule.check(NAME, &dims, tensors)?;
        let mut outputs = inputs[..3].to_vec();
        outputs.extend(self.rule.sums_pairs().then(|| TensorDesc::f32([batch, heads, query_time, key_time])));
        outputs.extend(self.rule.relative_keys().map(|(keys, ..)| tensors[keys].clone()));
        for (time, slots) in [(query_time, self.rule.query_slots()), (key_time, self.rule.key_slots())] {
            outputs.extend((slots > 0).then(|| TensorDesc::f32([batch, time, heads, slots])));
        }
        Ok(outputs)
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        reference::backward(inputs, self)
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(self, step, caps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::attention::Mask;

    #[test]
    fn what_does_not_belong_to_the_forward_pass_is_refused() {
        let rule = Rule {
            mask: Mask::full(),
            terms: Vec::new(),
            query_start: None,
            scale: 0.25,
            softcap: None,
            tensors: 0,
        };
        let backward = BlockedBackward { rule, d_lse: true };
        let q = TensorDesc::f32([2, 10, 4, 16]);
        let inputs = || {
            let [statistics, lse] = [TensorDesc::f32([2, 4, 10, 2]), TensorDesc::f32([2, 4, 10])];
            [q.clone(), q.clone(), q.clone(), q.clone(), statistics, q.clone(), lse]
        };
        assert_eq!(backward.contract(&inputs()).unwrap(), vec![q.clone(); 3]);
        for (place, argument, found, kind) in [
            (3, "out", TensorDesc::f32([2, 10, 4, 8]), ErrorKind::Shape),
            (4, "statistics", TensorDesc::f32([2, 4, 10]), ErrorKind::Shape),
            (5, "d_out", TensorDesc::f16([2, 10, 4, 16]), ErrorKind::Dtype),
            (6, "d_lse", TensorDesc::f32([2, 10, 4]), ErrorKind::Shape),
        ] {
            let mut inputs = inputs();
            inputs[place] = found;
            let error = backward.contract(&inputs).unwrap_err();
            assert_eq!((error.op(), error.kind(), error.argument()), (NAME, kind, argument), "{error}");
        }
    }
}
