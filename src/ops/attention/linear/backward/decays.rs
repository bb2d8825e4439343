//! The gradients of log decays.
//!
//! With `G` the sum of the log decays up to a time, `q_t` and `e_t` stand in the result with `exp(G_t)`, and `k_t` with `exp(-G_t)` (Yang et al.,
//! arXiv 2312.06635, appendix C), so that
//!
//! ```text
//! dg_t - dg_(t+1) = q_t . dq_t + e_t . de_t - k_t . dk_t
//! ```
//!
//! within each sequence; of decays of each channel, products are not summed over channels. The pair of a query and the key of its own time stands in both
//! `q_t . dq_t` and `k_t . dk_t`, which is why it is left out of these products: it knows no decay, and where others have faded it would leave
//! nothing of them but rounding.
//!
//! What rows gather has no gradient behind the last time, from which differences are summed up. What the state behind the last key is used for has
//! none of queries, and `<S, dS>` of the state that is given before the first time: from there each key's is that of the keys before it, since its own stands in
//! the state undecayed.

use super::super::REQUIRED;
use super::super::rule::{Decay, Rule};
use super::{NAME, erase_output};
use crate::Result;
use crate::graph::{Adjoint, Graph, Value};
use crate::ops::contract::extents;
use crate::ops::padding::zero_behind;
use crate::ops::{CumulativeSum, add, converted, cumulative_sum, multiply, pad, reshape, subtract, sum};
use crate::tensor::DType;

/// Log decays of a step, whose sums stand with `width` numbers for each key head: its channels, or one.
struct Shape {
    batch: usize,
    time: usize,
    kv_heads: usize,
    width: usize,
}

/// The gradient of log decays from `outputs` of a pass: of rows, or, where `is_of_state`, of the state behind the last key.
pub(super) fn d_log_decay(
    rule: &Rule,
    graph: &mut Graph,
    adjoint: &Adjoint,
    outputs: &[Value],
    is_of_state: bool,
) -> Result<Value> {
    let [batch, time, kv_heads, size] = extents(NAME, "key", graph.desc(adjoint.inputs()[1])?)?;
    let width = if rule.decay == Decay::Channels { size } else { 1 };
    let shape = Shape { batch, time, kv_heads, width };
    let input = |place: Option<usize>| place.map(|place| adjoint.inputs()[place]);
    let lengths = input(rule.lengths_at(REQUIRED));
    let steps = erase_output(rule) + usize::from(rule.is_delta);
    let mut of_keys = shape.summed(graph, outputs[steps + 1])?;
    if let Some(erase) = input(rule.erase_at(REQUIRED)) {
        let of_erase = shape.products(graph, erase, outputs[erase_output(rule)])?;
        of_keys = subtract(graph, of_keys, of_erase)?;
    }
    // Keys behind an item's length may hold anything.
    let of_keys = zero_behind(graph, of_keys, lengths)?;
    let within = |spec: CumulativeSum| match input(rule.segments_at(REQUIRED)) {
        Some(ids) => spec.by_ids(ids),
        None => spec,
    };
    let gradient = match is_of_state {
        true => {
            let mut gradient = cumulative_sum(graph, of_keys, 1, &within(CumulativeSum::new().exclusive()))?;
            let given = rule.state_at(REQUIRED).into_iter().chain(rule.normalizer_at(REQUIRED));
            for (part, place) in given.enumerate().filter(|_| time > 0) {
                let products = multiply(graph, adjoint.inputs()[place], outputs[REQUIRED + part])?;
                let of_state = shape.of_state(graph, products)?;
                let at_first = pad(graph, of_state, 1, 0, time)?;
                let of_all = cumulative_sum(graph, at_first, 1, &within(CumulativeSum::new()))?;
                gradient = add(graph, gradient, of_all)?;
            }
            gradient
        }
        false => {
            let of_queries = shape.summed(graph, outputs[steps])?;
            let differences = subtract(graph, of_queries, of_keys)?;
            cumulative_sum(graph, differences, 1, &within(CumulativeSum::new().reverse()))?
        }
    };
    let gradient = zero_behind(graph, gradient, lengths)?;
    match rule.decay {
        Decay::Channels => Ok(gradient),
        _ => reshape(graph, gradient, [batch, time, kv_heads]),
    }
}

impl Shape {
    /// `[batch, time, kv_heads, width]` of the products of values, `[batch, time, heads, channels]`, and their gradients.
    fn products(&self, graph: &mut Graph, value: Value, gradient: Value) -> Result<Value> {
        let [value, gradient] = [value, gradient].map(|value| converted(graph, value, DType::F32));
        let products = multiply(graph, value?, gradient?)?;
        self.summed(graph, products)
    }

    /// Products `[batch, time, heads, channels]` summed over the group, and over channels unless decays are of these.
    fn summed(&self, graph: &mut Graph, products: Value) -> Result<Value> {
        let &Self { batch, time, kv_heads, width } = self;
        let group = graph.desc(products)?.shape.dims()[2..].iter().product::<usize>() / (kv_heads * width);
        let products = reshape(graph, products, [batch, time, kv_heads, group, width])?;
        let sums = sum(graph, products, &[3])?;
        reshape(graph, sums, [batch, time, kv_heads, width])
    }

    /// `[batch, 1, kv_heads, width]` of products of a part of the state.
    fn of_state(&self, graph: &mut Graph, products: Value) -> Result<Value> {
        let &Self { batch, kv_heads, width, .. } = self;
        let each = graph.desc(products)?.shape.elements() / (batch * kv_heads * width);
        let products = reshape(graph, products, [batch, kv_heads, width, each])?;
        let sums = sum(graph, products, &[3])?;
        reshape(graph, sums, [batch, 1, kv_heads, width])
    }
}
