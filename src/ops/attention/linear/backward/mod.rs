//! The backward pass of [`super::linear_attention`]: the forward pass's steps again, with other tensors in the roles of query, key and value.
//!
//! With upstream gradients `d_out`, `dS` and `dz` of the state behind the last key, for query `i` and each key `j` that it sees:
//!
//! ```text
//! n_i  = d_out_i / l_i                  c_i = -(d_out_i . out_i) / l_i       l_i the denominator; without one d_out_i, and 0
//! dx_i = sum_j (n_i . v_j + c_i) y_j                  = S_i n_i + c_i z_i
//! dy_j = sum_i (n_i . v_j + c_i) x_i + dS v_j + dz    = R_j v_j + r_j        R_j = dS + sum_i x_i n_i^T
//! dv_j = sum_i (x_i . y_j) n_i + dS^T y_j             = R_j^T y_j            r_j = dz + sum_i c_i x_i
//! ```
//!
//! `S_i` and `z_i` sum over the keys that query `i` sees, `R_j` and `r_j` over the queries that see key `j`. The gradient of the state that
//! was given is `R` and `r` before the first key. With decays, `R_(j-1) = exp(g_j) R_j` and so on; their gradients need no pass of their own
//! ([`d_log_decay`]). Where the denominator is the least that it may be, `c_i` is 0.

mod kernels;
mod reference;

