//! Keys and values that belong to the network and not to a text, and what joins attention over two sets of keys.

use super::{Blocked, Dims, blocked_with_lse};
use crate::graph::{Graph, Value};
use crate::ops::contract::{Contract, extents};
use crate::ops::{add, broadcast, converted, multiply, reshape, sigmoid, subtract, transpose};
use crate::tensor::TensorDesc;
use crate::{Error, ErrorKind, Result};

const NAME: &str = "attention/persistent_memory";
const MERGE: &str = "attention/merge";

/// Softmax attention over persistent keys and values together with those of the text (all-attention, Sukhbaatar et al., arXiv 1907.01470,
/// equations 9 to 11).
///
/// `query: [batch, query_time, heads, head_size]` sees all of `persistent`, keys `[kv_heads, count, head_size]` and values `[kv_heads, count,
/// value_size]`, and of `key` and `value`, as [`blocked`](super::blocked()) takes them, what `spec` shows it. Score modifiers are for keys of the
/// text; scale and softcap are for both. The paper keeps `sqrt(head_size)` times a parameter as keys and `sqrt(count)` times one as values, which the
/// caller does where it is wanted.
///
/// It is attention over each and [`merge`] of the two, so that rules by position hold whatever stands in front of the text. Fails when shapes,
/// types or settings do not fit.
pub fn persistent_memory(
    graph: &mut Graph,
    query: Value,
    key: Value,
    value: Value,
    persistent: [Value; 2],
    spec: &Blocked,
) -> Result<Value> {
    let [q, k, v] = [query, key, value].map(|value| graph.desc(value).cloned());
    let dims = Dims::bind(NAME, [&q?, &k?, &v?], 1)?;
    let mut repeated = persistent;
    let sizes = [("persistent_key", dims.head_size), ("persistent_value", dims.value_size)];
    for (value, (argument, size)) in repeated.iter_mut().zip(sizes) {
        *value = repeat(graph, *value, argument, size, &dims)?;
    }
    let all = Blocked { scale: spec.scale, softcap: spec.softcap, ..Blocked::new() };
    let [of_keys, of_values] = repeated;
    let own = blocked_with_lse(graph, query, of_keys, of_values, &all)?;
    let text = blocked_with_lse(graph, query, key, value, spec)?;
    merge(graph, own, text)
}

/// `[batch, count, heads, size]` of `value: [heads, count, size]`.
fn repeat(
    graph: &mut Graph,
    value: Value,
    argument: &'static str,
    size: usize,
    dims: &Dims,
) -> Result<Value> {
    let desc = graph.desc(value)?.clone();
    let count = match *desc.shape.dims() {
        [heads, count, width] if heads == dims.kv_heads && width == size => count,
        _ => {
            return Err(Error::new(ErrorKind::Shape, NAME, argument)
                .expecting(format!("[{}, count, {size}]", dims.kv_heads))
                .but_found(&desc.shape));
        }
    };
    let by_count = transpose(graph, value, &[1, 0, 2])?;
    broadcast(graph, by_count, [dims.batch, count, dims.kv_heads, size])
}

/// Softmax attention over two sets of keys together, from attention over each: two results and log-sum-exps of
/// [`blocked_with_lse`](super::blocked_with_lse()) for the same queries.
///
/// ```text
/// out = w a + (1 - w) b      w = exp(L_a) / (exp(L_a) + exp(L_b))
/// ```
///
/// A row that sees nothing in either gives 0. Fails when shapes or types of the two differ.
pub fn merge(graph: &mut Graph, (a, lse_a): (Value, Value), (b, lse_b): (Value, Value)) -> Result<Value> {
    let desc = graph.desc(a)?.clone();
    let [batch, time, heads, _] = extents(MERGE, "a", &desc)?;
    let contract = Contract::new(MERGE);
    contract.float("a", &desc)?;
    contract.same("b", graph.desc(b)?, "a", &desc)?;
    let of_lse = TensorDesc::f32([batch, heads, time]);
    for (argument, lse) in [("lse_a", lse_a), ("lse_b", lse_b)] {
        contract.same(argument, graph.desc(lse)?, "log-sum-exps of a", &of_lse)?;
    }
    let ahead = subtract(graph, lse_a, lse_b)?;
    let weight = sigmoid(graph, ahead)?;
    let weight = transpose(graph, weight, &[0, 2, 1])?;
    let weight = reshape(graph, weight, [batch, time, heads, 1])?;
    let weight = converted(graph, weight, desc.dtype)?;
    let apart = subtract(graph, a, b)?;
    let share = multiply(graph, apart, weight)?;
    add(graph, b, share)
}
