//! Routing attention: each centroid attends among the queries and keys that lie nearest to it (Routing Transformer, Roy et al., arXiv 2003.05997).
//!
//! Every centroid takes as many tokens as every other, so that clusters cost the same; a token may be in several clusters, whose outputs are
//! averaged, or in none, whose output is 0. Rows are read where they lie ([`super::indexed`]).
//!
//! Centroids are state: [`moved_centroids`] gives those of the next step, and [`commitment_loss`] draws tokens to those of this one. No gradient
//! goes through the choice of clusters, and none to centroids.

mod centroids;

use super::Dims;
use super::indexed::{Border, Chunked, HIDDEN_ENTRY, Order, Results, attend_in_chunks};
use crate::graph::{Graph, Value};
use crate::ops::{
    add, broadcast, concat, constant, converted, divide, fill, gather_rows, l2_normalize, maximum, multiply,
    padding, reshape, scatter_add_rows, select, transpose,
};
use crate::tensor::{HostTensor, TensorDesc};
use crate::{Error, ErrorKind, Result};

pub use centroids::{balanced_clusters, commitment_loss, moved_centroids, nearest_centroids};

const NAME: &str = "attention/routing";

/// Below this a row's length is not divided by.
const LEAST_LENGTH: f32 = 1e-12;

/// The score of a token and itself where queries are keys.
const SELF_SCORE: f32 = -5e4;

/// Added to the number of clusters that a token is in.
const BESIDE_COUNT: f32 = 1e-5;

/// Settings of [`routing_attention`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Routing {
    is_causal: bool,
    scale: Option<f32>,
    lengths: Option<Value>,
    memory: Option<[Value; 2]>,
}

impl Routing {
    /// Every query of a cluster sees every key of it; scores scaled by `1 / sqrt(head_size)`.
    pub fn new() -> Self {
        Self::default()
    }

    /// A query sees keys at its own position and before; which of these are in its clusters may hang on later tokens, which compete for seats there
    /// ([`balanced_clusters`]). Where keys are not those of the same tokens, a query may then see none, unless there
    /// are memory keys.
    #[must_use]
    pub fn causal(self) -> Self {
        Self { is_causal: true, ..self }
    }

    /// The factor of `q . k`; `1 / sqrt(head_size)` when not set.
    #[must_use]
    pub fn scale(self, scale: f32) -> Self {
        Self { scale: Some(scale), ..self }
    }

    /// How many keys each batch item really has: `i32 [batch]`. The others are seen by nobody.
    #[must_use]
    pub fn lengths(self, lengths: Value) -> Self {
        Self { lengths: Some(lengths), ..self }
    }

    /// Keys `[heads, clusters, count, head_size]` and values `[heads, clusters, count, value_size]` that belong to the network, which all queries
    /// of a cluster see.
    #[must_use]
    pub fn memory(self, memory: [Value; 2]) -> Self {
        Self { memory: Some(memory), ..self }
    }
}

