//! Transformer-XL (Dai et al., arXiv 1901.02860): causal layers that attend to what they read of earlier segments, over a vocabulary in
//! clusters.
//!
//! Names and order of operations as in <https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/models/transfo_xl>. The
//! first segment of a stream attends to memories of zeros, as it does there.

use std::sync::Arc;

use super::head::{Head, HeadResult, Rows};
use super::network::{Declared, Declaring, MOST_LAYERS, MOST_TOKENS, Network};
use super::{Facts, Input, Signature, Task, Tokens};
use crate::Result;
use crate::graph::Value;
use crate::nn::{
    AdaptiveEmbedding, AdaptiveSoftmax, Block, Clusters, FeedForward, LayerNorm, Layout, NormPlace, Recorder,
    Residual, SegmentKeys, SegmentPositions, TransformerXl, TransformerXlAttention,
};
use crate::ops::attention::MAX_HEAD_SIZE;
use crate::ops::{self, Activation};
use crate::tensor::{HostTensor, TensorDesc};
use crate::weights::{Fields, Scope};

#[derive(Debug)]
struct TransfoXl {
    config: Config,
    words: AdaptiveEmbedding,
    layers: Vec<Block<TransformerXlAttention>>,
}

/// What `config.json` says, checked.
#[derive(Clone, Debug)]
struct Config {
    facts: Facts,
    clusters: Clusters,
    /// Whether a cluster's scores are made with the embedding's projection.
    tied: Vec<bool>,
    positions: SegmentPositions,
    inner: usize,
    norm_place: NormPlace,
    /// Whether each layer has biases of its own in its scores.
    has_own_biases: bool,
    eps: f32,
}

impl Config {
    fn read(fields: &Fields) -> Result<Self> {
        for (field, known) in [("attn_type", 0), ("ext_len", 0)] {
            if fields.usize_or(field, 0..=1 << 24, known)? != known {
                return Err(fields.refuse(field, known));
            }
        }
        if !fields.bool_or("tie_word_embeddings", true)? {
            return Err(fields.refuse("tie_word_embeddings", "true"));
        }
        let width = fields.usize("d_model", 1..=1 << 16)?;
        if !width.is_multiple_of(2) {
            return Err(fields.refuse("d_model", "an even number, as positions are sines and cosines"));
        }
        let clusters = Clusters::read(fields, width)?;
        let (heads, memory) = (fields.usize("n_head", 1..=1 << 14)?, fields.usize("mem_len", 1..=1 << 20)?);
        let attention = TransformerXl {
            width,
            heads,
            head_size: fields.usize("d_head", 1..=MAX_HEAD_SIZE)?,
            same_length: fields.bool_or("same_length", true)?.then_some(memory as u32),
        };
        let facts = Facts {
            architecture: "transfo-xl",
            vocab_size: clusters.vocab_size,
            width,
            layers: fields.usize("n_layer", 1..=MOST_LAYERS)?,
            heads,
            types: 1,
            first_position: 0,
            max_tokens: MOST_TOKENS,
        };
        let farthest = match fields.get("clamp_len").and_then(|value| value.as_i64()) {
            Some(..=0) => None,
            _ => Some(fields.usize_or("clamp_len", 1..=1 << 24, 1000)?),
        };
        Ok(Self {
            facts,
            tied: clusters.tied(fields)?,
            clusters,
            positions: SegmentPositions { spec: attention, memory, farthest },
            inner: fields.usize("d_inner", 1..=1 << 20)?,
            norm_place: match fields.bool_or("pre_lnorm", false)? {
                true => NormPlace::Before,
                false => NormPlace::After,
            },
            has_own_biases: fields.bool_or("untie_r", true)?,
            eps: fields.f32_or("layer_norm_epsilon", f32::MIN_POSITIVE..=1.0, 1e-5)?,
        })
    }
}

pub(super) fn declare(declaring: &mut Declaring<'_>) -> Result<Declared> {
    let config = Config::read(declaring.fields)?;
    let network = TransfoXl::declare(&config, &mut declaring.base("transformer"))?;
    let head = match declaring.task {
        Task::Hidden => None,
        Task::Logits => {
            let tied = Some((&network.words, &config.tied[..]));
            let mut scope = declaring.root().into_at("crit");
            let softmax = AdaptiveSoftmax::declare(&mut scope, &config.clusters, tied)?;
            Some(Head::of([HeadResult::new("log_probs", Rows::Wanted).adaptive(softmax)]))
        }
        _ => return Err(declaring.no_head("transfo-xl")),
    };
    declaring.pass_over_heads("transformer");
    Ok(Declared { network: Arc::new(network), head })
}

