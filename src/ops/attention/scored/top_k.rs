//! Attention over few keys of each query, which are read by their positions: those of the highest scores (Gupta et al., arXiv 2106.06899;
//! Zhao et al., 1912.11637), or given ones.

use super::{Problem, Scored};
use crate::graph::{Graph, Value};
use crate::ops::attention::{HIDDEN_SCORE, over};
use crate::ops::{
    Matmul, constant, converted, fill, gather_rows, less, less_equal, log_softmax, matmul, max, padding,
    reshape, scale, select, softmax, stop_gradient, subtract, top_k, transpose,
};
use crate::tensor::{DType, HostTensor, TensorDesc};
use crate::{Error, ErrorKind, Result};

const TOP_K: &str = "attention/top_k";
const OVER: &str = over::NAME;

/// What [`top_k_attention`] gives.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TopAttended {
    /// `[batch, query_time, heads, value_size]`
    pub out: Value,
    /// The log-sum-exp of the scores that were kept: f32 `[batch, heads, query_time]`.
    pub lse: Value,
    /// The keys that were kept, the highest score first: u32 `[batch, heads, query_time, k]`. Of a query that sees fewer, the rest is no less
    /// than `key_time`.
    pub keys: Value,
}

/// Softmax attention of each query over the `k` keys of its highest scores, or all that it sees where these are fewer.
///
/// `query: [batch, query_time, heads, head_size]`, `key: [batch, key_time, kv_heads, head_size]` and `value: [batch, key_time, kv_heads,
/// value_size]` are f32 or f16. Of equal scores the key of the lower position is kept. No gradient goes through the choice, so that of all
/// scores no gradient is stored. Fails when shapes, types or settings do not fit, and when `k` is 0 or above the number of keys.
pub fn top_k_attention(
    graph: &mut Graph,
    query: Value,
    key: Value,
    value: Value,
    k: usize,
    spec: &Scored,
) -> Result<TopAttended> {
    let problem = Problem::new(TOP_K, graph, [query, key, value], spec)?;
    let key_time = problem.dims.key_time;
    if !(1..=key_time).contains(&k) {
        return Err(Error::new(ErrorKind::Argument, TOP_K, "k")
            .expecting(format!("1 to the {key_time} keys"))
            .but_found(k));
    }
    let scores = problem.scores(graph)?;
    let scores = stop_gradient(graph, scores)?;
    let highest = top_k(graph, scores, k)?;
    let least = fill(graph, TensorDesc::f32([1]), HIDDEN_SCORE)?;
    // Not by what is shown: a NaN is, and its row is to be none.
    let hidden = less_equal(graph, highest.values, least)?;
    let none = constant(graph, HostTensor::u32([1], vec![u32::MAX])?)?;
    let keys = select(graph, hidden, none, highest.positions)?;
    let (out, lse) = problem.over(graph, keys, k)?;
    Ok(TopAttended { out, lse, keys })
}

/// Softmax attention of each query over the keys at given positions, `keys: [batch, heads, query_time, count]`, i32 or u32; the output
/// `[batch, query_time, heads, value_size]` and the log-sum-exp, f32 `[batch, heads, query_time]`.
///
/// A position that is negative or no less than `key_time` is no key, and one that is there twice counts twice. `scale` is the factor of
/// `q . k`, `1 / sqrt(head_size)` without one. Memory is linear in queries: up to 32 keys of a query are read where they lie; of more, keys and
/// values are gathered, `count` for each. Fails when shapes or types do not fit, and without positions.
pub fn attention_over(
    graph: &mut Graph,
    query: Value,
    key: Value,
    value: Value,
    keys: Value,
    scale: Option<f32>,
) -> Result<(Value, Value)> {
    let problem = Problem::new(OVER, graph, [query, key, value], &Scored { scale, ..Scored::new() })?;
    let desc = graph.desc(keys)?.clone();
    let outer = [problem.dims.batch, problem.dims.heads, problem.dims.query_time];
    match *desc.shape.dims() {
        [batch, heads, time, count] if [batch, heads, time] == outer && count > 0 => {
            if !desc.dtype.is_integer() {
                return Err(Error::new(ErrorKind::Dtype, OVER, "keys")
                    .expecting("i32 or u32")
                    .but_found(desc.dtype));
            }
            problem.over(graph, keys, count)
        }
        _ => Err(Error::new(ErrorKind::Shape, OVER, "keys")
            .expecting(format!("[{}, {}, {}, count]", outer[0], outer[1], outer[2]))
            .but_found(&desc.shape)),
    }
}

