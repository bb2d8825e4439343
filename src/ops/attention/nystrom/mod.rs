//! Nyström attention: softmax attention through a few landmarks (Xiong et al., arXiv 2102.03902, section 3, algorithm 1).
//!
//! Landmarks are means of segments of queries and of keys. With `s` the scale,
//!
//! ```text
//! F = softmax(s Q K_l^T)     A = softmax(s Q_l K_l^T)     B = softmax(s Q_l K^T)     out = F (Z (B V)),  Z near the inverse of A
//! Z_0 = A^T / (largest column sum of A)
//! Z_(j+1) = Z_j (13 I - A Z_j (15 I - A Z_j (7 I - A Z_j))) / 4
//! ```
//!
//! `B V` and `F (..)` are blocked attention, so that nothing of the size of `F` and `B` is stored: memory is linear in length. The gradient
//! goes through all steps of the iteration and through the column sum, since six steps end some thousandths away from the inverse. Landmarks
//! and the iteration are f32 whatever the storage. There is no causal form.

mod convolution;
mod inverse;
mod landmarks;
mod settings;

use super::{Blocked, Dims, Mask, Score, blocked, factor};
use crate::Result;
use crate::graph::{Graph, Value};
use crate::ops::{
    Heads, Matmul, add, constant, converted, fill, less_equal, matmul, pad, padding, repeat_each, reshape,
    scale, select, slice, softmax,
};
use crate::tensor::{DType, HostTensor, TensorDesc};
use landmarks::Landmarks;
pub use settings::{InverseStart, Nystrom, PaddedLandmarks, Segments};

const NAME: &str = "attention/nystrom";

/// Nyström attention of `query: [batch, time, heads, head_size]` over `key: [batch, time, kv_heads, head_size]` and `value: [batch, time,
/// kv_heads, value_size]`, f32 or f16: `[batch, time, heads, value_size]`.
///
/// With as many landmarks as positions, or as tokens of an item under [`Segments::OfLength`], it is exact attention. Fails when shapes or types do not fit, when there are no landmarks or more of
/// them than positions, and when settings exclude each other.
pub fn nystrom(graph: &mut Graph, query: Value, key: Value, value: Value, spec: &Nystrom) -> Result<Value> {
    let [q, k, v] = [query, key, value].map(|value| graph.desc(value).cloned());
    let dims = Dims::bind(NAME, [&q?, &k?, &v?], 1)?;
    spec.check(graph, &dims)?;
    let is_token =
        spec.lengths.map(|lengths| padding::is_token(graph, lengths, dims.query_time)).transpose()?;
    let mut qkv = [query, key, value];
    if let Some(is_token) = is_token {
        let zeroed: &[usize] = match spec.padded {
            PaddedLandmarks::Dropped => &[2],
            PaddedLandmarks::Zeroed | PaddedLandmarks::Uniform => &[0, 1, 2],
            PaddedLandmarks::Averaged => &[],
        };
        for &place in zeroed {
            qkv[place] = padding::without_padding(graph, qkv[place], is_token)?;
        }
    }
    let mut out = if spec.landmarks == dims.query_time {
        blocked(graph, qkv[0], qkv[1], qkv[2], &Blocked::with(spec.scale, spec.lengths))?
    } else {
        let out = through_landmarks(graph, qkv, &dims, spec)?;
        exact_where_short(graph, out, qkv, &dims, spec)?
    };
    if let Some(kernels) = spec.convolution {
        let convolved = convolution::along_time(graph, qkv[2], kernels)?;
        let convolved = repeat_each(graph, convolved, 2, dims.group())?;
        out = add(graph, out, convolved)?;
    }
    match is_token {
        Some(is_token) if spec.padded == PaddedLandmarks::Dropped => {
            padding::without_padding(graph, out, is_token)
        }
        _ => Ok(out),
    }
}

/// `F (Z (B V))`
fn through_landmarks(graph: &mut Graph, qkv: [Value; 3], dims: &Dims, spec: &Nystrom) -> Result<Value> {
    let parts = dims.query_time.div_ceil(spec.landmarks) * spec.landmarks;
    let in_front = parts - dims.query_time;
    if spec.segments == Segments::FrontPadded && in_front > 0 {
        let mut padded = qkv;
        for value in &mut padded {
            *value = pad(graph, *value, 1, in_front, parts)?;
        }
        let dims = Dims { query_time: parts, key_time: parts, ..*dims };
        let out = through_landmarks(graph, padded, &dims, spec)?;
        return slice(graph, out, 1, in_front..parts);
    }
    let [query, key, value] = qkv;
    let landmarks = Landmarks::new(graph, [query, key], dims, spec)?;
    let gathered = gather(graph, &landmarks, [key, value], dims, spec)?;
    let weights = between(graph, &landmarks, dims, spec)?;
    let inverse = inverse::approximate(graph, weights, spec.iterations, spec.start)?;
    let dtype = graph.desc(value)?.dtype;
    let gathered = converted(graph, gathered, DType::F32)?;
    let heads = Matmul::new().heads(Heads::Outer, Heads::Inner, Heads::Inner);
    let through = matmul(graph, inverse, gathered, &heads)?;
    let through = converted(graph, through, dtype)?;
    let mut attention = Blocked::with(spec.scale, None);
    if let (Some(present), true) = (landmarks.present, drops(spec)) {
        let bias = padding::hiding_bias(graph, present)?;
        let bias = reshape(graph, bias, [dims.batch, 1, 1, spec.landmarks])?;
        attention = attention.score(Score::bias(bias));
    }
    let keys = repeat_each(graph, landmarks.key, 2, dims.group())?;
    blocked(graph, query, keys, through, &attention)
}

