//! Talking-heads attention: heads exchange scores before the softmax and weights after it (Shazeer et al., arXiv 2003.02436, section 4).
//!
//! ```text
//! J_h = scale q_h k_h^T     L_g = sum_h pre[h, g] J_h     W_g = softmax(L_g)     out_u = (sum_g post[g, u] W_g) v_u
//! ```
//!
//! No product of both times need be stored. The scores of head `g` are products of `pre[h, g] q_h` of all heads side by side with the keys of
//! all heads side by side, and what it weighs are the values of all heads side by side: multi-query attention of heads as large as all of
//! them together, whose results are mixed. That computes `heads` times the products of scores stored and mixed, and is possible where
//! heads together have at most [`MAX_HEAD_SIZE`](super::MAX_HEAD_SIZE) channels.

use super::{Blocked, MAX_HEAD_SIZE, Mask, blocked, factor};
use crate::graph::{Graph, Value};
use crate::ops::{
    Heads, Matmul, concat, constant, converted, fill, less_equal, matmul, multiply, padding, reshape, scale,
    select, slice, softmax, sum, transpose,
};
use crate::tensor::{DType, HostTensor, TensorDesc};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "attention/talking_heads";

/// Settings of [`talking_heads`].
#[derive(Clone, Copy, Debug, Default)]
pub struct TalkingHeads {
    is_causal: bool,
    stores_scores: bool,
    scale: Option<f32>,
    lengths: Option<Value>,
}

impl TalkingHeads {
    /// Every query sees every key; scores scaled by `1 / sqrt(head_size)`, and not stored where heads are small enough.
    pub fn new() -> Self {
        Self::default()
    }

    /// A query sees the key opposite it and all before, the last query opposite the last key.
    #[must_use]
    pub fn causal(self) -> Self {
        Self { is_causal: true, ..self }
    }

    /// The factor of `q . k`; `1 / sqrt(head_size)` when not set.
    #[must_use]
    pub fn scale(self, scale: f32) -> Self {
        Self { scale: Some(scale), ..self }
    }

    /// How many keys each batch item really has: `i32 [batch]`.
    #[must_use]
    pub fn lengths(self, lengths: Value) -> Self {
        Self { lengths: Some(lengths), ..self }
    }

    /// Stores scores and weights, `[batch, heads, query_time, key_time]` several times over, whatever the size of heads: fewer products, and
    /// memory of both times.
    #[must_use]
    pub fn storing_scores(self) -> Self {
        Self { stores_scores: true, ..self }
    }
}

/// The extents of one problem: heads of scores, of the softmax, and of values.
struct Extents {
    batch: usize,
    times: [usize; 2],
    scores: usize,
    softmax: usize,
    values: usize,
    head_size: usize,
    value_size: usize,
}

/// Talking-heads attention of `query: [batch, query_time, h_k, head_size]` over `key: [batch, key_time, h_k, head_size]` and `value: [batch,
/// key_time, h_v, value_size]`, f32 or f16, mixed by `pre: [h_k, h]` and `post: [h, h_v]`: `[batch, query_time, h_v, value_size]`.
///
/// Gradients reach all five. Where heads of scores together have more than 256 channels, scores are stored ([`TalkingHeads::storing_scores`]).
/// Fails when shapes or types do not fit.
pub fn talking_heads(
    graph: &mut Graph,
    query: Value,
    key: Value,
    value: Value,
    [pre, post]: [Value; 2],
    spec: &TalkingHeads,
) -> Result<Value> {
    let extents = Extents::new(graph, [query, key, value], [pre, post])?;
    if let Some(lengths) = spec.lengths {
        padding::check_lengths(NAME, graph, lengths, extents.batch)?;
    }
    let factor = factor(spec.scale, extents.head_size);
    if spec.stores_scores || extents.scores * extents.head_size > MAX_HEAD_SIZE {
        return stored(graph, [query, key, value], [pre, post], factor, spec, &extents);
    }
    side_by_side(graph, [query, key, value], [pre, post], factor, spec, &extents)
}

impl Extents {
    fn new(graph: &Graph, qkv: [Value; 3], mixing: [Value; 2]) -> Result<Self> {
        let mut contract =
            crate::ops::contract::Contract::new(NAME).may_be_empty(&["query_time", "key_time"]);
        let [query, key, value] = qkv.map(|value| graph.desc(value).cloned());
        let [pre, post] = mixing.map(|value| graph.desc(value).cloned());
        let (query, key, value, pre, post) = (query?, key?, value?, pre?, post?);
        contract.float("query", &query)?;
        for (argument, desc) in [("key", &key), ("value", &value), ("pre", &pre), ("post", &post)] {
            contract.dtype(argument, desc, query.dtype)?;
        }
        contract.bind("query", &query, &["batch", "query_time", "h_k", "head_size"])?;
        contract.bind("key", &key, &["batch", "key_time", "h_k", "head_size"])?;
        contract.bind("value", &value, &["batch", "key_time", "h_v", "value_size"])?;
        contract.bind("pre", &pre, &["h_k", "h"])?;
        contract.bind("post", &post, &["h", "h_v"])?;
        let [batch, head_size, value_size] =
            ["batch", "head_size", "value_size"].map(|axis| contract.extent(axis));
        let [scores, softmax, values] = ["h_k", "h", "h_v"].map(|axis| contract.extent(axis));
        if value_size > MAX_HEAD_SIZE {
            return Err(Error::new(ErrorKind::Limit, NAME, "value")
                .expecting(format!("value_size of at most {MAX_HEAD_SIZE}"))
                .but_found(value_size));
        }
        let times = ["query_time", "key_time"].map(|axis| contract.extent(axis));
        Ok(Self { batch, times, scores, softmax, values, head_size, value_size })
    }
}

