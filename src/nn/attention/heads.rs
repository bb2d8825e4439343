//! From channels to heads and back.

use super::OP;
use crate::graph::{Graph, Value};
use crate::nn::Linear;
use crate::ops::{Activation, reshape};
use crate::{Error, ErrorKind, Result};

/// Channels of each of `heads` heads that share `width`. Fails when they do not divide it.
pub(super) fn head_size(width: usize, heads: usize) -> Result<usize> {
    if heads == 0 || !width.is_multiple_of(heads) {
        return Err(Error::new(ErrorKind::Argument, OP, "heads")
            .expecting(format!("a divisor of the width, {width}"))
            .but_found(heads));
    }
    Ok(width / heads)
}

/// The extents of `x`, or what it should be.
pub(super) fn sequence(graph: &Graph, argument: &str, x: Value) -> Result<[usize; 3]> {
    let desc = graph.desc(x)?;
    match *desc.shape.dims() {
        [batch, time, width] => Ok([batch, time, width]),
        _ => {
            Err(Error::new(ErrorKind::Shape, OP, argument).expecting("[batch, time, width]").but_found(desc))
        }
    }
}

/// `[batch, time, heads, head_size]` from `x: [batch, time, heads * head_size]`. Fails when the heads do not divide the width.
pub fn split_heads(graph: &mut Graph, x: Value, heads: usize) -> Result<Value> {
    let [batch, time, width] = sequence(graph, "x", x)?;
    reshape(graph, x, [batch, time, heads, head_size(width, heads)?])
}

/// `[batch, time, heads * head_size]` from `x: [batch, time, heads, head_size]`. Fails for a value of another graph.
pub fn join_heads(graph: &mut Graph, x: Value) -> Result<Value> {
    let dims = graph.desc(x)?.shape.dims().to_vec();
    let width = dims.iter().skip(2).product();
    reshape(graph, x, dims.into_iter().take(2).chain([width]).collect::<Vec<usize>>())
}

/// What each of `layers` makes of `x: [batch, time, width]`, in heads. Fails when these do not divide it.
pub(super) fn project<const N: usize>(
    graph: &mut Graph,
    x: Value,
    layers: [&Linear; N],
    heads: usize,
) -> Result<[Value; N]> {
    sequence(graph, "x", x)?;
    let mut projected = [x; N];
    for (value, layer) in projected.iter_mut().zip(layers) {
        *value = layer.record(graph, x, Activation::Identity)?;
        *value = split_heads(graph, *value, heads)?;
    }
    Ok(projected)
}
