//! Which tokens lie near which centroid, how centroids move, and what draws tokens to them.

use super::LEAST_LENGTH;
use crate::graph::{Graph, Value};
use crate::ops::index::positions_of_largest;
use crate::ops::{
    Heads, Matmul, add, argmax, broadcast, constant, converted, fill, gather_rows, greater, l2_normalize,
    matmul, mean, reshape, scale, scatter_add_rows, select, square, stop_gradient, subtract, transpose,
};
use crate::tensor::{DType, HostTensor, TensorDesc};
use crate::{Error, ErrorKind, Result};

const CLUSTERS: &str = "attention/balanced_clusters";
const NEAREST: &str = "attention/nearest_centroids";
const MOVED: &str = "attention/moved_centroids";
const COMMITMENT: &str = "attention/commitment_loss";

/// Extents of tokens and centroids that belong together.
#[derive(Clone, Copy)]
struct Extents {
    batch: usize,
    time: usize,
    heads: usize,
    clusters: usize,
    size: usize,
}

impl Extents {
    fn of(op: &'static str, graph: &Graph, x: Value, centroids: Value) -> Result<Self> {
        let (of_x, of_centroids) = (graph.desc(x)?, graph.desc(centroids)?);
        let &[batch, time, heads, size] = of_x.shape.dims() else {
            return Err(Error::new(ErrorKind::Shape, op, "x")
                .expecting("rank 4, [batch, time, heads, size]")
                .but_found(&of_x.shape));
        };
        match *of_centroids.shape.dims() {
            [own, clusters, width] if [own, width] == [heads, size] && clusters > 0 => {
                if of_centroids.dtype != DType::F32 {
                    return Err(Error::new(ErrorKind::Dtype, op, "centroids")
                        .expecting(DType::F32)
                        .but_found(of_centroids.dtype));
                }
                Ok(Self { batch, time, heads, clusters, size })
            }
            _ => Err(Error::new(ErrorKind::Shape, op, "centroids")
                .expecting(format!("[{heads}, clusters, {size}]"))
                .but_found(&of_centroids.shape)),
        }
    }
}

/// `x` with rows of length 1, in f32.
fn unit(graph: &mut Graph, x: Value) -> Result<Value> {
    let x = converted(graph, x, DType::F32)?;
    l2_normalize(graph, x, LEAST_LENGTH)
}

/// Unit rows, `[batch, time, heads, size]`, and centroids, which are not normalised, for each item: f32 `[batch, heads, clusters, size]`.
fn without_gradients(graph: &mut Graph, x: Value, centroids: Value, extents: &Extents) -> Result<[Value; 2]> {
    let &Extents { batch, heads, clusters, size, .. } = extents;
    let x = stop_gradient(graph, x)?;
    let rows = unit(graph, x)?;
    let centroids = stop_gradient(graph, centroids)?;
    let by_item = reshape(graph, centroids, [1, heads, clusters, size])?;
    Ok([rows, broadcast(graph, by_item, [batch, heads, clusters, size])?])
}

/// The `window` tokens of `x: [batch, time, heads, size]`, f32 or f16, that lie nearest to each of `centroids: f32 [heads, clusters, size]`, by
/// position: u32 `[batch, heads, clusters, window]`.
///
/// Near is a large product of the token, normalised to length 1, with the centroid; of equal ones the earlier token is taken. Tokens count
/// whether they are padding or not. No gradient passes. Fails when shapes do not fit, and when the window is 0 or longer than the time.
pub fn balanced_clusters(graph: &mut Graph, x: Value, centroids: Value, window: usize) -> Result<Value> {
    let extents = Extents::of(CLUSTERS, graph, x, centroids)?;
    if !(1..=extents.time).contains(&window) {
        return Err(Error::new(ErrorKind::Argument, CLUSTERS, "window")
            .expecting(format!("1 to the {} tokens", extents.time))
            .but_found(window));
    }
    let [rows, centroids] = without_gradients(graph, x, centroids, &extents)?;
    let spec = Matmul::new().transpose_b().heads(Heads::Outer, Heads::Inner, Heads::Outer);
    let by_cluster = matmul(graph, centroids, rows, &spec)?;
    positions_of_largest(graph, by_cluster, window)
}

