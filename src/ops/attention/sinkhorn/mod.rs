//! Sparse Sinkhorn attention: blocks of keys are sorted by a network, and each block of queries sees the block that was sorted to its place, and
//! its own (Tay et al., arXiv 2002.11296).

mod sorted;

use super::{Blocked, Dims, blocked};
use crate::graph::{Graph, Value};
use crate::ops::{
    Activation, Heads, Matmul, activate, add, concat, converted, exp, fill, log, log_softmax, matmul, mean,
    reshape, scale, transpose,
};
use crate::tensor::{DType, TensorDesc};
use crate::{Error, ErrorKind, Result};

pub use sorted::{check_block_permutation, sinkhorn_sorted};

const NAME: &str = "attention/sinkhorn";

/// Settings of [`sinkhorn`].
#[derive(Clone, Copy, Debug)]
pub struct Sinkhorn {
    block: usize,
    temperature: f32,
    iterations: usize,
    scale: Option<f32>,
}

impl Sinkhorn {
    /// Blocks of `block` positions, which must divide the time; a temperature of 0.75 and 5 iterations of Sinkhorn's normalisation, as published, and
    /// scores scaled by `1 / sqrt(head_size)`.
    pub fn new(block: usize) -> Self {
        Self { block, temperature: 0.75, iterations: 5, scale: None }
    }

    /// The same with the largest block that is no larger and divides a text of `time` positions: 1 where that is a prime number, so that the sorting
    /// is of `time x time` scores and each query sees two keys. Pad such texts where that matters.
    #[must_use]
    pub fn dividing(self, time: usize) -> Self {
        let block = (1..=self.block.min(time)).rev().find(|&block| time.is_multiple_of(block));
        Self { block: block.unwrap_or(self.block), ..self }
    }

    /// What logarithms of block scores are divided by: a positive number, near 0 for permutations that are nearly hard.
    #[must_use]
    pub fn temperature(self, temperature: f32) -> Self {
        Self { temperature, ..self }
    }

    /// How often rows and columns are normalised.
    #[must_use]
    pub fn iterations(self, iterations: usize) -> Self {
        Self { iterations, ..self }
    }

    /// The factor of `q . k`; `1 / sqrt(head_size)` when not set.
    #[must_use]
    pub fn scale(self, scale: f32) -> Self {
        Self { scale: Some(scale), ..self }
    }
}

/// What [`sinkhorn`] gives.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SinkhornAttended {
    /// `[batch, time, heads, value_size]`
    pub out: Value,
    /// f32 `[batch, heads, blocks, blocks]`: how much of each block of keys (last axis) comes to each place. Columns sum to 1, rows nearly.
    pub permutation: Value,
}

/// Sinkhorn attention of `query` and `key: [batch, time, heads, head_size]` and `value: [batch, time, heads, value_size]`, f32 or f16, with
/// a soft permutation of blocks of keys that gradients go through.
///
/// ```text
/// r_ij = (ln(relu(mean(q of block i) . mean(k of block j) / sqrt(head_size)) + 1e-6) + noise_ij) / temperature
/// `iterations` times: r -= logsumexp_j r, r -= logsumexp_i r          P = exp(r)
/// block i of queries sees the block sum_j P_ij (keys and values of block j), and its own keys and values
/// ```
///
/// `noise: f32 [batch, heads, blocks, blocks]` is a draw of Gumbel's distribution while training, and absent else. It is not causal, and every
/// position counts as a token. Fails when shapes or types do not fit, when the block is 0 or does not divide the time, without iterations, and
/// when the temperature is not a positive number.
pub fn sinkhorn(
    graph: &mut Graph,
    query: Value,
    key: Value,
    value: Value,
    noise: Option<Value>,
    spec: &Sinkhorn,
) -> Result<SinkhornAttended> {
    let dims = spec.check(graph, [query, key, value])?;
    let Dims { batch, query_time, heads, head_size, value_size, .. } = dims;
    let (size, count) = (spec.block, query_time / spec.block);
    if let Some(noise) = noise {
        let wanted = TensorDesc::f32([batch, heads, count, count]);
        let desc = graph.desc(noise)?;
        if *desc != wanted {
            return Err(Error::new(ErrorKind::Shape, NAME, "noise").expecting(wanted).but_found(desc));
        }
    }
    let permutation = spec.permutation(graph, [query, key], noise, &dims)?;

    let blocks = |graph: &mut Graph, x: Value, channels: usize| -> Result<Value> {
        let own = reshape(graph, x, [batch, count, size, heads, channels])?;
        // [batch, heads, blocks, size * channels]
        let by_head = transpose(graph, own, &[0, 3, 1, 2, 4])?;
        let by_head = reshape(graph, by_head, [batch, heads, count, size * channels])?;
        let weights = converted(graph, permutation, graph.desc(x)?.dtype)?;
        let sorted = matmul(graph, weights, by_head, &Matmul::new())?;
        let sorted = reshape(graph, sorted, [batch, heads, count, size, channels])?;
        let sorted = transpose(graph, sorted, &[0, 2, 3, 1, 4])?;
        let both = concat(graph, &[sorted, own], 2)?;
        reshape(graph, both, [batch * count, 2 * size, heads, channels])
    };
    let (keys, values) = (blocks(graph, key, head_size)?, blocks(graph, value, value_size)?);
    let queries = reshape(graph, query, [batch * count, size, heads, head_size])?;
    let attention = spec.scale.map_or(Blocked::new(), |scale| Blocked::new().scale(scale));
    let out = blocked(graph, queries, keys, values, &attention)?;
    let out = reshape(graph, out, [batch, query_time, heads, value_size])?;
    Ok(SinkhornAttended { out, permutation })
}

