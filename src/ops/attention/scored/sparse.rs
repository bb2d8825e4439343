//! Sparsemax or 1.5-entmax in the place of softmax (Correia, Niculae and Martins, arXiv 1909.00015).

use super::{Problem, Scored};
use crate::Result;
use crate::graph::{Graph, Value};
use crate::ops::{Heads, Matmul, converted, entmax15, fill, matmul, select, sparsemax};
use crate::tensor::TensorDesc;

const NAME: &str = "attention/sparse";

/// The function from a query's scores to its attention weights, which are at least 0 and sum to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Simplex {
    /// [`sparsemax`](crate::ops::sparsemax()): few keys weigh anything.
    Sparsemax,
    /// [`entmax15`](crate::ops::entmax15()): more keys than of sparsemax.
    Entmax15,
}

/// What [`sparse_attention`] gives.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SparselyAttended {
    /// `[batch, query_time, heads, value_size]`
    pub out: Value,
    /// f32 `[batch, heads, query_time, key_time]`: the keys whose weight is not 0 are a query's support.
    pub weights: Value,
}

/// Attention of `query: [batch, query_time, heads, head_size]` over `key: [batch, key_time, kv_heads, head_size]` and `value: [batch,
/// key_time, kv_heads, value_size]`, f32 or f16, with weights that are exactly 0 for keys of low scores.
///
/// `weights = simplex(scale q . k)`, `out = weights v`. A query that sees no key gives 0. Fails when shapes, types or settings do not fit.
pub fn sparse_attention(
    graph: &mut Graph,
    query: Value,
    key: Value,
    value: Value,
    simplex: Simplex,
    spec: &Scored,
) -> Result<SparselyAttended> {
    let problem = Problem::new(NAME, graph, [query, key, value], spec)?;
    let scores = problem.scores(graph)?;
    let mut weights = match simplex {
        Simplex::Sparsemax => sparsemax(graph, scores)?,
        Simplex::Entmax15 => entmax15(graph, scores)?,
    };
    if spec.lengths.is_some() || problem.dims.query_time > problem.dims.key_time {
        // Rows that see nothing.
        let zero = fill(graph, TensorDesc::f32([1]), 0.0)?;
        for &shown in &problem.shown {
            weights = select(graph, shown, weights, zero)?;
        }
    }
    let [_, value] = problem.of_all_heads(graph)?;
    let dtype = graph.desc(value)?.dtype;
    let stored = converted(graph, weights, dtype)?;
    let sums = Matmul::new().heads(Heads::Outer, Heads::Inner, Heads::Inner);
    let out = matmul(graph, stored, value, &sums)?;
    Ok(SparselyAttended { out, weights })
}