/// The centroid of `centroids: f32 [heads, clusters, size]` that each token of `x: [batch, time, heads, size]` lies nearest to, the first of
/// several: u32 `[batch, time, heads]`. No gradient passes. Fails when shapes do not fit.
pub fn nearest_centroids(graph: &mut Graph, x: Value, centroids: Value) -> Result<Value> {
    let extents = Extents::of(NEAREST, graph, x, centroids)?;
    let [rows, centroids] = without_gradients(graph, x, centroids, &extents)?;
    let spec = Matmul::new().transpose_b().heads(Heads::Inner, Heads::Outer, Heads::Outer);
    let scores = matmul(graph, rows, centroids, &spec)?;
    let nearest = argmax(graph, scores, 3)?;
    let nearest = reshape(graph, nearest, [extents.batch, extents.heads, extents.time])?;
    transpose(graph, nearest, &[0, 2, 1])
}

/// `nearest: [batch, time, heads]` as `[heads, batch * time]`, refused unless it is that.
fn by_head(op: &'static str, graph: &mut Graph, nearest: Value, extents: &Extents) -> Result<Value> {
    let &Extents { batch, time, heads, .. } = extents;
    let desc = graph.desc(nearest)?;
    if !desc.dtype.is_integer() || desc.shape.dims() != [batch, time, heads] {
        return Err(Error::new(ErrorKind::Shape, op, "nearest")
            .expecting(format!("integers [{batch}, {time}, {heads}]"))
            .but_found(desc));
    }
    let by_head = transpose(graph, nearest, &[2, 0, 1])?;
    reshape(graph, by_head, [heads, batch * time])
}

/// `weight` times the mean over all elements of the squared distances between tokens of `x: [batch, time, heads, size]`, normalised to length 1, and
/// their nearest centroids, as [`nearest_centroids`] gives them: f32 `[1]`. Gradients reach `x` only.
///
/// Fails when shapes or types do not fit.
pub fn commitment_loss(
    graph: &mut Graph,
    x: Value,
    centroids: Value,
    nearest: Value,
    weight: f32,
) -> Result<Value> {
    let extents = Extents::of(COMMITMENT, graph, x, centroids)?;
    let nearest = by_head(COMMITMENT, graph, nearest, &extents)?;
    let Extents { batch, time, heads, size, .. } = extents;
    let centroids = stop_gradient(graph, centroids)?;
    let own = gather_rows(graph, centroids, nearest)?;
    let own = reshape(graph, own, [heads, batch, time, size])?;
    let own = transpose(graph, own, &[1, 2, 0, 3])?;
    let rows = unit(graph, x)?;
    let apart = subtract(graph, rows, own)?;
    let squares = square(graph, apart)?;
    let mean = mean(graph, squares, &[0, 1, 2, 3])?;
    let loss = scale(graph, mean, weight)?;
    reshape(graph, loss, [1])
}

/// The centroids of the next step: `decay` times those of this one and `1 - decay` times the direction in which their tokens lie, for tokens of
/// `x: [batch, time, heads, size]` and what [`nearest_centroids`] says of them. One without tokens stays.
///
/// No gradient passes. Fails when shapes or types do not fit, and when the decay is not from 0 to 1.
pub fn moved_centroids(
    graph: &mut Graph,
    x: Value,
    centroids: Value,
    nearest: Value,
    decay: f32,
) -> Result<Value> {
    if !(0.0..=1.0).contains(&decay) {
        return Err(Error::new(ErrorKind::Argument, MOVED, "decay").expecting("0 to 1").but_found(decay));
    }
    let extents = Extents::of(MOVED, graph, x, centroids)?;
    let nearest = by_head(MOVED, graph, nearest, &extents)?;
    let Extents { batch, time, heads, clusters, size } = extents;
    let centroids = stop_gradient(graph, centroids)?;
    let x = stop_gradient(graph, x)?;
    let rows = unit(graph, x)?;
    let rows = transpose(graph, rows, &[2, 0, 1, 3])?;
    let rows = reshape(graph, rows, [heads, batch * time, size])?;
    let sums = scatter_add_rows(graph, rows, nearest, &[heads, clusters])?;
    let directions = l2_normalize(graph, sums, LEAST_LENGTH)?;
    let ones = constant(graph, HostTensor::f32([heads, batch * time, 1], vec![1.0; heads * batch * time])?)?;
    let counts = scatter_add_rows(graph, ones, nearest, &[heads, clusters])?;
    let zero = fill(graph, TensorDesc::f32([1]), 0.0)?;
    let has_tokens = greater(graph, counts, zero)?;
    let kept = scale(graph, centroids, decay)?;
    let added = scale(graph, directions, 1.0 - decay)?;
    let moved = add(graph, kept, added)?;
    select(graph, has_tokens, moved, centroids)
}
