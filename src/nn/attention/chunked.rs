//! Local attention in chunks.

use super::{Attend, one_length_a_row};
use crate::graph::{Graph, Value};
use crate::nn::{Layout, Recorder};
use crate::ops::attention::{BlockLayout, Blocked, Border, Mask, Score, blocked};
use crate::ops::constant;
use crate::tensor::HostTensor;
use crate::{Error, ErrorKind, Result};

const NAME: &str = "chunked attention";

/// The longest text whose chunks may meet more than once: the bias that counts them has a number for each pair of positions.
const MOST_MEETING: usize = 4096;

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
    /// Chunks of `chunk` positions, or one of the whole text where it is no longer than that; a position sees its own chunk and the one before.
    pub fn new(chunk: usize) -> Self {
        Self { chunk, multiple: chunk, before: 1, after: 0, border: Border::Stop, is_causal: false }
    }

    /// How many chunks before its own and behind it a position sees, and what lies beside the first and the last: in a ring of
    /// [`Border::Ring`], each other. A chunk that is reached twice counts twice, as in Hugging Face's Transformers.
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

    /// How often each chunk of a text of `time`, which is longer than a chunk, meets each: row by row of queries' chunks.
    fn meetings(&self, time: usize) -> Result<Vec<Vec<usize>>> {
        let ring = time.next_multiple_of(self.multiple) / self.chunk;
        let chunks = time.div_ceil(self.chunk);
        for (argument, number) in [("before", self.before), ("after", self.after)] {
            if self.border == Border::Ring && number > ring {
                return Err(Error::new(ErrorKind::Argument, NAME, argument)
                    .expecting(format!("at most the {ring} chunks of a ring"))
                    .but_found(number));
            }
        }
        // No chunk lies farther away than all others.
        let [before, after] = [self.before, self.after].map(|number| match self.border {
            Border::Ring => number as i64,
            Border::Stop => number.min(chunks) as i64,
        });
        let mut meetings = vec![vec![0; chunks]; chunks];
        for (query, row) in meetings.iter_mut().enumerate() {
            for far in query as i64 - before..=query as i64 + after {
                let key = if self.border == Border::Ring { far.rem_euclid(ring as i64) } else { far };
                // Chunks behind the last position hold nothing.
                if let Some(times) = usize::try_from(key).ok().and_then(|key| row.get_mut(key)) {
                    *times += 1;
                }
            }
        }
        Ok(meetings)
    }

    /// Which positions of a text of `time` see each other, and what is added to scores where chunks meet more than once.
    fn rule(&self, graph: &mut Graph, time: usize) -> Result<Blocked> {
        if self.chunk == 0 || self.multiple == 0 || !self.multiple.is_multiple_of(self.chunk) {
            return Err(Error::new(ErrorKind::Argument, NAME, "chunk")
                .expecting(format!("at least 1, of which {} is a multiple", self.multiple))
                .but_found(self.chunk));
        }
        let causal = |mask: Mask| if self.is_causal { mask & Mask::causal() } else { mask };
        if time <= self.chunk {
            return Ok(Blocked::new().mask(causal(Mask::full())));
        }
        let meetings = self.meetings(time)?;
        let chunks = meetings.len();
        let pairs = meetings.iter().flatten().map(|&times| times > 0).collect();
        let mask = Mask::blocks(BlockLayout::new(self.chunk as u32, [1, chunks, chunks], pairs)?);
        let spec = Blocked::new().mask(causal(mask));
        if meetings.iter().flatten().all(|&times| times <= 1) {
            return Ok(spec);
        }
        if time > MOST_MEETING {
            return Err(Error::new(ErrorKind::Limit, NAME, "time")
                .expecting(format!(
                    "at most {MOST_MEETING} positions where the chunks of a ring are fewer than those that a query sees, {}",
                    self.before + 1 + self.after
                ))
                .but_found(time));
        }
        // exp(s + ln n) = n exp(s). Only texts of no more chunks than a query sees have such pairs.
        let times = |at: usize| meetings[at / time / self.chunk][at % time / self.chunk];
        let logarithms = (0..time * time).map(|at| (times(at).max(1) as f32).ln()).collect();
        let bias = constant(graph, HostTensor::f32([1, 1, time, time], logarithms)?)?;
        Ok(spec.score(Score::bias(bias)))
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
        let mut spec = self.rule(recorder, time)?;
        if let Some(lengths) = one_length_a_row(NAME, recorder, layout)? {
            spec = spec.lengths(lengths);
        }
        blocked(recorder, query, key, value, &spec)
    }
}