/// The extents of a problem whose queries and keys are the same positions, in whole blocks of `size`.
fn blocks_of(graph: &Graph, [query, key, value]: [Value; 3], size: usize) -> Result<Dims> {
    let dims = Dims::bind(NAME, [graph.desc(query)?, graph.desc(key)?, graph.desc(value)?], 1)?;
    if (dims.key_time, dims.kv_heads) != (dims.query_time, dims.heads) {
        return Err(Error::new(ErrorKind::Shape, NAME, "key")
            .expecting(format!("time and heads of query, {} and {}", dims.query_time, dims.heads))
            .but_found(format!("{} and {}", dims.key_time, dims.kv_heads)));
    }
    if size == 0 || !dims.query_time.is_multiple_of(size) {
        return Err(Error::new(ErrorKind::Argument, NAME, "block")
            .expecting(format!("at least 1 and a divisor of the time, {}", dims.query_time))
            .but_found(size));
    }
    Ok(dims)
}

impl Sinkhorn {
    fn check(&self, graph: &Graph, [query, key, value]: [Value; 3]) -> Result<Dims> {
        let dims = blocks_of(graph, [query, key, value], self.block)?;
        if self.iterations == 0 {
            return Err(Error::new(ErrorKind::Argument, NAME, "iterations")
                .expecting("at least 1")
                .but_found(0));
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(Error::new(ErrorKind::Argument, NAME, "temperature")
                .expecting("a positive number")
                .but_found(self.temperature));
        }
        Ok(dims)
    }

    /// f32 `[batch, heads, blocks, blocks]`
    fn permutation(
        &self,
        graph: &mut Graph,
        [query, key]: [Value; 2],
        noise: Option<Value>,
        dims: &Dims,
    ) -> Result<Value> {
        let &Dims { batch, query_time, heads, head_size, .. } = dims;
        let count = query_time / self.block;
        let mut means = |x: Value| -> Result<Value> {
            let x = converted(graph, x, DType::F32)?;
            let blocks = reshape(graph, x, [batch, count, self.block, heads, head_size])?;
            let means = mean(graph, blocks, &[2])?;
            reshape(graph, means, [batch, count, heads, head_size])
        };
        let (queries, keys) = (means(query)?, means(key)?);
        let products = Matmul::new().transpose_b().heads(Heads::Inner, Heads::Inner, Heads::Outer);
        let scores = matmul(graph, queries, keys, &products)?;
        let scores = scale(graph, scores, 1.0 / (head_size as f32).sqrt())?;
        let scores = activate(graph, scores, Activation::Relu)?;
        let least = fill(graph, TensorDesc::f32([1]), 1e-6)?;
        let scores = add(graph, scores, least)?;
        let mut logarithms = log(graph, scores)?;
        if let Some(noise) = noise {
            logarithms = add(graph, logarithms, noise)?;
        }
        let mut r = scale(graph, logarithms, 1.0 / self.temperature)?;
        for _ in 0..self.iterations {
            r = log_softmax(graph, r)?;
            let turned = transpose(graph, r, &[0, 1, 3, 2])?;
            let turned = log_softmax(graph, turned)?;
            r = transpose(graph, turned, &[0, 1, 3, 2])?;
        }
        exp(graph, r)
    }
}