/// Routing attention of `query: [batch, time, heads, head_size]` over `key`, of the same shape, and `value: [batch, time, heads, value_size]`, f32
/// or f16: `[batch, time, heads, value_size]`.
///
/// `members` are the positions of queries and of keys in each cluster, i32 or u32 `[batch, heads, clusters, window]`, as [`balanced_clusters`]
/// finds them; their windows may differ. One twice in a cluster counts twice there. Without `key`, queries are keys, normalised to length 1, and a token's score with itself is -5e4; then the
/// members of keys are those of queries. Fails when shapes or types do not fit.
pub fn routing_attention(
    graph: &mut Graph,
    query: Value,
    key: Option<Value>,
    value: Value,
    members: [Value; 2],
    spec: &Routing,
) -> Result<Value> {
    let is_shared = key.is_none();
    let key = match key {
        Some(key) => key,
        None => l2_normalize(graph, query, LEAST_LENGTH)?,
    };
    let [q, k, v] = [query, key, value].map(|value| graph.desc(value).cloned());
    let (q, k, v) = (q?, k?, v?);
    let dims = Dims::bind(NAME, [&q, &k, &v], 1)?;
    if q.shape != k.shape {
        return Err(Error::new(ErrorKind::Shape, NAME, "key").expecting(&q.shape).but_found(&k.shape));
    }
    let Dims { batch, query_time: time, heads, head_size, .. } = dims;
    if let Some(lengths) = spec.lengths {
        padding::check_lengths(NAME, graph, lengths, batch)?;
    }
    let windows = [check_members(graph, members[0], &dims)?, check_members(graph, members[1], &dims)?];
    let [[clusters, query_window], [key_clusters, key_window]] = windows;
    if clusters != key_clusters {
        return Err(Error::new(ErrorKind::Shape, NAME, "members of keys")
            .expecting(format!("{clusters} clusters"))
            .but_found(key_clusters));
    }
    let queries = entries(graph, members[0], time, None)?;
    let mut keys = entries(graph, members[1], time, spec.lengths)?;
    let (mut key, mut value, mut memory) = (key, value, 0);
    if let Some(own) = spec.memory {
        memory = check_memory(graph, own, &dims, clusters)?;
        let [own_keys, own_values] = own;
        key = behind(graph, key, own_keys)?;
        value = behind(graph, value, own_values)?;
        let rows = (0..clusters * memory).map(|row| (time + row) as i32).collect();
        let rows = constant(graph, HostTensor::i32([clusters, memory], rows)?)?;
        let rows = broadcast(graph, rows, [batch, heads, clusters, memory])?;
        keys = concat(graph, &[rows, keys], 3)?;
    }
    let key_window = memory + key_window;
    let line = |graph: &mut Graph, entries: Value, window: usize| {
        reshape(graph, entries, [batch, heads, 1, clusters * window])
    };
    let queries = line(graph, queries, query_window)?;
    let keys = line(graph, keys, key_window)?;
    let order = Order { queries, keys: Some(keys), buckets: None, chunks: None };
    let chunked = Chunked {
        rounds: 1,
        chunks: clusters,
        query_chunk: query_window,
        key_chunk: key_window,
        before: 0,
        after: 0,
        border: Border::Stop,
        is_causal: spec.is_causal,
        shown_from: time,
        self_score: is_shared.then_some(SELF_SCORE),
        same_bucket: false,
        is_deduplicated: false,
        results: Results::Slots,
        scale: spec.scale.unwrap_or_else(|| 1.0 / (head_size as f32).sqrt()),
    };
    let attended = attend_in_chunks(graph, [query, key, value], &order, &chunked)?;
    mean_of_clusters(graph, attended.out, queries, &dims)
}

/// `rows: [batch, slots, heads, size]` by position: sums over a position's slots, divided by their number and [`BESIDE_COUNT`], 0 without one.
fn mean_of_clusters(graph: &mut Graph, rows: Value, positions: Value, dims: &Dims) -> Result<Value> {
    let &Dims { batch, query_time: time, heads, .. } = dims;
    let desc = graph.desc(rows)?.clone();
    let slots = desc.shape.dims()[1];
    let outer = [batch, heads, time];
    let positions = reshape(graph, positions, [batch, heads, slots])?;
    let by_head = transpose(graph, rows, &[0, 2, 1, 3])?;
    let sums = scatter_add_rows(graph, by_head, positions, &outer)?;
    let ones = fill(graph, TensorDesc::f32([batch, heads, slots, 1]), 1.0)?;
    let counts = scatter_add_rows(graph, ones, positions, &outer)?;
    let [beside, one] = [BESIDE_COUNT, 1.0].map(|number| fill(graph, TensorDesc::f32([1]), number));
    let (beside, one) = (beside?, one?);
    let counts = add(graph, counts, beside)?;
    // Of a token in no cluster the sum is 0.
    let counts = maximum(graph, counts, one)?;
    let factors = divide(graph, one, counts)?;
    let factors = converted(graph, factors, desc.dtype)?;
    let means = multiply(graph, sums, factors)?;
    transpose(graph, means, &[0, 2, 1, 3])
}