use super::rule::Rule;
use super::{DENOMINATOR, NORMALIZER, OUT, REQUIRED, SUMS};
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::{CumulativeSum, add, cast, cumulative_sum, fill, multiply, pad, reshape, subtract, sum};
use crate::tensor::{Array, DType, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "attention/linear_backward";

/// Appends the gradients of a step with `rule`.
pub(super) fn append(rule: &Rule, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
    if rule.is_normalised() {
        adjoint.refuse_upstream(super::NAME, DENOMINATOR, "denominator")?;
    }
    let (required, tensors) = adjoint.inputs().split_at(REQUIRED);
    let out = adjoint.outputs()[OUT];
    let d_out = match adjoint.upstream(OUT) {
        Some(d_out) => d_out,
        // Only the state was used.
        None => {
            let desc = graph.desc(out)?.clone();
            fill(graph, desc, 0.0)?
        }
    };
    let mut inputs = required.to_vec();
    inputs.push(d_out);
    if rule.is_normalised() {
        inputs.extend([out, adjoint.outputs()[DENOMINATOR]]);
    }
    let d_state: Vec<Option<Value>> =
        (SUMS..SUMS + rule.state_parts()).map(|output| adjoint.upstream(output)).collect();
    let has_d_state = d_state.iter().any(Option::is_some);
    if has_d_state {
        for (part, gradient) in d_state.into_iter().enumerate() {
            inputs.push(match gradient {
                Some(gradient) => gradient,
                None => {
                    let desc = graph.desc(adjoint.outputs()[SUMS + part])?.clone();
                    fill(graph, desc, 0.0)?
                }
            });
        }
    }
    inputs.extend(tensors);
    let outputs = graph.push_builtin(LinearBackward { rule: *rule, has_d_state }, &inputs)?;
    // Lengths and segments, which follow the state, have none.
    let gradients = (0..adjoint.inputs().len()).map(|input| match outputs.get(input) {
        Some(&gradient) if adjoint.wants(input) => Gradient::Whole(gradient),
        _ => Gradient::None,
    });
    let mut gradients: Vec<Gradient> = gradients.collect();
    if let Some(decay) = rule.decay_at(REQUIRED).filter(|&decay| adjoint.wants(decay)) {
        let products = [(required[0], outputs[0]), (required[1], outputs[1])];
        let last = adjoint.upstream(SUMS).map(|gradient| (adjoint.outputs()[SUMS], gradient));
        let ids = rule.segments_at(REQUIRED).map(|place| adjoint.inputs()[place]);
        gradients[decay] = Gradient::Whole(d_log_decay(graph, products, last, ids)?);
    }
    Ok(gradients)
}

/// `dg_t = sum_(s >= t) (q_s . dq_s - k_s . dk_s) + <S, dS>` within each sequence, `S` behind the last key: with `G` the sum of the log decays
/// up to a time, `q_s` stands in the result with `exp(G_s)`, and `k_s` with `exp(-G_s)` (Yang et al., arXiv 2312.06635, appendix C).
fn d_log_decay(
    graph: &mut Graph,
    [query, key]: [(Value, Value); 2],
    last: Option<(Value, Value)>,
    ids: Option<Value>,
) -> Result<Value> {
    let of_key = graph.desc(key.0)?.clone();
    let &[batch, time, kv_heads, _] = of_key.shape.dims() else { return Ok(key.1) };
    // Of each row, then of each key head's group.
    let mut by_head = |(value, gradient): (Value, Value)| -> Result<Value> {
        let [value, gradient] = [widened(graph, value)?, widened(graph, gradient)?];
        let products = multiply(graph, value, gradient)?;
        let width = graph.desc(products)?.shape.dims()[2..].iter().product::<usize>() / kv_heads;
        let products = reshape(graph, products, [batch, time, kv_heads, width])?;
        let sums = sum(graph, products, &[3])?;
        reshape(graph, sums, [batch, time, kv_heads])
    };
    let (of_query, of_key) = (by_head(query)?, by_head(key)?);
    let mut steps = subtract(graph, of_query, of_key)?;
    if let Some((sums, gradient)) = last.filter(|_| time > 0) {
        let products = multiply(graph, sums, gradient)?;
        let products = sum(graph, products, &[2, 3])?;
        let products = reshape(graph, products, [batch, 1, kv_heads])?;
        let at_last = pad(graph, products, 1, time - 1, time)?;
        steps = add(graph, steps, at_last)?;
    }
    let spec = CumulativeSum::new().reverse();
    cumulative_sum(graph, steps, 1, &ids.map_or(spec, |ids| spec.by_ids(ids)))
}

fn widened(graph: &mut Graph, value: Value) -> Result<Value> {
    match graph.desc(value)?.dtype {
        DType::F32 => Ok(value),
        _ => cast(graph, value, DType::F32),
    }
}

/// Inputs: query, key, value, `d_out`; with a denominator the output and the denominators; where `has_d_state`, the gradients of the state
/// behind the last key; the rule's tensors. Outputs: the gradients of query, key, value and the state that was given.
#[derive(Clone, Copy, Debug)]
struct LinearBackward {
    rule: Rule,
    has_d_state: bool,
}

const D_OUT: usize = 3;
const FORWARD_OUT: usize = 4;
const FORWARD_DENOMINATOR: usize = 5;

const _: () = assert!(SUMS + 1 == NORMALIZER);

impl LinearBackward {
    /// Where the gradients of the state behind the last key stand: of sums, then of the normalizer.
    fn d_state_at(&self) -> usize {
        D_OUT + 1 + if self.rule.is_normalised() { 2 } else { 0 }
    }

    /// The inputs before the rule's tensors.
    fn required(&self) -> usize {
        self.d_state_at() + if self.has_d_state { self.rule.state_parts() } else { 0 }
    }
}

impl Op for LinearBackward {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let dims = self.rule.check(NAME, inputs, self.required())?;
        let out =
            TensorDesc::new(inputs[0].dtype, [dims.batch, dims.query_time, dims.heads, dims.value_size]);
        let denominator = TensorDesc::f32([dims.batch, dims.query_time, dims.heads]);
        let mut wanted = vec![("d_out", out.clone())];
        if self.rule.is_normalised() {
            wanted.extend([("out", out), ("denominator", denominator)]);
        }
        if self.has_d_state {
            wanted.extend(["d_sums", "d_normalizer"].into_iter().zip(self.rule.state_descs(&dims)));
        }
        for ((argument, wanted), found) in wanted.into_iter().zip(&inputs[D_OUT..]) {
            if *found != wanted {
                let kind = if found.dtype == wanted.dtype { ErrorKind::Shape } else { ErrorKind::Dtype };
                return Err(Error::new(kind, NAME, argument)
                    .expecting(format!("{wanted}, as the forward pass has it"))
                    .but_found(found));
            }
        }
        let mut outputs = inputs[..REQUIRED].to_vec();
        if self.rule.has_state {
            outputs.extend(self.rule.state_descs(&dims));
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
