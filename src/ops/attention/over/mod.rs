//! Attention of each query over keys at given positions, which are read where they lie.
//!
//! ```text
//! P_j   = exp(s_j - m) / l      dS_j = P_j (d_out . v_j - D)      D = d_out . out - dL
//! dQ    = scale sum_j dS_j k_j      dK = scale sum_i dS_i q_i      dV = sum_i P_i d_out_i
//! ```
//!
//! The gradients of keys and values are sums of rows of queries and of the output's gradients by index: of pairs, numbers are stored and no rows.

#[cfg(feature = "check")]
mod cases;
mod reference;

use super::Dims;
use super::blocked::{Attended, FewKeys, Keys};
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, Operand};
use crate::ops::index::scatter_add_scaled_rows;
use crate::ops::{fill, reshape, slice, sum, transpose};
use crate::tensor::{Array, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

pub(super) const NAME: &str = "attention/over";

/// Keys of a query that a kernel gathers: each is code of its own there.
pub(super) const MOST_KEYS: usize = 32;

const BACKWARD: &str = "attention/over_backward";

/// Inputs: query, key, value, keys. Outputs: out, log-sum-exp, and maximum and sum of each row.
#[derive(Clone, Copy, Debug)]
struct Over {
    scale: f32,
}

/// Inputs: those of [`Over`], out, statistics, d_out, and d_lse where there is one. Outputs: the gradient of the query, and of each pair its weight
/// and `scale` times its score's gradient.
#[derive(Clone, Copy, Debug)]
struct OverBackward {
    scale: f32,
    d_lse: bool,
}

/// Attention of `query`, `key` and `value` over `keys: [batch, heads, query_time, count]`, integers, of which there are [`MOST_KEYS`] at most.
pub(super) fn append(graph: &mut Graph, qkv: [Value; 3], keys: Value, scale: f32) -> Result<(Value, Value)> {
    let [query, key, value] = qkv;
    let outputs = graph.push_builtin(Over { scale }, &[query, key, value, keys])?;
    Ok((outputs[0], outputs[1]))
}

fn problem(inputs: &[TensorDesc], scale: f32) -> FewKeys {
    let keys = &inputs[3];
    let count = keys.shape.dims()[3];
    let dims = Dims::of(&inputs[0], &inputs[1], &inputs[2]);
    FewKeys { keys: Keys::Listed(Operand::Input(3), keys.dtype, count), dims, dtype: inputs[0].dtype, scale }
}

impl Op for Over {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let dims = Dims::bind(NAME, [&inputs[0], &inputs[1], &inputs[2]], 1)?;
        let Dims { batch, query_time, heads, value_size, .. } = dims;
        match *inputs[3].shape.dims() {
            [b, h, t, 1..=MOST_KEYS]
                if [b, h, t] == [batch, heads, query_time] && inputs[3].dtype.is_integer() => {}
            _ => {
                return Err(Error::new(ErrorKind::Shape, NAME, "keys")
                    .expecting(format!("integers [{batch}, {heads}, {query_time}, 1 to {MOST_KEYS}]"))
                    .but_found(&inputs[3]));
            }
        }
        Ok(vec![
            TensorDesc::new(inputs[0].dtype, [batch, query_time, heads, value_size]),
            TensorDesc::f32([batch, heads, query_time]),
            TensorDesc::f32([batch, heads, query_time, 2]),
        ])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        reference::forward(inputs, self.scale)
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        problem(&step.inputs, self.scale).forward(step, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let (inputs, outputs) = (adjoint.inputs(), adjoint.outputs());
        let d_out = match adjoint.upstream(0) {
            Some(d_out) => d_out,
            // Only the log-sum-exp was used.
            None => {
                let desc = graph.desc(outputs[0])?.clone();
                fill(graph, desc, 0.0)?
            }
        };
        let d_lse = adjoint.upstream(1);
        let mut given = inputs.to_vec();
        given.extend([outputs[0], outputs[2], d_out]);
        given.extend(d_lse);
        let found = graph.push_builtin(OverBackward { scale: self.scale, d_lse: d_lse.is_some() }, &given)?;
        let mut gradients = vec![Gradient::Whole(found[0])];
        for (input, rows, number) in [(1, inputs[0], 1), (2, d_out, 0)] {
            gradients.push(match adjoint.wants(input) {
                true => {
                    Gradient::Whole(sums_of_pairs(graph, rows, [inputs[3], found[1]], number, inputs[input])?)
                }
                false => Gradient::None,
            });
        }
        gradients.push(Gradient::None);
        Ok(gradients)
    }
}

/// The sums of `rows: [batch, query_time, heads, size]` by the keys that they see, each times one of its pair's two numbers, for rows like `of`.
fn sums_of_pairs(
    graph: &mut Graph,
    rows: Value,
    [keys, pairs]: [Value; 2],
    number: usize,
    of: Value,
) -> Result<Value> {
    let keys_shape = graph.desc(keys)?.shape.clone();
    let &[batch, heads, ..] = keys_shape.dims() else {
        return Err(Error::new(ErrorKind::Shape, NAME, "keys").expecting("rank 4"));
    };
    let of = graph.desc(of)?.shape.dims().to_vec();
    let [key_time, kv_heads, size] = [of[1], of[2], of[3]];
    let factors = slice(graph, pairs, 4, number..number + 1)?;
    let factors = reshape(graph, factors, keys_shape)?;
    let by_head = transpose(graph, rows, &[0, 2, 1, 3])?;
    let sums = scatter_add_scaled_rows(graph, by_head, [keys, factors], &[batch, heads, key_time])?;
    let mut of_kv_heads = sums;
    if heads > kv_heads {
        let grouped = reshape(graph, sums, [batch, kv_heads, heads / kv_heads, key_time, size])?;
        let summed = sum(graph, grouped, &[2])?;
        of_kv_heads = reshape(graph, summed, [batch, kv_heads, key_time, size])?;
    }
    transpose(graph, of_kv_heads, &[0, 2, 1, 3])
}

impl Op for OverBackward {
    fn name(&self) -> &'static str {
        BACKWARD
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        Over { scale: self.scale }.contract(&inputs[..4])?;
        let pairs = [inputs[3].shape.dims(), &[2]].concat();
        Ok(vec![inputs[0].clone(), TensorDesc::f32(pairs)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        reference::backward(inputs, self.scale)
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let attended = Attended {
            out: Operand::Input(4),
            statistics: Operand::Input(5),
            d_out: Operand::Input(6),
            d_lse: self.d_lse.then_some(Operand::Input(7)),
        };
        problem(&step.inputs, self.scale).backward_of_queries(&attended, step, caps)
    }
}