/// Without a product of both times.
fn side_by_side(
    graph: &mut Graph,
    [query, key, value]: [Value; 3],
    [pre, post]: [Value; 2],
    factor: f32,
    spec: &TalkingHeads,
    extents: &Extents,
) -> Result<Value> {
    let &Extents { batch, times: [query_time, key_time], scores, softmax, values, head_size, value_size } =
        extents;
    let by_head = reshape(graph, query, [batch, query_time, 1, scores, head_size])?;
    let factors = transpose(graph, pre, &[1, 0])?;
    let factors = reshape(graph, factors, [softmax, scores, 1])?;
    let queries = multiply(graph, by_head, factors)?;
    let queries = reshape(graph, queries, [batch, query_time, softmax, scores * head_size])?;
    let keys = reshape(graph, key, [batch, key_time, 1, scores * head_size])?;
    let mut attention = Blocked::with(Some(factor), spec.lengths);
    if spec.is_causal {
        attention.mask = attention.mask & Mask::causal();
    }
    // As many heads of values at a time as attention takes as one.
    let together = (MAX_HEAD_SIZE / value_size).min(values);
    let mut outs = Vec::new();
    for first in (0..values).step_by(together) {
        let own = first..values.min(first + together);
        let count = own.len();
        let rows = slice(graph, value, 2, own.clone())?;
        let rows = reshape(graph, rows, [batch, key_time, 1, count * value_size])?;
        let gathered = blocked(graph, queries, keys, rows, &attention)?;
        let gathered = reshape(graph, gathered, [batch, query_time, softmax, count, value_size])?;
        let weights = slice(graph, post, 1, own)?;
        let weights = reshape(graph, weights, [softmax, count, 1])?;
        let weighted = multiply(graph, gathered, weights)?;
        let mixed = sum(graph, weighted, &[2])?;
        outs.push(reshape(graph, mixed, [batch, query_time, count, value_size])?);
    }
    concat(graph, &outs, 2)
}

/// With scores and weights as values of the graph.
fn stored(
    graph: &mut Graph,
    [query, key, value]: [Value; 3],
    [pre, post]: [Value; 2],
    factor: f32,
    spec: &TalkingHeads,
    extents: &Extents,
) -> Result<Value> {
    let &Extents { batch, times: [query_time, key_time], scores: from, softmax: to, values, .. } = extents;
    // Nothing hides what padding may hold: a weight of 0 times NaN is no 0, nor is a hidden score's gradient.
    let [key, value] = padding::tokens_of(NAME, graph, [key, value], spec.lengths)?;
    let dtype = graph.desc(value)?.dtype;
    // Products of f16, and what they are mixed to, may not fit f16 before they are scaled.
    let [query, key, pre] = [query, key, pre].map(|value| converted(graph, value, DType::F32));
    let products = Matmul::new().transpose_b().heads(Heads::Inner, Heads::Inner, Heads::Outer);
    let scores = matmul(graph, query?, key?, &products)?;
    let scores = scale(graph, scores, factor)?;
    let mixing = Matmul::new().transpose_a();
    let scores = reshape(graph, scores, [batch, from, query_time * key_time])?;
    let scores = matmul(graph, pre?, scores, &mixing)?;
    let mut scores = reshape(graph, scores, [batch, to, query_time, key_time])?;
    let shown = shown(graph, spec, extents)?;
    for &shown in &shown {
        scores = padding::hidden_unless(graph, shown, scores)?;
    }
    let mut weights = softmax(graph, scores)?;
    if spec.lengths.is_some() || query_time > key_time {
        // Rows that see nothing.
        let zero = fill(graph, TensorDesc::f32([1]), 0.0)?;
        for &shown in &shown {
            weights = select(graph, shown, weights, zero)?;
        }
    }
    let weights = converted(graph, weights, dtype)?;
    let weights = reshape(graph, weights, [batch, to, query_time * key_time])?;
    let weights = matmul(graph, post, weights, &mixing)?;
    let weights = reshape(graph, weights, [batch, values, query_time, key_time])?;
    matmul(graph, weights, value, &Matmul::new().heads(Heads::Outer, Heads::Inner, Heads::Inner))
}

/// Integers that broadcast to scores and are 0 where a key is hidden.
fn shown(graph: &mut Graph, spec: &TalkingHeads, extents: &Extents) -> Result<Vec<Value>> {
    let &Extents { batch, times: [query_time, key_time], .. } = extents;
    let mut shown = Vec::new();
    if spec.is_causal {
        let keys = (0..key_time).map(|key| (key + query_time) as i32).collect();
        let keys = constant(graph, HostTensor::i32([1, key_time], keys)?)?;
        let queries = (0..query_time).map(|query| (query + key_time) as i32).collect();
        let queries = constant(graph, HostTensor::i32([query_time, 1], queries)?)?;
        shown.push(less_equal(graph, keys, queries)?);
    }
    if let Some(lengths) = spec.lengths {
        let is_token = padding::is_token(graph, lengths, key_time)?;
        shown.push(reshape(graph, is_token, [batch, 1, 1, key_time])?);
    }
    Ok(shown)
}
