//! Attention of chunks among their neighbours.

use super::{Attend, one_length_a_row};
use crate::graph::Value;
use crate::nn::{Layout, Recorder};
use crate::ops::attention::{BlockLayout, Blocked, Border, Mask, blocked};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "chunked attention";

/// Softmax attention of each position over its own chunk and those around it, as Reformers' local layers have it.
#[derive(Clone, Copy, Debug)]
pub struct ChunkedAttention {
    chunk: usize,
    multiple: usize,
    before: usize,
    after: usize,
    border: Border,
    is_causal: bool,
}

impl ChunkedAttention {
    /// Chunks of so many positions, a multiple of 4, or the whole text where it is no longer; a position sees its own chunk and the one before.
    pub fn new(chunk: usize) -> Self {
        Self { chunk, multiple: chunk, before: 1, after: 0, border: Border::Stop, is_causal: false }
    }

    /// How many chunks before its own and behind it a position sees, and what lies beside the first and the last: in a ring of
    /// [`Border::Ring`], each other.
    #[must_use]
    pub fn around(self, before: usize, after: usize, border: Border) -> Self {
        Self { before, after, border, ..self }
    }

    /// A position sees itself and those before.
    #[must_use]
    pub fn causal(self) -> Self {
        Self { is_causal: true, ..self }
    }

    /// Chunks are as many as a text filled up to a multiple of this has, itself a multiple of the chunk, which matters in a ring.
    #[must_use]
    pub fn padded_to(self, multiple: usize) -> Self {
        Self { multiple, ..self }
    }

    /// Which positions of a text of `time` see each other.
    fn mask(&self, time: usize) -> Result<Mask> {
        if self.chunk == 0 || self.multiple == 0 || !self.multiple.is_multiple_of(self.chunk) {
            return Err(Error::new(ErrorKind::Argument, NAME, "chunk")
                .expecting(format!("at least 1, of which {} is a multiple", self.multiple))
                .but_found(self.chunk));
        }
        let causal = |mask: Mask| if self.is_causal { mask & Mask::causal() } else { mask };
        if time <= self.chunk {
            return Ok(causal(Mask::full()));
        }
        let ring = (time.next_multiple_of(self.multiple) / self.chunk) as i64;
        let chunks = time.div_ceil(self.chunk);
        let (before, after) = (self.before as i64, self.after as i64);
        let meets = |query: usize, key: usize| {
            let apart = key as i64 - query as i64;
            let is_near = |apart: i64| (-before..=after).contains(&apart);
            is_near(apart) || self.border == Border::Ring && (is_near(apart - ring) || is_near(apart + ring))
        };
        let pairs = (0..chunks).flat_map(|query| (0..chunks).map(move |key| meets(query, key))).collect();
        Ok(causal(Mask::blocks(BlockLayout::new(self.chunk as u32, [1, chunks, chunks], pairs)?)))
    }
}

impl Attend for ChunkedAttention {
    fn takes_several(&self) -> bool {
        false
    }

    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        query: Value,
        key: Value,
        value: Value,
        layout: &Layout,
    ) -> Result<Value> {
        let desc = recorder.desc(query)?;
        let &[_, time, ..] = desc.shape.dims() else {
            return Err(Error::new(ErrorKind::Shape, NAME, "query").expecting("rank 4").but_found(desc));
        };
        let mut spec = Blocked::new().mask(self.mask(time)?);
        if let Some(lengths) = one_length_a_row(NAME, recorder, layout)? {
            spec = spec.lengths(lengths);
        }
        blocked(recorder, query, key, value, &spec)
    }
}