impl TransfoXl {
    fn declare(config: &Config, base: &mut Scope<'_>) -> Result<Self> {
        let (spec, width) = (config.positions.spec, config.facts.width);
        base.ignore("pos_emb");
        let words = AdaptiveEmbedding::declare(&mut base.at("word_emb"), &config.clusters)?;
        let layer = |index| {
            let path = format!("layers.{index}.dec_attn");
            let biases = if config.has_own_biases { &path } else { "" };
            let biases = TransformerXlAttention::declare_biases(&mut base.at(biases), &spec)?;
            let mut scope = base.at(&path);
            let mixer = TransformerXlAttention::declare_with_biases(&mut scope, spec, biases)?;
            let norm = |scope: &mut Scope<'_>| {
                let norm = LayerNorm::declare(&mut scope.at("layer_norm"), width, config.eps)?;
                Ok(Residual { norm: norm.into(), place: config.norm_place })
            };
            let mixing = norm(&mut scope)?;
            let mut scope = base.at(format_args!("layers.{index}.pos_ff"));
            let (names, extents) = (["CoreNet.0", "CoreNet.3"], [width, config.inner]);
            let feed_forward = FeedForward::declare(&mut scope, names, extents, Activation::Relu)?;
            Ok(Block { mixer, mixing, cross: None, feed_forward, feeding: norm(&mut scope)? })
        };
        let layers = (0..config.facts.layers).map(layer).collect::<Result<_>>()?;
        Ok(Self { config: config.clone(), words, layers })
    }
}

impl Network for TransfoXl {
    fn facts(&self) -> &Facts {
        &self.config.facts
    }

    fn signature(&self) -> Signature {
        Signature::recurrent(&[Input::Ids], self.config.positions.distances(1) - 1)
    }

    fn record(&self, recorder: &mut Recorder<'_>, tokens: &Tokens) -> Result<Value> {
        let time = recorder.desc(tokens.ids)?.shape.dims().last().copied().unwrap_or(0);
        let (keeps_pairs, time) = match tokens.layout {
            Layout::Cached { .. } => (true, 1),
            // Normalised, memories of zeros are no zeros.
            _ => (recorder.fixed_weights().is_some() && self.config.norm_place == NormPlace::After, time),
        };
        let (dtype, positions) = (recorder.dtype(), &self.config.positions);
        let keys = match recorder.fixed_weights() {
            Some(longest) if keeps_pairs => SegmentKeys::Derived(longest),
            _ => {
                let rows = positions.rows(recorder, time)?;
                SegmentKeys::Rows(recorder.dropout(rows)?)
            }
        };
        let x = self.words.record(recorder, tokens.ids, dtype)?;
        let x = recorder.dropout(x)?;
        let x = recorder.layers(self.layers.len(), x, |recorder, index, x| {
            let (layer, kept) = (&self.layers[index], (index, positions.memory));
            match keys {
                SegmentKeys::Rows(rows) if !keeps_pairs => layer.record_over_hidden(recorder, x, kept, rows),
                _ => {
                    let keys = positions.keys(recorder, (index, &layer.mixer), keys)?;
                    layer.record_over_pairs(recorder, x, kept, keys, &tokens.layout)
                }
            }
        })?;
        recorder.dropout(x)
    }

    fn derive(&self, recorder: &mut Recorder<'_>, time: usize) -> Result<Vec<(String, Value)>> {
        self.config.positions.derive(recorder, time, self.layers.iter().map(|layer| &layer.mixer))
    }

    /// Memories of zeros: keys and values are zeros, too, but where layers normalise what they read.
    fn begin(&self, recorder: &mut Recorder<'_>, layout: &Layout, streams: usize) -> Result<()> {
        if self.config.norm_place == NormPlace::After {
            return Ok(());
        }
        let shape = [streams, self.signature().memory, self.config.facts.width];
        let zeros = HostTensor::zeros(&TensorDesc::new(recorder.dtype(), shape))?;
        let zeros = ops::constant(recorder, zeros)?;
        for layer in &self.layers {
            let read = layer.mixing.norm.record(recorder, zeros, None)?;
            let [_, key, value] = layer.mixer.project(recorder, read)?;
            recorder.cached([key, value], layout)?;
        }
        Ok(())
    }
}
