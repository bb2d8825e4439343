//! Improved attention of clusters: exact scores for the keys that weigh most for a cluster.

use super::{Chosen, Clustered, NAME};
use crate::Result;
use crate::graph::{Graph, Value};
use crate::ops::attention::{Blocked, Dims, HIDDEN_SCORE, Score, blocked, factor};
use crate::ops::{
    Heads, Matmul, Order, Sorted, add, argsort, concat, constant, converted, fill, gather_rows, greater,
    matmul, multiply, padding, repeat_each, reshape, scale, slice, softmax, sort, stop_gradient, subtract,
    sum, top_k, transpose,
};
use crate::tensor::{DType, HostTensor, TensorDesc};
/// Improved attention. Heads come before time in queries and means, which are f32.
pub(super) struct Improved<'s> {
    pub(super) queries: Value,
    pub(super) means: Value,
    pub(super) key: Value,
    pub(super) value: Value,
    pub(super) clusters: Value,
    pub(super) dims: Dims,
    pub(super) spec: &'s Clustered,
}

impl Improved<'_> {
    /// `[batch, heads, query_time, value_size]`
    pub(super) fn record(&self, graph: &mut Graph, chosen: Chosen) -> Result<Value> {
        let Dims { batch, heads, key_time, .. } = self.dims;
        let count = self.spec.count;
        // Nothing hides what padding may hold: a weight of 0 times NaN is no 0, nor is a hidden score's gradient, and padding is among the chosen
        // keys of an item with fewer keys than `top`.
        let rows = padding::tokens_of(NAME, graph, [self.key, self.value], self.spec.lengths)?;
        let [keys, values] = rows.map(|rows| {
            let rows = repeat_each(graph, rows, 2, self.dims.group())?;
            transpose(graph, rows, &[0, 2, 1, 3])
        });
        let (keys, values) = (keys?, values?);
        let scores = self.scores(graph, keys)?;
        let weights = softmax(graph, scores)?;
        let places = match chosen {
            Chosen::Largest(top) => top_k(graph, scores, top)?.positions,
            Chosen::Given(places) => places,
        };
        let places = stop_gradient(graph, places)?;
        let top = graph.desc(places)?.shape.dims()[3];
        // Along keys, one number a row.
        let of_chosen = |graph: &mut Graph, x: Value| {
            let rows = reshape(graph, x, [batch, heads, count, key_time, 1])?;
            gather_rows(graph, rows, places)
        };
        let own = of_chosen(graph, weights)?;
        let scores = of_chosen(graph, scores)?;
        let least = fill(graph, TensorDesc::f32([1]), HIDDEN_SCORE)?;
        let shown = greater(graph, scores, least)?;
        let flat = reshape(graph, places, [batch, heads, count * top])?;
        let [chosen_keys, chosen_values] = [keys, values].map(|rows| gather_rows(graph, rows, flat));
        let (chosen_keys, chosen_values) = (chosen_keys?, chosen_values?);

        let dtype = graph.desc(values)?.dtype;
        let weights = converted(graph, weights, dtype)?;
        let of_all = matmul(graph, weights, values, &Matmul::new())?;
        let beside = reshape(graph, chosen_values, [batch, heads, count, top, self.dims.value_size])?;
        let of_each = converted(graph, own, dtype)?;
        let beside = multiply(graph, beside, of_each)?;
        let of_chosen = sum(graph, beside, &[3])?;
        let of_chosen = reshape(graph, of_chosen, [batch, heads, count, self.dims.value_size])?;
        let others = subtract(graph, of_all, of_chosen)?;
        let others = gather_rows(graph, others, self.clusters)?;
        let share = sum(graph, own, &[3])?;
        let share = reshape(graph, share, [batch, heads, count, 1])?;
        let share = converted(graph, share, dtype)?;
        let share = gather_rows(graph, share, self.clusters)?;
        let exact = self.among_chosen(graph, [chosen_keys, chosen_values], shown, top)?;
        let exact = multiply(graph, exact, share)?;
        add(graph, exact, others)
    }

    /// Scores of the means: f32 `[batch, heads, count, key_time]`, hidden ones far below.
    fn scores(&self, graph: &mut Graph, keys: Value) -> Result<Value> {
        let products = Matmul::new().transpose_b().heads(Heads::Outer, Heads::Outer, Heads::Outer);
        // Products of f16 may not fit f16 before they are scaled.
        let keys = converted(graph, keys, DType::F32)?;
        let scores = matmul(graph, self.means, keys, &products)?;
        let scores = scale(graph, scores, factor(self.spec.scale, self.dims.head_size))?;
        let Some(lengths) = self.spec.lengths else { return Ok(scores) };
        let is_token = padding::is_token(graph, lengths, self.dims.key_time)?;
        let is_token = reshape(graph, is_token, [self.dims.batch, 1, 1, self.dims.key_time])?;
        padding::hidden_unless(graph, is_token, scores)
    }

    /// Attention of each query over its cluster's chosen keys, `[batch, heads, count * top, size]`, of which only those `shown` are keys.
    ///
    /// Each head of an item is a row of queries and chosen keys together, in the order of their clusters, which are its packed sequences. A
    /// query's place holds no key, and a key's no query.
    fn among_chosen(
        &self,
        graph: &mut Graph,
        [keys, values]: [Value; 2],
        shown: Value,
        top: usize,
    ) -> Result<Value> {
        let Dims { batch, heads, query_time, head_size, value_size, .. } = self.dims;
        let (rows, chosen) = (batch * heads, self.spec.count * top);
        let dtype = graph.desc(keys)?.dtype;
        let time = query_time + chosen;
        let ids = (0..rows * chosen).map(|at| (at % chosen / top) as i32).collect();
        let ids = constant(graph, HostTensor::i32([rows, chosen], ids)?)?;
        let own = reshape(graph, self.clusters, [rows, query_time])?;
        let ids = concat(graph, &[own, ids], 1)?;
        let Sorted { values: ids, positions } = sort(graph, ids, Order::Ascending)?;
        let mut packed = |first: Option<Value>, second: Option<Value>, size: usize| -> Result<Value> {
            let mut part = |value: Option<Value>, count| match value {
                Some(value) => reshape(graph, value, [rows, count, size]),
                None => fill(graph, TensorDesc::new(dtype, [rows, count, size]), 0.0),
            };
            let both = [part(first, query_time)?, part(second, chosen)?];
            let both = concat(graph, &both, 1)?;
            let sorted = gather_rows(graph, both, positions)?;
            reshape(graph, sorted, [rows, time, 1, size])
        };
        let query = packed(Some(self.queries), None, head_size)?;
        let key = packed(None, Some(keys), head_size)?;
        let value = packed(None, Some(values), value_size)?;
        let bias = padding::hiding_bias(graph, shown)?;
        let bias = reshape(graph, bias, [rows, chosen, 1])?;
        let hidden = fill(graph, TensorDesc::f32([rows, query_time, 1]), 2.0 * HIDDEN_SCORE)?;
        let bias = concat(graph, &[hidden, bias], 1)?;
        let bias = gather_rows(graph, bias, positions)?;
        let bias = reshape(graph, bias, [rows, 1, 1, time])?;
        let factor = factor(self.spec.scale, head_size);
        let attention = Blocked::new().scale(factor).segments(ids).score(Score::bias(bias));
        let gathered = blocked(graph, query, key, value, &attention)?;
        let gathered = reshape(graph, gathered, [rows, time, value_size])?;
        let back = argsort(graph, positions, Order::Ascending)?;
        let back = slice(graph, back, 1, 0..query_time)?;
        let gathered = gather_rows(graph, gathered, back)?;
        reshape(graph, gathered, [batch, heads, query_time, value_size])
    }
}
