//! How much heads agree, as losses that make them differ (Li et al., arXiv 1810.10183, section 3.2).
//!
//! | loss | mean over rows of |
//! |---|---|
//! | subspaces: [`head_similarity`] of values | `1/H^2 sum_(h,g) cos(v_h, v_g)` |
//! | outputs: [`head_similarity`] of what heads gather | `1/H^2 sum_(h,g) cos(o_h, o_g)` |
//! | positions: [`position_similarity`] of queries and keys | `1/H^2 sum_(h,g) sum_s A_h[s] A_g[s]` |
//!
//! Each is the negative of the paper's measure, which is maximised: it is added to a loss. Pairs of a head with itself are among them. The
//! authors' code takes cosines token by token, too, and adds 1 to each.

use super::{Blocked, Dims, MAX_HEAD_SIZE, Mask, blocked_with_lse, factor};
use crate::graph::{Graph, Value};
use crate::ops::contract::extents;
use crate::ops::{
    cast, clamp, constant, converted, divide, exp, fill, gather_rows, l2_normalize, maximum, multiply,
    padding, repeat_each, reshape, scale, square, subtract, sum, transpose,
};
use crate::tensor::{DType, HostTensor, TensorDesc};
use crate::{Error, ErrorKind, Result};

const SIMILARITY: &str = "attention/head_similarity";
const POSITIONS: &str = "attention/position_similarity";

/// Of vectors shorter than this, no direction is taken.
const SHORTEST: f32 = 1e-12;

/// The mean over all rows of the cosines between all pairs of heads of `x: [batch, time, heads, size]`, f32 or f16: f32 `[1]`, from 0 to 1
/// where heads of opposite directions are rare. With `lengths: i32 [batch]`, the mean is over tokens.
///
/// The sum of the cosines is the square of the sum of the heads' directions, so that nothing is made for pairs. Fails when shapes or types do not
/// fit.
pub fn head_similarity(graph: &mut Graph, x: Value, lengths: Option<Value>) -> Result<Value> {
    let desc = graph.desc(x)?.clone();
    let &[batch, time, heads, _] = desc.shape.dims() else {
        return Err(Error::new(ErrorKind::Shape, SIMILARITY, "x")
            .expecting("rank 4, [batch, time, heads, size]")
            .but_found(&desc.shape));
    };
    let x = converted(graph, x, DType::F32)?;
    let directions = l2_normalize(graph, x, SHORTEST)?;
    let together = sum(graph, directions, &[2])?;
    let squares = square(graph, together)?;
    let of_pairs = sum(graph, squares, &[3])?;
    let rows = reshape(graph, of_pairs, [batch, time])?;
    let rows = scale(graph, rows, 1.0 / (heads * heads) as f32)?;
    mean_of_tokens(graph, SIMILARITY, rows, lengths)
}

/// The mean over all queries of the products of attention weights between all pairs of heads, of `query: [batch, time, heads, head_size]` over
/// `key: [batch, time, kv_heads, head_size]`, f32 or f16: f32 `[1]`, from 1 over the number of keys to 1.
///
/// `scale` is the factor of `q . k`, `1 / sqrt(head_size)` when absent. With `lengths: i32 [batch]`, keys behind them are hidden and the mean
/// is over tokens.
///
/// Weights are not stored: `sum_s A_h[s] A_g[s] = exp(L_hg - L_h - L_g)`, where `L_h` is the log-sum-exp of a head's scores and `L_hg` that of the sum
/// of two heads' scores, which is the product of their vectors side by side. This takes `heads (heads + 1) / 2` attention steps' scores, and heads
/// of at most 128 channels. Fails when shapes or types do not fit.
pub fn position_similarity(
    graph: &mut Graph,
    query: Value,
    key: Value,
    is_causal: bool,
    scale: Option<f32>,
    lengths: Option<Value>,
) -> Result<Value> {
    let [q, k] = [query, key].map(|value| graph.desc(value).cloned());
    let (q, k) = (q?, k?);
    let dims = Dims::bind(POSITIONS, [&q, &k, &k], 1)?;
    if 2 * dims.head_size > MAX_HEAD_SIZE {
        return Err(Error::new(ErrorKind::Limit, POSITIONS, "query")
            .expecting(format!("head_size of at most {}", MAX_HEAD_SIZE / 2))
            .but_found(dims.head_size));
    }
    let key = repeat_each(graph, key, 2, dims.group())?;
    let mask = if is_causal { Mask::causal() } else { Mask::full() };
    let mask = lengths.map_or(mask.clone(), |lengths| mask & Mask::lengths(lengths));
    let attention = Blocked::new().scale(factor(scale, dims.head_size)).mask(mask);
    let pairs: Vec<[usize; 2]> = (0..dims.heads).flat_map(|h| (h..dims.heads).map(move |g| [h, g])).collect();
    let of_heads = log_sums(graph, [query, key], &attention)?;
    let [queries, keys] = [query, key].map(|rows| side_by_side(graph, rows, &pairs));
    let of_pairs = log_sums(graph, [queries?, keys?], &attention)?;
    let mut difference = of_pairs;
    for member in [0, 1] {
        let own = of_members(graph, of_heads, &pairs, member)?;
        difference = subtract(graph, difference, own)?;
    }
    // At most 0 but for rounding, except in rows that see nothing.
    let difference = clamp(graph, difference, -1e4, 0.5)?;
    let products = exp(graph, difference)?;
    let square = (dims.heads * dims.heads) as f32;
    let weights = pairs.iter().map(|[h, g]| if h == g { 1.0 } else { 2.0 } / square).collect();
    let weights = constant(graph, HostTensor::f32([pairs.len(), 1], weights)?)?;
    let weighted = multiply(graph, products, weights)?;
    let rows = sum(graph, weighted, &[1])?;
    let rows = reshape(graph, rows, [dims.batch, dims.query_time])?;
    mean_of_tokens(graph, POSITIONS, rows, lengths)
}

