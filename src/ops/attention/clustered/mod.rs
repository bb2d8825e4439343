//! Clustered attention: queries of a cluster share the attention of its mean (Vyas, Katharopoulos and Fleuret, arXiv 2007.04825, section 3).
//!
//! With `c(i)` the cluster of query `i` and `m_c` the mean of a cluster's queries,
//!
//! ```text
//! A^c = softmax(scale m_c K^T)                                      out_i = A^c(i) V
//! ```
//!
//! and improved, with `T_c` the keys of the largest weights of a cluster and `w_c` the sum of these weights (equations 10 and 11),
//!
//! ```text
//! out_i = w_c(i) softmax over T_c(i) of (scale q_i . k_j) V  +  sum over all other keys of A^c(i)_j v_j
//! ```
//!
//! Plain attention of clusters stores nothing of the number of keys; the improved one stores `A^c`, clusters by keys. Its softmax over chosen keys
//! is attention among queries and chosen keys in the order of clusters, packed like sequences, so that time is that of the clusters' own pairs.
//! No gradient goes through the choice of clusters and keys; one goes through `w_c` (published code has none there).

mod improved;
mod lloyd;

use super::{Blocked, Dims, blocked};
use crate::graph::{Graph, Value};
use crate::ops::{
    constant, converted, divide, fill, gather_rows, maximum, padding, scatter_add_rows, select, transpose,
};
use crate::tensor::{DType, HostTensor, TensorDesc};
use crate::{Error, ErrorKind, Result};

use improved::Improved;
pub use lloyd::{LloydClusters, lloyd_clusters};

const NAME: &str = "attention/clustered";

/// Settings of [`clustered`].
#[derive(Clone, Copy, Debug)]
pub struct Clustered {
    count: usize,
    scale: Option<f32>,
    lengths: Option<Value>,
    improved: Option<Chosen>,
}

/// The keys of improved attention.
#[derive(Clone, Copy, Debug)]
enum Chosen {
    /// So many of the largest weights.
    Largest(usize),
    Given(Value),
}

