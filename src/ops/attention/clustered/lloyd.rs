//! Clusters of queries, found on the device: Lloyd's iteration on bits of hashes (Vyas, Katharopoulos and Fleuret, arXiv 2007.04825, section
//! 3.2.1, and the authors' code, `fast_transformers.clustering.hamming`).

use super::{check_count, unless_padding};
use crate::graph::{Graph, Value};
use crate::ops::contract::extents;
use crate::ops::index::part_of;
use crate::ops::{
    Linear, Matmul, Pool, argmax, cast, constant, converted, even_segments, fill, gather_rows, greater,
    greater_equal, linear, matmul, padding, pool, repeat_each, reshape, scale, scatter_add_rows, select,
    stop_gradient, subtract, transpose,
};
use crate::random::Random;
use crate::tensor::{DType, HostTensor, TensorDesc};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "attention/lloyd_clusters";

/// Settings of [`lloyd_clusters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LloydClusters {
    /// How many clusters there are.
    pub count: usize,
    /// Bits of a hash; the authors have 63 for language and 31 for speech.
    pub bits: usize,
    /// Steps of the iteration; the authors have 10.
    pub iterations: usize,
    /// The seed of the random planes that hashes are made with.
    pub seed: u64,
}

impl LloydClusters {
    /// `count` clusters, hashes of 63 bits, 10 steps.
    pub fn new(count: usize) -> Self {
        Self { count, bits: 63, iterations: 10, seed: 0 }
    }
}

/// The cluster of each query of `query: [batch, time, heads, size]`, for each item and head by itself: i32 `[batch, heads, time]`, as
/// [`clustered`](super::clustered) takes it.
///
/// A bit of a query's hash says on which side of a plane through the origin it lies. A query is of the cluster whose center its hash shares most
/// bits with, the first of several; a center has the bits that most of its queries have, 1 where they are as many, and stays where it has no
/// queries. Centers begin as those of equal parts of each sequence. With `lengths: i32 [batch]`, padding is of cluster `count`, which is none,
/// and changes nothing.
///
/// No gradient passes. Fails when shapes or types do not fit, without clusters, bits or steps, and with more clusters than queries.
pub fn lloyd_clusters(
    graph: &mut Graph,
    query: Value,
    lengths: Option<Value>,
    spec: &LloydClusters,
) -> Result<Value> {
    let [batch, time, heads, size] = extents(NAME, "query", graph.desc(query)?)?;
    check_count(NAME, spec.count, time)?;
    for (argument, number) in [("bits", spec.bits), ("iterations", spec.iterations)] {
        if number == 0 {
            return Err(Error::new(ErrorKind::Argument, NAME, argument).expecting("at least 1").but_found(0));
        }
    }
    let rows = batch * heads;
    let is_token = match lengths {
        Some(lengths) => {
            padding::check_lengths(NAME, graph, lengths, batch)?;
            let is_token = padding::is_token(graph, lengths, time)?;
            Some(repeat_each(graph, is_token, 0, heads)?)
        }
        None => None,
    };
    let query = stop_gradient(graph, query)?;
    let by_head = transpose(graph, query, &[0, 2, 1, 3])?;
    let by_head = reshape(graph, by_head, [rows, time, size])?;
    let by_head = converted(graph, by_head, DType::F32)?;
    let mut random = Random::new(spec.seed);
    let planes = (0..spec.bits * size).map(|_| random.next_normal()).collect();
    let planes = constant(graph, HostTensor::f32([spec.bits, size], planes)?)?;
    let sides = linear(graph, by_head, planes, &Linear::new())?;
    let hashes = signs(graph, sides)?;
    let parts = match lengths {
        Some(lengths) => {
            let ids = even_segments(graph, lengths, time, spec.count)?;
            repeat_each(graph, ids, 0, heads)?
        }
        None => {
            let ids = (0..rows * time).map(|at| part_of(at % time, time, spec.count) as i32).collect();
            constant(graph, HostTensor::i32([rows, time], ids)?)?
        }
    };
    let means = pool(graph, hashes, &Pool::mean().segments(parts, spec.count))?;
    let mut centers = signs(graph, means)?;
    for _ in 0..spec.iterations {
        let ids = nearest(graph, hashes, centers, is_token, spec.count)?;
        centers = moved(graph, hashes, centers, ids)?;
    }
    let ids = nearest(graph, hashes, centers, is_token, spec.count)?;
    reshape(graph, ids, [batch, heads, time])
}

/// 1 where `x` is at least 0, else -1.
fn signs(graph: &mut Graph, x: Value) -> Result<Value> {
    let [zero, one] = [0.0, 1.0].map(|number| fill(graph, TensorDesc::f32([1]), number));
    let is_positive = greater_equal(graph, x, zero?)?;
    let bits = cast(graph, is_positive, DType::F32)?;
    let twice = scale(graph, bits, 2.0)?;
    subtract(graph, twice, one?)
}

/// The center that shares most bits with each of `hashes: [rows, time, bits]`: i32 `[rows, time]`.
fn nearest(
    graph: &mut Graph,
    hashes: Value,
    centers: Value,
    is_token: Option<Value>,
    count: usize,
) -> Result<Value> {
    let shared = matmul(graph, hashes, centers, &Matmul::new().transpose_b())?;
    let places = argmax(graph, shared, 2)?;
    // From u32 to i32: the row of a table that holds its own number.
    let numbers = constant(graph, HostTensor::i32([count, 1], (0..count as i32).collect())?)?;
    let ids = gather_rows(graph, numbers, places)?;
    let [rows, time, _] = extents(NAME, "hashes", graph.desc(hashes)?)?;
    let ids = reshape(graph, ids, [rows, time])?;
    match is_token {
        Some(is_token) => unless_padding(graph, is_token, ids, count as i32),
        None => Ok(ids),
    }
}

/// The bits that most of each center's hashes have.
fn moved(graph: &mut Graph, hashes: Value, centers: Value, ids: Value) -> Result<Value> {
    let [rows, time, _] = extents(NAME, "hashes", graph.desc(hashes)?)?;
    let [_, count, _] = extents(NAME, "centers", graph.desc(centers)?)?;
    let sums = scatter_add_rows(graph, hashes, ids, &[rows, count])?;
    let ones = fill(graph, TensorDesc::f32([rows, time, 1]), 1.0)?;
    let members = scatter_add_rows(graph, ones, ids, &[rows, count])?;
    let zero = fill(graph, TensorDesc::f32([1]), 0.0)?;
    let has_members = greater(graph, members, zero)?;
    let bits = signs(graph, sums)?;
    select(graph, has_members, bits, centers)
}
