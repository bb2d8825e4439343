//! The body of BERT and its kin: embeddings, and layers one behind another.

use super::super::{Facts, Network, Signature, Tokens};
use super::{Embeddings, TextConfig};
use crate::Result;
use crate::graph::Value;
use crate::nn::{Block, Linear, Mixer, Recorder, SelfAttention};
use crate::ops::Activation;
use crate::weights::Scope;

/// Embeddings, and layers one behind another, in any batch of whole texts unless the signature says otherwise.
#[derive(Debug)]
pub(in crate::models) struct TextEncoder<M = SelfAttention> {
    pub(in crate::models) facts: Facts,
    pub(in crate::models) signature: Signature,
    pub(in crate::models) embeddings: Embeddings,
    /// From the width of the embeddings to that of the layers, where these differ.
    pub(in crate::models) widen: Option<Linear>,
    pub(in crate::models) layers: Vec<Block<M>>,
}

impl<M> TextEncoder<M> {
    /// Declares `embeddings` under `base`, and the layers by number as `layer` does.
    pub(in crate::models) fn declare(
        config: &TextConfig,
        base: &mut Scope<'_>,
        mut layer: impl FnMut(&mut Scope<'_>, usize) -> Result<Block<M>>,
    ) -> Result<Self> {
        let embeddings = Embeddings::declare(&mut base.at("embeddings"), &config.embeddings)?;
        let layers = (0..config.facts.layers).map(|index| layer(base, index)).collect::<Result<_>>()?;
        let signature = Signature::encoder(embeddings.inputs());
        Ok(Self { facts: config.facts, signature, embeddings, widen: None, layers })
    }
}

impl<M: Mixer> Network for TextEncoder<M> {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn signature(&self) -> Signature {
        self.signature
    }

    fn record(&self, recorder: &mut Recorder<'_>, tokens: &Tokens) -> Result<Value> {
        let mut x = self.embeddings.record(recorder, tokens)?;
        if let Some(widen) = &self.widen {
            x = widen.record(recorder, x, Activation::Identity)?;
        }
        recorder.layers(self.layers.len(), x, |recorder, layer, x| {
            self.layers[layer].record(recorder, x, &tokens.layout, None)
        })
    }
}
