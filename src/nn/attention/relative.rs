//! Attention by content and by distance, with a vector for each distance (Shaw et al., arXiv 1803.02155, section 3.2).

use super::Attend;
use crate::graph::Value;
use crate::nn::{Layout, Recorder};
use crate::ops::attention::{Blocked, Score};
use crate::ops::{broadcast, concat, converted, reshape, slice};
use crate::weights::Weight;
use crate::{Error, ErrorKind, Result};

const NAME: &str = "relative positions";

/// Softmax attention in which every token sees all, with the score `(q_i . k_j + q_i . e) / sqrt(size)` where `e` is the vector of the distance `i -
/// j`, the same for all heads; with [`RelativePositions::meets_keys`] `k_j . e` is added to the sum (Huang et al., arXiv 2009.13658, method 4).
#[derive(Clone, Debug)]
pub struct RelativePositions {
    /// `[2 positions - 1, size]`, for heads of `size` channels: the vectors of the distances from `1 - positions` on.
    pub vectors: Weight,
    /// Whether the product of key and vector is added, too.
    pub meets_keys: bool,
}

impl Attend for RelativePositions {
    /// Fails for parts of streams, when heads have another size than the vectors, and as [`Blocked`] does. Sequences have at most as many
    /// tokens as there are positions; the rows of a packed layout may be longer.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        query: Value,
        key: Value,
        value: Value,
        layout: &Layout,
    ) -> Result<Value> {
        layout.check_whole(NAME)?;
        let desc = recorder.desc(query)?.clone();
        let [_, time, heads, _]: [usize; 4] = desc.shape.dims().try_into().map_err(|_| {
            Error::new(ErrorKind::Shape, NAME, "query")
                .expecting("[batch, time, heads, size]")
                .but_found(&desc.shape)
        })?;
        let vectors = recorder.weight(&self.vectors)?;
        let vectors = converted(recorder, vectors, desc.dtype)?;
        let dims = self.vectors.shape().dims();
        let (positions, size) = (dims[0].div_ceil(2), dims[1]);
        // Rows of the distances from -span to span - 1.
        let span = time.clamp(1, positions);
        let rows = if span < positions {
            slice(recorder, vectors, 0, positions - 1 - span..positions - 1 + span)?
        } else {
            // No two tokens of a sequence are as far apart as the first of these rows is for.
            let unread = slice(recorder, vectors, 0, 0..1)?;
            concat(recorder, &[unread, vectors], 0)?
        };
        let rows = reshape(recorder, rows, [2 * span, 1, size])?;
        let rows = broadcast(recorder, rows, [2 * span, heads, size])?;
        let score = Score::disentangled(Some(rows), self.meets_keys.then_some(rows), span as u32);
        Blocked::new().score(score).record(recorder, query, key, value, layout)
    }
}
