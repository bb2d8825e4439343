//! Landmarks: means of segments of queries and keys.

use super::{Nystrom, PaddedLandmarks, Segments};
use crate::Result;
use crate::graph::{Graph, Value};
use crate::ops::attention::Dims;
use crate::ops::index::part_of;
use crate::ops::{Pool, constant, even_segments, fill, greater, padding, pool, reshape, select};
use crate::tensor::{HostTensor, TensorDesc};

/// Means of segments, and which of them are of any tokens.
pub(super) struct Landmarks {
    /// `[batch, landmarks, heads, head_size]`
    pub(super) query: Value,
    /// `[batch, landmarks, kv_heads, head_size]`
    pub(super) key: Value,
    /// u32 `[batch, landmarks]`, where there may be some without tokens: 0 for those.
    pub(super) present: Option<Value>,
}

impl Landmarks {
    /// The means of `query` and `key`, `[batch, time, .., head_size]`.
    pub(super) fn new(
        graph: &mut Graph,
        [query, key]: [Value; 2],
        dims: &Dims,
        spec: &Nystrom,
    ) -> Result<Self> {
        let ids = ids(graph, dims, spec)?;
        let segments = Pool::mean().segments(ids, spec.landmarks);
        let mut means = [query, key];
        for (rows, heads) in means.iter_mut().zip([dims.heads, dims.kv_heads]) {
            let flat = reshape(graph, *rows, [dims.batch, dims.query_time, heads * dims.head_size])?;
            let mean = pool(graph, flat, &segments)?;
            *rows = reshape(graph, mean, [dims.batch, spec.landmarks, heads, dims.head_size])?;
        }
        let counts_tokens = matches!(spec.padded, PaddedLandmarks::Dropped | PaddedLandmarks::Uniform);
        let may_be_empty = spec.lengths.is_some() || spec.segments == Segments::FrontPaddedMasked;
        let present = match counts_tokens && may_be_empty {
            true => Some(present(graph, &segments, dims, spec.landmarks)?),
            false => None,
        };
        let [query, key] = means;
        Ok(Self { query, key, present })
    }
}

/// 1 for segments of at least one position.
fn present(graph: &mut Graph, segments: &Pool, dims: &Dims, count: usize) -> Result<Value> {
    let ones = fill(graph, TensorDesc::f32([dims.batch, dims.query_time, 1]), 1.0)?;
    let mean = pool(graph, ones, segments)?;
    let mean = reshape(graph, mean, [dims.batch, count])?;
    let half = fill(graph, TensorDesc::f32([1]), 0.5)?;
    greater(graph, mean, half)
}

/// The landmark of each position: i32 `[batch, time]`, `landmarks` where it is of none.
fn ids(graph: &mut Graph, dims: &Dims, spec: &Nystrom) -> Result<Value> {
    let (time, count) = (dims.query_time, spec.landmarks);
    let counts_tokens = matches!(spec.padded, PaddedLandmarks::Dropped | PaddedLandmarks::Uniform);
    let lengths = spec.lengths.filter(|_| counts_tokens);
    if let (Some(lengths), Segments::OfLength) = (lengths, spec.segments) {
        return even_segments(graph, lengths, time, count);
    }
    let size = time.div_ceil(count);
    let in_front = size * count - time;
    let id = |position: usize| match spec.segments {
        Segments::OfLength | Segments::OfTime => part_of(position, time, count),
        Segments::FrontPadded | Segments::FrontPaddedMasked => (position + in_front) / size,
    };
    let of_item = (0..time).map(|position| id(position) as i32);
    let ids = of_item.cycle().take(dims.batch * time).collect();
    let ids = constant(graph, HostTensor::i32([dims.batch, time], ids)?)?;
    let Some(lengths) = lengths else { return Ok(ids) };
    let is_token = padding::is_token(graph, lengths, time)?;
    let none = constant(graph, HostTensor::i32([1], vec![count as i32])?)?;
    select(graph, is_token, ids, none)
}
