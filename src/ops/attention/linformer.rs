//! Linformer: keys and values are projected along time to a few before softmax attention (Wang et al., arXiv 2006.04768, section 4,
//! equation 7).
//!
//! ```text
//! K' = E K      V' = F V      out = softmax(scale q K'^T) V'
//! ```
//!
//! A query sees all projected keys, each of which is a sum over the whole text: there is no causal form.

use super::{Blocked, Dims, blocked};
use crate::graph::{Graph, Value};
use crate::ops::contract::extents;
use crate::ops::{Heads, Matmul, matmul, padding, reshape, slice, transpose};
use crate::tensor::TensorDesc;
use crate::{Error, ErrorKind, Result};

const NAME: &str = "attention/linformer";

/// Settings of [`linformer`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Linformer {
    scale: Option<f32>,
    lengths: Option<Value>,
}

impl Linformer {
    /// Scores scaled by `1 / sqrt(head_size)`, no padding.
    pub fn new() -> Self {
        Self::default()
    }

    /// The factor of `q . k`; `1 / sqrt(head_size)` when not set.
    #[must_use]
    pub fn scale(self, scale: f32) -> Self {
        Self { scale: Some(scale), ..self }
    }

    /// How many keys each batch item really has: `i32 [batch]`. Keys and values from there on are left out of the projections, whatever they
    /// hold; an item without keys gives 0. Queries are not masked.
    #[must_use]
    pub fn lengths(self, lengths: Value) -> Self {
        Self { lengths: Some(lengths), ..self }
    }
}

/// Linformer's attention of `query: [batch, query_time, heads, head_size]` over `key: [batch, key_time, kv_heads, head_size]` and `value:
/// [batch, key_time, kv_heads, value_size]`, f32 or f16: `[batch, query_time, heads, value_size]`.
///
/// `projections` are `E` of keys and `F` of values, of the same float type: each `[projected, longest]` for all heads, or `[kv_heads, projected,
/// longest]` with one for each. The two may be one value, and several layers may share them: gradients of all uses are summed. Of texts shorter
/// than `longest` the first `key_time` columns are used, as published code does.
///
/// Fails when shapes or types do not fit, and when `key_time` is beyond the columns of a projection.
pub fn linformer(
    graph: &mut Graph,
    query: Value,
    key: Value,
    value: Value,
    projections: [Value; 2],
    spec: &Linformer,
) -> Result<Value> {
    let descs = [query, key, value].map(|value| graph.desc(value).cloned());
    let [q, k, v] = descs;
    let dims = Dims::bind(NAME, [&q?, &k?, &v?], 1)?;
    let counts = [("key_projection", projections[0]), ("value_projection", projections[1])]
        .map(|(argument, projection)| projected(graph, argument, projection, key, &dims));
    let [of_keys, of_values] = counts;
    let (of_keys, of_values) = (of_keys?, of_values?);
    if of_keys != of_values {
        return Err(Error::new(ErrorKind::Shape, NAME, "value_projection")
            .expecting(format!("{of_keys} projected values, as key_projection has keys"))
            .but_found(of_values));
    }
    let mut rows = padding::tokens_of(NAME, graph, [key, value], spec.lengths)?;
    for (rows, projection) in rows.iter_mut().zip(projections) {
        *rows = project(graph, *rows, projection, dims.key_time)?;
    }
    blocked(graph, query, rows[0], rows[1], &Blocked::with(spec.scale, None))
}

/// How many rows `projection` makes, or what it should be.
fn projected(
    graph: &Graph,
    argument: &'static str,
    projection: Value,
    key: Value,
    dims: &Dims,
) -> Result<usize> {
    let (desc, dtype) = (graph.desc(projection)?, graph.desc(key)?.dtype);
    if desc.dtype != dtype {
        return Err(Error::new(ErrorKind::Dtype, NAME, argument).expecting(dtype).but_found(desc.dtype));
    }
    let (count, longest) = match *desc.shape.dims() {
        [count, longest] => (count, longest),
        [heads, count, longest] if heads == dims.kv_heads => (count, longest),
        _ => (0, 0),
    };
    if count == 0 {
        return Err(Error::new(ErrorKind::Shape, NAME, argument)
            .expecting(format!("[projected, longest] or [{}, projected, longest]", dims.kv_heads))
            .but_found(&desc.shape));
    }
    if longest < dims.key_time {
        return Err(Error::new(ErrorKind::Shape, NAME, argument)
            .expecting(format!("at least {} columns, one for each key", dims.key_time))
            .but_found(TensorDesc::new(desc.dtype, desc.shape.clone())));
    }
    Ok(count)
}

/// The first columns of `projection` times `rows: [batch, time, heads, size]`: `[batch, projected, heads, size]`.
fn project(graph: &mut Graph, rows: Value, projection: Value, time: usize) -> Result<Value> {
    let dims = graph.desc(projection)?.shape.dims().to_vec();
    let own = slice(graph, projection, dims.len() - 1, 0..time)?;
    if dims.len() == 2 {
        return matmul(graph, own, rows, &Matmul::new().heads(Heads::Outer, Heads::Inner, Heads::Inner));
    }
    let [batch, _, heads, size] = extents(NAME, "rows", graph.desc(rows)?)?;
    // Heads in front, as the projections have them.
    let by_head = transpose(graph, rows, &[2, 1, 0, 3])?;
    let by_head = reshape(graph, by_head, [heads, time, batch * size])?;
    let by_head = matmul(graph, own, by_head, &Matmul::new())?;
    let by_head = reshape(graph, by_head, [heads, dims[1], batch, size])?;
    transpose(graph, by_head, &[2, 1, 0, 3])
}