impl Problem {
    /// Attention over `keys: [batch, heads, query_time, count]`, and its log-sum-exp.
    fn over(&self, graph: &mut Graph, keys: Value, count: usize) -> Result<(Value, Value)> {
        if count <= over::MOST_KEYS {
            return over::append(graph, self.qkv, keys, self.factor);
        }
        self.over_gathered(graph, keys, count)
    }

    /// [`Self::over`] rows of keys and values that are gathered one behind the other.
    fn over_gathered(&self, graph: &mut Graph, keys: Value, count: usize) -> Result<(Value, Value)> {
        let dims = &self.dims;
        let [query, ..] = self.qkv;
        let [key, value] = self.of_all_heads(graph)?;
        let (outer, time) = ([dims.batch, dims.heads], dims.query_time);
        let rows = dims.batch * dims.heads * time;
        let flat = reshape(graph, keys, [outer[0], outer[1], time * count])?;
        let mut gathered = |rows_of: Value, size: usize| {
            let by_head = transpose(graph, rows_of, &[0, 2, 1, 3])?;
            let gathered = gather_rows(graph, by_head, flat)?;
            reshape(graph, gathered, [rows, count, size])
        };
        let (own_keys, own_values) = (gathered(key, dims.head_size)?, gathered(value, dims.value_size)?);
        let queries = transpose(graph, query, &[0, 2, 1, 3])?;
        let queries = reshape(graph, queries, [rows, 1, dims.head_size])?;
        let [queries, own_keys] = [queries, own_keys].map(|rows| converted(graph, rows, DType::F32));
        let scores = matmul(graph, queries?, own_keys?, &Matmul::new().transpose_b())?;
        let scores = scale(graph, scores, self.factor)?;
        let shown = self.is_key(graph, keys)?;
        let shown = reshape(graph, shown, [rows, 1, count])?;
        let scores = padding::hidden_unless(graph, shown, scores)?;

        let weights = softmax(graph, scores)?;
        let weights = converted(graph, weights, graph.desc(own_values)?.dtype)?;
        // A query without keys has gathered zeros.
        let out = matmul(graph, weights, own_values, &Matmul::new())?;
        let out = reshape(graph, out, [outer[0], outer[1], time, dims.value_size])?;
        let out = transpose(graph, out, &[0, 2, 1, 3])?;

        // ln p = s - lse, also for the largest score.
        let largest = max(graph, scores, &[2])?;
        let logarithms = log_softmax(graph, scores)?;
        let of_largest = max(graph, logarithms, &[2])?;
        let lse = subtract(graph, largest, of_largest)?;
        Ok((out, reshape(graph, lse, [outer[0], outer[1], time])?))
    }

    /// Which of `keys` are positions of keys.
    fn is_key(&self, graph: &mut Graph, keys: Value) -> Result<Value> {
        let time = self.dims.key_time;
        if graph.desc(keys)?.dtype == DType::U32 {
            let end = constant(graph, HostTensor::u32([1], vec![time as u32])?)?;
            return less(graph, keys, end);
        }
        // A row of ones where there is a key, else of zeros.
        let ones = constant(graph, HostTensor::u32([time, 1], vec![1; time])?)?;
        let found = gather_rows(graph, ones, keys)?;
        let shape = graph.desc(keys)?.shape.clone();
        reshape(graph, found, shape)
    }
}
