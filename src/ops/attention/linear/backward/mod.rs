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
//!
//! By the delta rule, `r_t` stands in the place of `v_t`, and what it subtracts is gathered by `e_t` as by one more query that does not see its
//! own step, of the upstream gradient `-dr_t`:
//!
//! ```text
//! dr_j = R_j^T y_j = dv_j        de_j = -exp(g_j) S_(j-1) dr_j        R_(j-1) = exp(g_j) (R_j - e_j dr_j^T)
//! ```

mod delta;
mod kernels;
mod reference;

use super::rule::{Decay, Rule};
use super::{DENOMINATOR, NORMALIZER, OUT, REQUIRED, SUMS};
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::contract::extents;
use crate::ops::padding::zero_behind;
use crate::ops::{
    CumulativeSum, add, converted, cumulative_sum, fill, multiply, pad, reshape, subtract, sum,
};
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
    // The keys that read the state are the last input; their gradient is the output behind those of the first inputs.
    let erase = rule.erase_at(REQUIRED).map(|place| (place, outputs[outputs.len() - 1]));
    let of_first = &outputs[..outputs.len() - usize::from(rule.is_delta)];
    let gradients = (0..adjoint.inputs().len()).map(|input| match (of_first.get(input), erase) {
        (Some(&gradient), _) if adjoint.wants(input) => Gradient::Whole(gradient),
        (_, Some((place, gradient))) if place == input && adjoint.wants(input) => Gradient::Whole(gradient),
        _ => Gradient::None,
    });
    let mut gradients: Vec<Gradient> = gradients.collect();
    if let Some(decay) = rule.decay_at(REQUIRED) {
        let input = |place: usize| adjoint.inputs()[place];
        let state = (SUMS..SUMS + rule.state_parts())
            .filter_map(|output| Some((adjoint.outputs()[output], adjoint.upstream(output)?)));
        let decays = Decays {
            is_by_channel: rule.decay == Decay::Channels,
            query: (required[0], outputs[0]),
            key: (required[1], outputs[1]),
            erase: erase.map(|(place, gradient)| (input(place), gradient)),
            state: state.collect(),
            ids: rule.segments_at(REQUIRED).map(input),
            lengths: rule.lengths_at(REQUIRED).map(input),
        };
        gradients[decay] = match adjoint.wants(decay) {
            true => Gradient::Whole(d_log_decay(graph, &decays)?),
            false => Gradient::None,
        };
    }
    Ok(gradients)
}

/// What the gradient of log decays is made of: values, each with its gradient.
struct Decays {
    is_by_channel: bool,
    query: (Value, Value),
    key: (Value, Value),
    /// The keys that read the state, of the delta rule.
    erase: Option<(Value, Value)>,
    /// The parts of the state behind the last key that have a gradient.
    state: Vec<(Value, Value)>,
    ids: Option<Value>,
    lengths: Option<Value>,
}

/// `dg_t = sum_(s >= t) (q_s . dq_s + e_s . de_s - k_s . dk_s) + <S, dS>` within each sequence, `S` behind the last key: with `G` the sum of the log
/// decays up to a time, `q_s` and `e_s` stand in the result with `exp(G_s)`, and `k_s` with `exp(-G_s)` (Yang et al., arXiv 2312.06635, appendix
/// C). Of decays of each channel, products are not summed over channels.
fn d_log_decay(graph: &mut Graph, decays: &Decays) -> Result<Value> {
    let [batch, time, kv_heads, size] = extents(NAME, "key", graph.desc(decays.key.0)?)?;
    // Without channels, they count as members of the group.
    let width = if decays.is_by_channel { size } else { 1 };
    let mut products = |(value, gradient): (Value, Value)| -> Result<Value> {
        let [value, gradient] =
            [converted(graph, value, DType::F32)?, converted(graph, gradient, DType::F32)?];
        let products = multiply(graph, value, gradient)?;
        let group = graph.desc(products)?.shape.dims()[2..].iter().product::<usize>() / (kv_heads * width);
        let products = reshape(graph, products, [batch, time, kv_heads, group, width])?;
        let sums = sum(graph, products, &[3])?;
        reshape(graph, sums, [batch, time, kv_heads, width])
    };
    let of_query = products(decays.query)?;
    let mut of_keys = products(decays.key)?;
    if let Some(erase) = decays.erase {
        let of_erase = products(erase)?;
        of_keys = subtract(graph, of_keys, of_erase)?;
    }
    // Keys behind an item's length may hold anything.
    let of_keys = zero_behind(graph, of_keys, decays.lengths)?;
    let mut steps = subtract(graph, of_query, of_keys)?;
    for &(part, gradient) in decays.state.iter().filter(|_| time > 0) {
        let products = multiply(graph, part, gradient)?;
        let shape =
            [batch, kv_heads, width, graph.desc(products)?.shape.elements() / (batch * kv_heads * width)];
        let products = reshape(graph, products, shape)?;
        let products = sum(graph, products, &[3])?;
        let products = reshape(graph, products, [batch, 1, kv_heads, width])?;
        let at_last = pad(graph, products, 1, time - 1, time)?;
        steps = add(graph, steps, at_last)?;
    }
    let spec = CumulativeSum::new().reverse();
    let gradient = cumulative_sum(graph, steps, 1, &decays.ids.map_or(spec, |ids| spec.by_ids(ids)))?;
    let gradient = zero_behind(graph, gradient, decays.lengths)?;
    match decays.is_by_channel {
        true => Ok(gradient),
        false => reshape(graph, gradient, [batch, time, kv_heads]),
    }
}

/// Inputs: query, key, value, `d_out`; with a denominator the output and the denominators; where `has_d_state`, the gradients of the state
/// behind the last key; the rule's tensors. Outputs: the gradients of query, key, value, the state that was given, and, of the delta rule, of
/// the keys that read the state.
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
        outputs.extend(self.rule.is_delta.then(|| inputs[1].clone()));
        Ok(outputs)
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        reference::backward(inputs, self)
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(self, step, caps)
    }
}
