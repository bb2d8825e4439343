//! Transformer-XL's layers over what they keep of a stream's earlier segments (Dai et al., arXiv 1901.02860, section 3.2).

use super::{TransformerXl, TransformerXlAttention, sinusoidal_positions};
use crate::graph::Value;
use crate::nn::{Block, Layout, NormPlace, Recorder};
use crate::tensor::TensorDesc;
use crate::{Result, ops};

/// The distances that a segment's tokens see, its own and those of the memory before it, as sines and cosines: the same for all layers.
#[derive(Clone, Copy, Debug)]
pub struct SegmentPositions {
    /// The layers.
    pub spec: TransformerXl,
    /// Tokens of the past that layers keep what they read of.
    pub memory: usize,
    /// Larger distances are taken for this one.
    pub farthest: Option<usize>,
}

/// Where the keys of distances come from.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum SegmentKeys {
    /// [`SegmentPositions::rows`], in every run again.
    Rows(Value),
    /// They were made before ([`SegmentPositions::derive`]), for segments of at most so many tokens.
    Derived(usize),
}

/// The parameter with the keys of distances in a layer.
fn derived(layer: usize) -> String {
    format!("derived.position_keys.{layer}")
}

impl SegmentPositions {
    /// Distances that are seen in a segment of `time` tokens, from 0 on.
    pub fn distances(&self, time: usize) -> usize {
        self.spec.distances(self.memory, time)
    }

    /// The rows of these distances: `[distances, width]`. Fails when the width is odd.
    pub fn rows(&self, recorder: &mut Recorder<'_>, time: usize) -> Result<Value> {
        let distances = self.distances(time);
        let table = sinusoidal_positions(recorder.dtype(), distances, self.spec.width, self.farthest)?;
        ops::constant(recorder, table)
    }

    /// Their keys in layer `number`: `[distances, heads, head_size]`. Fails as [`TransformerXlAttention::position_keys`] does.
    pub fn keys(
        &self,
        recorder: &mut Recorder<'_>,
        (number, layer): (usize, &TransformerXlAttention),
        from: SegmentKeys,
    ) -> Result<Value> {
        match from {
            SegmentKeys::Rows(rows) => layer.position_keys(recorder, rows),
            SegmentKeys::Derived(time) => {
                let TransformerXl { heads, head_size, .. } = self.spec;
                let desc = TensorDesc::new(recorder.dtype(), [self.distances(time), heads, head_size]);
                recorder.parameter(&derived(number), desc)
            }
        }
    }

    /// The keys of every layer by the names of the parameters that [`SegmentKeys::Derived`] stands for. Fails as [`SegmentPositions::keys`] does.
    pub fn derive<'l>(
        &self,
        recorder: &mut Recorder<'_>,
        time: usize,
        layers: impl Iterator<Item = &'l TransformerXlAttention>,
    ) -> Result<Vec<(String, Value)>> {
        let rows = SegmentKeys::Rows(self.rows(recorder, time)?);
        let numbered = layers.enumerate();
        numbered.map(|layer| Ok((derived(layer.0), self.keys(recorder, layer, rows)?))).collect()
    }
}

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
