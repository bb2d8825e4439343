//! What lies behind the ends of sequences: which positions are tokens, and values without the others.

use crate::graph::{Graph, Value};
use crate::ops::{constant, fill, less, reshape, select};
use crate::tensor::{DType, HostTensor, TensorDesc};
use crate::{Error, ErrorKind, Result};

/// What is added to the score of a key to hide it: below [`crate::ops::attention::HIDDEN_SCORE`].
const HIDING: f32 = -1e30;

/// Refuses lengths that are not i32 `[batch]`.
pub(crate) fn check_lengths(op: &'static str, graph: &Graph, lengths: Value, batch: usize) -> Result<()> {
    let desc = graph.desc(lengths)?;
    if desc.dtype != DType::I32 {
        return Err(Error::new(ErrorKind::Dtype, op, "lengths").expecting(DType::I32).but_found(desc.dtype));
    }
    if desc.shape.dims() != [batch] {
        return Err(Error::new(ErrorKind::Shape, op, "lengths")
            .expecting(format!("[{batch}], one for each batch item"))
            .but_found(&desc.shape));
    }
    Ok(())
}

/// u32 `[batch, time]`: 1 at `position * step` below each item's length, `lengths: i32 [batch]`.
pub(crate) fn is_below(graph: &mut Graph, lengths: Value, time: usize, step: usize) -> Result<Value> {
    let batch = graph.desc(lengths)?.elements();
    let places = (0..time).map(|place| i32::try_from(place * step).unwrap_or(i32::MAX)).collect();
    let places = constant(graph, HostTensor::i32([1, time], places)?)?;
    let lengths = reshape(graph, lengths, [batch, 1])?;
    less(graph, places, lengths)
}

/// [`is_below`] for each position: whether it is a token.
pub(crate) fn is_token(graph: &mut Graph, lengths: Value, time: usize) -> Result<Value> {
    is_below(graph, lengths, time, 1)
}

/// `x: [batch, time, ..]` where `is_token: [batch, time]` is not 0, else 0, whatever it holds there.
pub(crate) fn without_padding(graph: &mut Graph, x: Value, is_token: Value) -> Result<Value> {
    let desc = graph.desc(x)?.clone();
    let mut dims = graph.desc(is_token)?.shape.dims().to_vec();
    dims.resize(desc.shape.rank(), 1);
    let is_token = reshape(graph, is_token, dims)?;
    let zero = fill(graph, TensorDesc::new(desc.dtype, [1]), 0.0)?;
    select(graph, is_token, x, zero)
}

/// `x: [batch, time, ..]` with 0 at the positions from each item's length on, where there are `lengths: i32 [batch]`.
pub(crate) fn zero_behind(graph: &mut Graph, x: Value, lengths: impl Into<Option<Value>>) -> Result<Value> {
    let Some(lengths) = lengths.into() else { return Ok(x) };
    let time = graph.desc(x)?.shape.dims()[1];
    let is_token = is_token(graph, lengths, time)?;
    without_padding(graph, x, is_token)
}

/// Each of `rows: [batch, time, ..]` with 0 behind `lengths`, where these are given, after checking them.
pub(crate) fn tokens_of<const N: usize>(
    op: &'static str,
    graph: &mut Graph,
    mut rows: [Value; N],
    lengths: Option<Value>,
) -> Result<[Value; N]> {
    let Some(lengths) = lengths else { return Ok(rows) };
    for rows in &mut rows {
        check_lengths(op, graph, lengths, graph.desc(*rows)?.shape.dims()[0])?;
        *rows = zero_behind(graph, *rows, lengths)?;
    }
    Ok(rows)
}

/// What hides keys when it is added to scores: f32, 0 where `shown`, an integer, is not 0.
pub(crate) fn hiding_bias(graph: &mut Graph, shown: Value) -> Result<Value> {
    let [zero, hiding] = [0.0, HIDING].map(|number| fill(graph, TensorDesc::f32([1]), number));
    select(graph, shown, zero?, hiding?)
}

/// `scores` where `shown`, which broadcasts to them, is not 0, else what hides a key.
pub(crate) fn hidden_unless(graph: &mut Graph, shown: Value, scores: Value) -> Result<Value> {
    let hiding = fill(graph, TensorDesc::f32([1]), HIDING)?;
    select(graph, shown, scores, hiding)
}
