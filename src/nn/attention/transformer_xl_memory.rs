//! Transformer-XL's layers over what they keep of a stream's earlier segments (Dai et al., arXiv 1901.02860, section 3.2).

use super::TransformerXlAttention;
use crate::Result;
use crate::graph::Value;
use crate::nn::{Block, Layout, NormPlace, Recorder};

impl Block<TransformerXlAttention> {
    /// The layer's result for a segment `x: [batch, time, width]` behind the last `length` positions of earlier ones, of which layer `number` keeps
    /// what it read ([`Recorder::memory`]). `positions` are as in [`TransformerXlAttention::record`].
    ///
    /// Fails as its parts do.
    pub fn record_over_hidden(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        (number, length): (usize, usize),
        positions: Value,
    ) -> Result<Value> {
        let mut memory = recorder.memory(number, x, length)?;
        if self.mixing.place == NormPlace::Before {
            memory = self.mixing.norm.record(recorder, memory, None)?;
        }
        self.record_around(recorder, x, |recorder, x| self.mixer.record(recorder, x, Some(memory), positions))
    }

    /// [`Block::record_over_hidden`] of a layer that keeps keys and values: of the tokens before a segment ([`Recorder::memory_of_pairs`]) or,
    /// where the layout has caches, of each stream's tokens, as if each were a segment of its own. `position_keys` are those of
    /// [`TransformerXlAttention::position_keys`].
    ///
    /// Fails as its parts do.
    pub fn record_over_pairs(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        (number, length): (usize, usize),
        position_keys: Value,
        layout: &Layout,
    ) -> Result<Value> {
        let spec = self.mixer.spec;
        self.record_around(recorder, x, |recorder, x| {
            let [query, key, value] = self.mixer.project(recorder, x)?;
            let (pair, seen, starts) = match *layout {
                Layout::Cached { starts, .. } => (
                    recorder.cached([key, value], layout)?,
                    Some(spec.distances(length, 1) as u32),
                    Some(starts),
                ),
                _ => (recorder.memory_of_pairs(number, [key, value], length)?, spec.same_length, None),
            };
            self.mixer.record_over(recorder, [query, pair[0], pair[1]], position_keys, seen, starts)
        })
    }
}
