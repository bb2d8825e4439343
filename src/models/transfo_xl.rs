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
    AdaptiveEmbedding, AdaptiveSoftmax, Block, Clusters, FeedForward, LayerNorm, Layout, Linear, NormPlace,
    Recorder, Residual, TransformerXl, TransformerXlAttention, sinusoidal_positions,
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
    attention: TransformerXl,
    inner: usize,
    /// Tokens of the past that layers keep what they read of.
    memory: usize,
    /// Larger distances are taken for this one.
    farthest: Option<usize>,
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
            attention,
            inner: fields.usize("d_inner", 1..=1 << 20)?,
            memory,
            farthest,
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
        let width = config.facts.width;
        base.ignore("pos_emb");
        let words = AdaptiveEmbedding::declare(&mut base.at("word_emb"), &config.clusters)?;
        let layer = |index| {
            let path = format!("layers.{index}.dec_attn");
            let biases = if config.has_own_biases { &path } else { "" };
            let biases = TransformerXlAttention::declare_biases(&mut base.at(biases), &config.attention)?;
            let mut scope = base.at(&path);
            let mixer = TransformerXlAttention::declare_with_biases(&mut scope, config.attention, biases)?;
            let norm = |scope: &mut Scope<'_>| {
                let norm = LayerNorm::declare(&mut scope.at("layer_norm"), width, config.eps)?;
                Ok(Residual { norm: norm.into(), place: config.norm_place })
            };
            let mixing = norm(&mut scope)?;
            let mut scope = base.at(format_args!("layers.{index}.pos_ff"));
            let up = Linear::declare(&mut scope.at("CoreNet.0"), width, config.inner)?;
            let down = Linear::declare(&mut scope.at("CoreNet.3"), config.inner, width)?;
            let feed_forward = FeedForward { up, gate: None, activation: Activation::Relu, down };
            Ok(Block { mixer, mixing, cross: None, feed_forward, feeding: norm(&mut scope)? })
        };
        let layers = (0..config.facts.layers).map(layer).collect::<Result<_>>()?;
        Ok(Self { config: config.clone(), words, layers })
    }
}

/// The parameter with the position keys of a layer.
fn derived_keys(index: usize) -> String {
    format!("derived.position_keys.{index}")
}

/// Rows of positions, one for all layers; nothing where layers read keys that were made of them before.
#[derive(Clone, Copy, Debug)]
enum Positions {
    /// `[distances, width]`
    Rows(Value),
    /// For segments of at most so many tokens.
    Derived(usize),
}

impl TransfoXl {
    /// Distances that are seen in a segment of `time` tokens, from 0 on.
    fn distances(&self, time: usize) -> usize {
        self.config.attention.distances(self.config.memory, time)
    }

    /// The rows of all distances in a segment of `time` tokens: `[distances, width]`.
    fn positions(&self, recorder: &mut Recorder<'_>, time: usize) -> Result<Value> {
        let Config { facts, farthest, .. } = self.config;
        let table = sinusoidal_positions(recorder.dtype(), self.distances(time), facts.width, farthest)?;
        ops::constant(recorder, table)
    }

    /// The keys of positions in layer `index`: `[distances, heads, head_size]`.
    fn position_keys(
        &self,
        recorder: &mut Recorder<'_>,
        index: usize,
        positions: Positions,
    ) -> Result<Value> {
        let TransformerXl { heads, head_size, .. } = self.config.attention;
        match positions {
            Positions::Rows(rows) => self.layers[index].mixer.position_keys(recorder, rows),
            Positions::Derived(time) => {
                let desc = TensorDesc::new(recorder.dtype(), [self.distances(time), heads, head_size]);
                recorder.parameter(&derived_keys(index), desc)
            }
        }
    }
}

impl Network for TransfoXl {
    fn facts(&self) -> &Facts {
        &self.config.facts
    }

    fn signature(&self) -> Signature {
        Signature::recurrent(&[Input::Ids], self.distances(1) - 1)
    }

    fn record(&self, recorder: &mut Recorder<'_>, tokens: &Tokens) -> Result<Value> {
        let time = recorder.desc(tokens.ids)?.shape.dims().last().copied().unwrap_or(0);
        let (keeps_pairs, time) = match tokens.layout {
            Layout::Cached { .. } => (true, 1),
            // Normalised, memories of zeros are no zeros.
            _ => (recorder.fixed_weights().is_some() && self.config.norm_place == NormPlace::After, time),
        };
        let (dtype, memory) = (recorder.dtype(), self.config.memory);
        let positions = match recorder.fixed_weights() {
            Some(longest) if keeps_pairs => Positions::Derived(longest),
            _ => {
                let rows = self.positions(recorder, time)?;
                Positions::Rows(recorder.dropout(rows)?)
            }
        };
        let x = self.words.record(recorder, tokens.ids, dtype)?;
        let x = recorder.dropout(x)?;
        let x = recorder.layers(self.layers.len(), x, |recorder, index, x| match positions {
            Positions::Rows(rows) if !keeps_pairs => {
                self.layers[index].record_over_hidden(recorder, x, (index, memory), rows)
            }
            _ => {
                let keys = self.position_keys(recorder, index, positions)?;
                self.layers[index].record_over_pairs(recorder, x, (index, memory), keys, &tokens.layout)
            }
        })?;
        recorder.dropout(x)
    }

    fn derive(&self, recorder: &mut Recorder<'_>, time: usize) -> Result<Vec<(String, Value)>> {
        let rows = Positions::Rows(self.positions(recorder, time)?);
        let keys = |index| Ok((derived_keys(index), self.position_keys(recorder, index, rows)?));
        (0..self.layers.len()).map(keys).collect()
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