/// The log-sum-exp of every row of scores: f32 `[batch, heads, time]`.
fn log_sums(graph: &mut Graph, [query, key]: [Value; 2], attention: &Blocked) -> Result<Value> {
    let of_key = graph.desc(key)?.clone();
    let mut dims = of_key.shape.dims().to_vec();
    dims[3] = 1;
    let nothing = fill(graph, TensorDesc::new(of_key.dtype, dims), 0.0)?;
    Ok(blocked_with_lse(graph, query, key, nothing, attention)?.1)
}

/// `[batch, time, pairs, 2 size]`: the vectors of both heads of each pair.
fn side_by_side(graph: &mut Graph, rows: Value, pairs: &[[usize; 2]]) -> Result<Value> {
    let [batch, time, heads, size] = extents(POSITIONS, "query", graph.desc(rows)?)?;
    let by_head = transpose(graph, rows, &[2, 0, 1, 3])?;
    let by_head = reshape(graph, by_head, [heads, batch * time * size])?;
    let members = pairs.iter().flatten().map(|&head| head as i32).collect();
    let members = constant(graph, HostTensor::i32([pairs.len(), 2], members)?)?;
    let both = gather_rows(graph, by_head, members)?;
    let both = reshape(graph, both, [pairs.len(), 2, batch, time, size])?;
    let both = transpose(graph, both, &[2, 3, 0, 1, 4])?;
    reshape(graph, both, [batch, time, pairs.len(), 2 * size])
}

/// `[batch, pairs, time]` of `of_heads: [batch, heads, time]`: that of the first or the second head of each pair.
fn of_members(graph: &mut Graph, of_heads: Value, pairs: &[[usize; 2]], member: usize) -> Result<Value> {
    let batch = graph.desc(of_heads)?.shape.dims()[0];
    let members = (0..batch).flat_map(|_| pairs.iter().map(|pair| pair[member] as i32)).collect();
    let members = constant(graph, HostTensor::i32([batch, pairs.len()], members)?)?;
    gather_rows(graph, of_heads, members)
}

/// The mean of `rows: [batch, time]` over tokens: `[1]`.
fn mean_of_tokens(graph: &mut Graph, op: &'static str, rows: Value, lengths: Option<Value>) -> Result<Value> {
    let [batch, time] = extents(op, "rows", graph.desc(rows)?)?;
    let Some(lengths) = lengths else {
        let total = sum(graph, rows, &[0, 1])?;
        let mean = scale(graph, total, 1.0 / (batch * time).max(1) as f32)?;
        return reshape(graph, mean, [1]);
    };
    padding::check_lengths(op, graph, lengths, batch)?;
    let is_token = padding::is_token(graph, lengths, time)?;
    let kept = padding::without_padding(graph, rows, is_token)?;
    let total = sum(graph, kept, &[0, 1])?;
    let ones = cast(graph, is_token, DType::F32)?;
    let count = sum(graph, ones, &[0, 1])?;
    let one = fill(graph, TensorDesc::f32([1]), 1.0)?;
    let count = maximum(graph, count, one)?;
    let mean = divide(graph, total, count)?;
    reshape(graph, mean, [1])
}