/// Clusters and window of `members`, which must be u32 `[batch, heads, clusters, window]`.
fn check_members(graph: &Graph, members: Value, dims: &Dims) -> Result<[usize; 2]> {
    let desc = graph.desc(members)?;
    match *desc.shape.dims() {
        [batch, heads, clusters, window]
            if desc.dtype.is_integer()
                && [batch, heads] == [dims.batch, dims.heads]
                && clusters * window > 0 =>
        {
            Ok([clusters, window])
        }
        _ => Err(Error::new(ErrorKind::Shape, NAME, "members")
            .expecting(format!("integers [{}, {}, clusters, window]", dims.batch, dims.heads))
            .but_found(desc)),
    }
}

/// Keys and values of each cluster, of which there must be as many.
fn check_memory(graph: &Graph, memory: [Value; 2], dims: &Dims, clusters: usize) -> Result<usize> {
    let [keys, values] = memory.map(|value| graph.desc(value).cloned());
    let (keys, values) = (keys?, values?);
    let count = keys.shape.dims().get(2).copied().unwrap_or(0);
    let wanted = |size| [dims.heads, clusters, count, size];
    for (argument, desc, size) in
        [("memory keys", &keys, dims.head_size), ("memory values", &values, dims.value_size)]
    {
        if count == 0 || desc.shape.dims() != wanted(size) {
            return Err(Error::new(ErrorKind::Shape, NAME, argument)
                .expecting(format!("[{}, {clusters}, count, {size}]", dims.heads))
                .but_found(&desc.shape));
        }
    }
    Ok(count)
}

/// The rows of `memory: [heads, clusters, count, size]` behind those of `x: [batch, time, heads, size]`, cluster by cluster.
fn behind(graph: &mut Graph, x: Value, memory: Value) -> Result<Value> {
    let (of_x, of_memory) = (graph.desc(x)?.clone(), graph.desc(memory)?.clone());
    let &[heads, clusters, count, size] = of_memory.shape.dims() else {
        return Err(Error::new(ErrorKind::Shape, NAME, "memory").expecting("rank 4").but_found(&of_memory));
    };
    let rows = transpose(graph, memory, &[1, 2, 0, 3])?;
    let rows = reshape(graph, rows, [1, clusters * count, heads, size])?;
    let rows = broadcast(graph, rows, [of_x.shape.dims()[0], clusters * count, heads, size])?;
    concat(graph, &[x, rows], 1)
}

/// The entries of the index for `members`: i32 of their shape, hidden behind an item's length, and -1, no token, for a number that is no position.
fn entries(graph: &mut Graph, members: Value, time: usize, lengths: Option<Value>) -> Result<Value> {
    let shape = graph.desc(members)?.shape.clone();
    let table = |beside: i32| HostTensor::i32([1, time], (0..time as i32).map(|at| at + beside).collect());
    let tokens = constant(graph, table(0)?)?;
    let table = match lengths {
        None => reshape(graph, tokens, [time, 1])?,
        Some(lengths) => {
            let is_token = padding::is_token(graph, lengths, time)?;
            let hidden = constant(graph, table(HIDDEN_ENTRY)?)?;
            let entries = select(graph, is_token, tokens, hidden)?;
            reshape(graph, entries, [shape.dims()[0], time, 1])?
        }
    };
    let entries = gather_rows(graph, table, members)?;
    let entries = reshape(graph, entries, shape.clone())?;
    // Of numbers that are no position zeros are gathered, which is one.
    let ones = constant(graph, HostTensor::i32([time, 1], vec![1; time])?)?;
    let ones = match lengths {
        None => ones,
        Some(_) => broadcast(graph, ones, [shape.dims()[0], time, 1])?,
    };
    let is_position = gather_rows(graph, ones, members)?;
    let is_position = reshape(graph, is_position, shape)?;
    let none = constant(graph, HostTensor::i32([1], vec![-1])?)?;
    select(graph, is_position, entries, none)
}