/// `out`, but exact attention for items of no more tokens than landmarks, as they have without padding: over so many first keys, in time linear
/// in length.
fn exact_where_short(
    graph: &mut Graph,
    out: Value,
    [query, key, value]: [Value; 3],
    dims: &Dims,
    spec: &Nystrom,
) -> Result<Value> {
    let is_own = (spec.segments, spec.padded) == (Segments::OfLength, PaddedLandmarks::Dropped);
    let Some(lengths) = spec.lengths.filter(|_| is_own) else { return Ok(out) };
    let [key, value] = [key, value].map(|rows| slice(graph, rows, 1, 0..spec.landmarks));
    let exact = blocked(graph, query, key?, value?, &Blocked::with(spec.scale, Some(lengths)))?;
    let most = constant(graph, HostTensor::i32([1], vec![spec.landmarks as i32])?)?;
    let is_short = less_equal(graph, lengths, most)?;
    let is_short = reshape(graph, is_short, [dims.batch, 1, 1, 1])?;
    select(graph, is_short, exact, out)
}

/// Whether queries do not see landmarks without tokens.
fn drops(spec: &Nystrom) -> bool {
    matches!(spec.padded, PaddedLandmarks::Dropped | PaddedLandmarks::Uniform)
}

/// `B V`: `[batch, landmarks, heads, value_size]`.
fn gather(
    graph: &mut Graph,
    landmarks: &Landmarks,
    [key, value]: [Value; 2],
    dims: &Dims,
    spec: &Nystrom,
) -> Result<Value> {
    let mut attention = Blocked::with(spec.scale, spec.lengths);
    let uniform = landmarks.present.filter(|_| spec.padded == PaddedLandmarks::Uniform);
    let Some(present) = uniform else { return blocked(graph, landmarks.query, key, value, &attention) };
    let count = spec.landmarks;
    if let Some(lengths) = spec.lengths {
        // Landmarks without tokens are zeros, to which all keys are alike.
        let places = constant(graph, HostTensor::i32([1, count], (0..count as i32).collect())?)?;
        let none = constant(graph, HostTensor::i32([1], vec![-1])?)?;
        let seeing_all = select(graph, present, none, places)?;
        attention = attention.mask(Mask::lengths(lengths) | Mask::global_queries(seeing_all));
    }
    let gathered = blocked(graph, landmarks.query, key, value, &attention)?;
    let positions = dims.query_time.div_ceil(count) * count;
    if spec.segments != Segments::FrontPaddedMasked || positions == dims.query_time {
        return Ok(gathered);
    }
    // They see the zeros in front, too.
    let diluted = scale(graph, gathered, dims.query_time as f32 / positions as f32)?;
    let present = reshape(graph, present, [dims.batch, count, 1, 1])?;
    select(graph, present, gathered, diluted)
}

/// `A`: f32 `[batch, heads, landmarks, landmarks]`.
fn between(graph: &mut Graph, landmarks: &Landmarks, dims: &Dims, spec: &Nystrom) -> Result<Value> {
    let query = converted(graph, landmarks.query, DType::F32)?;
    let key = converted(graph, landmarks.key, DType::F32)?;
    let key = repeat_each(graph, key, 2, dims.group())?;
    let products = Matmul::new().transpose_b().heads(Heads::Inner, Heads::Inner, Heads::Outer);
    let scores = matmul(graph, query, key, &products)?;
    let mut scores = scale(graph, scores, factor(spec.scale, dims.head_size))?;
    let Some(present) = landmarks.present.filter(|_| drops(spec)) else { return softmax(graph, scores) };
    let as_keys = reshape(graph, present, [dims.batch, 1, 1, spec.landmarks])?;
    let as_queries = reshape(graph, present, [dims.batch, 1, spec.landmarks, 1])?;
    scores = padding::hidden_unless(graph, as_keys, scores)?;
    if spec.padded == PaddedLandmarks::Uniform {
        // A row of equal scores.
        scores = padding::hidden_unless(graph, as_queries, scores)?;
        return softmax(graph, scores);
    }
    let weights = softmax(graph, scores)?;
    let zero = fill(graph, TensorDesc::f32([1]), 0.0)?;
    select(graph, as_queries, weights, zero)
}
