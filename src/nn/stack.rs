//! A stack of layers that share one table of relative positions, as in T5 (Raffel et al., arXiv 1910.10683, section 2.1).

use super::{Block, BucketBias, Layout, Norm, Recorder};
use crate::Result;
use crate::graph::Value;
use crate::ops::attention::{Blocked, Mask};

/// Layers that read one text, and a normalisation behind the last: an encoder, or a causal decoder, whose layers attend to what an encoder made, too.
/// Scores are not scaled; a table of distances, which all layers share, is added to them.
#[derive(Clone, Debug)]
pub struct BucketStack {
    /// Those of a decoder have cross-attention.
    pub layers: Vec<Block>,
    /// Of the residual stream behind the last layer.
    pub norm: Norm,
    /// Of distances both ways in an encoder, and in a decoder of those to what came before.
    pub distances: BucketBias,
}

/// What layers of a decoder attend to: keys and values for each of them ([`BucketStack::keys_and_values`]), and how many count, `i32 [batch]`.
pub type Crossed = (Vec<[Value; 2]>, Value);

impl BucketStack {
    /// The result of the layers for `x: [batch, time, width]`, of the same shape. Fails as they do.
    pub fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        layout: &Layout,
        cross: Option<&Crossed>,
    ) -> Result<Value> {
        let mask = if self.distances.buckets.bidirectional { Mask::full() } else { Mask::causal() };
        let spec = Blocked::new().scale(1.0).mask(mask).score(self.distances.record(recorder)?);
        let x = recorder.dropout(x)?;
        let x = recorder.layers(self.layers.len(), x, |recorder, index, x| {
            let layer = &self.layers[index];
            let mut x = layer
                .mixing
                .record(recorder, x, |recorder, x| layer.mixer.record_with(recorder, x, &spec, layout))?;
            if let Some((pairs, lengths)) = cross {
                x = layer.attend_to(recorder, x, pairs[index], &Layout::Padded { lengths: *lengths })?;
            }
            layer.feed(recorder, x)
        })?;
        let x = self.norm.record(recorder, x, None)?;
        let x = recorder.dropout(x)?;
        recorder.replace_last(x);
        Ok(x)
    }

    /// Keys and values of `encoded: [batch, time, width]` for every layer with cross-attention, each `[batch, time, heads, size]`.
    pub fn keys_and_values(&self, recorder: &mut Recorder<'_>, encoded: Value) -> Result<Vec<[Value; 2]>> {
        let attentions = self.layers.iter().filter_map(|layer| layer.cross.as_ref());
        attentions.map(|(_, attention)| attention.keys_and_values(recorder, encoded)).collect()
    }
}