impl Clustered {
    /// `count` clusters; scores scaled by `1 / sqrt(head_size)`.
    pub fn new(count: usize) -> Self {
        Self { count, scale: None, lengths: None, improved: None }
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

    /// Improved attention: exact scores for the `top` keys that weigh most for a cluster.
    #[must_use]
    pub fn improved(self, top: usize) -> Self {
        Self { improved: Some(Chosen::Largest(top)), ..self }
    }

    /// Improved attention over keys that are given: i32 or u32 `[batch, heads, count, top]`.
    #[must_use]
    pub fn improved_over(self, keys: Value) -> Self {
        Self { improved: Some(Chosen::Given(keys)), ..self }
    }
}

/// Clustered attention of `query: [batch, query_time, heads, head_size]` over `key: [batch, key_time, kv_heads, head_size]` and `value: [batch,
/// key_time, kv_heads, value_size]`, f32 or f16: `[batch, query_time, heads, value_size]`.
///
/// `clusters: i32 [batch, heads, query_time]` says which cluster a query is of ([`lloyd_clusters`] finds them); one that is of none, with a number
/// below 0 or from the count on, takes part in no mean and gives 0. Clusters may be empty. Fails when shapes or types do not fit, without
/// clusters or with more of them than queries, and when there are fewer keys than `top`.
pub fn clustered(
    graph: &mut Graph,
    query: Value,
    key: Value,
    value: Value,
    clusters: Value,
    spec: &Clustered,
) -> Result<Value> {
    let [q, k, v] = [query, key, value].map(|value| graph.desc(value).cloned());
    let dims = Dims::bind(NAME, [&q?, &k?, &v?], 1)?;
    spec.check(graph, clusters, &dims)?;
    let queries = transpose(graph, query, &[0, 2, 1, 3])?;
    let means = means(graph, queries, clusters, &dims, spec.count)?;
    let gathered = match spec.improved {
        None => {
            let by_time = transpose(graph, means, &[0, 2, 1, 3])?;
            let dtype = graph.desc(query)?.dtype;
            let by_time = converted(graph, by_time, dtype)?;
            let attention = Blocked::with(spec.scale, spec.lengths);
            let of_clusters = blocked(graph, by_time, key, value, &attention)?;
            let of_clusters = transpose(graph, of_clusters, &[0, 2, 1, 3])?;
            gather_rows(graph, of_clusters, clusters)?
        }
        Some(chosen) => {
            let problem = Improved { queries, means, key, value, clusters, dims, spec };
            problem.record(graph, chosen)?
        }
    };
    transpose(graph, gathered, &[0, 2, 1, 3])
}

impl Clustered {
    fn check(&self, graph: &Graph, clusters: Value, dims: &Dims) -> Result<()> {
        check_count(NAME, self.count, dims.query_time)?;
        let desc = graph.desc(clusters)?;
        if desc.dtype != DType::I32 {
            return Err(Error::new(ErrorKind::Dtype, NAME, "clusters")
                .expecting(DType::I32)
                .but_found(desc.dtype));
        }
        let expected = [dims.batch, dims.heads, dims.query_time];
        if desc.shape.dims() != expected {
            return Err(Error::new(ErrorKind::Shape, NAME, "clusters")
                .expecting(crate::Shape::from(expected))
                .but_found(&desc.shape));
        }
        if let Some(lengths) = self.lengths {
            padding::check_lengths(NAME, graph, lengths, dims.batch)?;
        }
        match self.improved {
            Some(Chosen::Largest(top)) if !(1..=dims.key_time).contains(&top) => {
                Err(Error::new(ErrorKind::Argument, NAME, "top")
                    .expecting(format!("1 to the {} keys", dims.key_time))
                    .but_found(top))
            }
            Some(Chosen::Given(keys)) => {
                let desc = graph.desc(keys)?;
                let fits = matches!(desc.shape.dims(), &[batch, heads, count, top]
                    if [batch, heads, count] == [dims.batch, dims.heads, self.count] && top > 0);
                if fits && desc.dtype.is_integer() {
                    return Ok(());
                }
                Err(Error::new(ErrorKind::Shape, NAME, "keys")
                    .expecting(format!("integers [{}, {}, {}, top]", dims.batch, dims.heads, self.count))
                    .but_found(desc))
            }
            _ => Ok(()),
        }
    }
}

fn check_count(op: &'static str, count: usize, queries: usize) -> Result<()> {
    if (1..=queries).contains(&count) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Argument, op, "count")
        .expecting(format!("1 to the {queries} queries"))
        .but_found(count))
}

/// The mean of each cluster's queries, 0 of an empty one: f32 `[batch, heads, count, head_size]` of `[batch, heads, query_time, head_size]`.
/// Neither sums of queries nor their number need fit f16.
fn means(graph: &mut Graph, queries: Value, clusters: Value, dims: &Dims, count: usize) -> Result<Value> {
    let outer = [dims.batch, dims.heads, count];
    let queries = converted(graph, queries, DType::F32)?;
    let sums = scatter_add_rows(graph, queries, clusters, &outer)?;
    let ones = fill(graph, TensorDesc::f32([dims.batch, dims.heads, dims.query_time, 1]), 1.0)?;
    let counts = scatter_add_rows(graph, ones, clusters, &outer)?;
    let one = fill(graph, TensorDesc::f32([1]), 1.0)?;
    let counts = maximum(graph, counts, one)?;
    divide(graph, sums, counts)
}

/// `ids` where `is_token`, which broadcasts to them, is not 0, else `none`.
fn unless_padding(graph: &mut Graph, is_token: Value, ids: Value, none: i32) -> Result<Value> {
    let none = constant(graph, HostTensor::i32([1], vec![none])?)?;
    select(graph, is_token, ids, none)
}
