//! Transformer-XL (Dai et al., arXiv 1901.02860): causal layers that attend to what they read of earlier segments, over a vocabulary in
//! clusters.
//!
//! Names and order of operations as in <https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/models/transfo_xl>. The
//! first segment of a stream attends to memories of zeros, as it does there.

use std::sync::Arc;

use super::head::{Head, HeadResult, Rows};
use super::network::{Declared, Declaring, MOST_LAYERS, Network};
use super::{Facts, Input, Signature, Task, Tokens};
use crate::graph::Value;
use crate::nn::{
    AdaptiveEmbedding, AdaptiveSoftmax, Block, Clusters, FeedForward, LayerNorm, Layout, Linear, NormPlace,
    Recorder, Residual, TransformerXl, TransformerXlAttention, sinusoidal_positions,
};
use crate::ops::attention::MAX_HEAD_SIZE;
use crate::ops::{self, Activation};
use crate::weights::{Fields, Scope};
use crate::{Error, ErrorKind, Result};

/// Segments may have any length. What a number of tokens is bounded by.
const MOST_TOKENS: usize = 1 << 24;

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

#[derive(Debug)]
struct TransfoXl {
    config: Config,
    words: AdaptiveEmbedding,
    layers: Vec<Block<TransformerXlAttention>>,
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
        let clusters = clusters(fields, width)?;
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
            tied: tied(fields, &clusters)?,
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

/// `cutoffs`, which may be none, and the extents of the embeddings.
fn clusters(fields: &Fields, width: usize) -> Result<Clusters> {
    let vocab_size = fields.usize("vocab_size", 1..=1 << 24)?;
    let expected = format!("a list of ascending ids from 1 to below {vocab_size}");
    let listed = fields.get("cutoffs").and_then(|value| value.as_array());
    let listed = listed.ok_or_else(|| fields.refuse("cutoffs", &expected))?;
    let id = |value: &serde_json::Value| value.as_u64().and_then(|id| usize::try_from(id).ok());
    let cutoffs: Option<Vec<usize>> = listed.iter().map(id).collect();
    let cutoffs = cutoffs.filter(|cutoffs| {
        [&[0], &cutoffs[..], &[vocab_size]].concat().is_sorted_by(|before, after| before < after)
    });
    let cutoffs = cutoffs.ok_or_else(|| fields.refuse("cutoffs", &expected))?;
    let divisor = fields.usize_or("div_val", 1..=1 << 16, 4)?;
    let embedding = fields.usize_or("d_embed", 1..=1 << 16, 1024)?;
    let smallest = divisor.checked_pow(cutoffs.len() as u32).map_or(0, |by| embedding / by);
    if smallest == 0 {
        return Err(
            fields.refuse("div_val", format!("what leaves {embedding} channels one in every cluster"))
        );
    }
    Ok(Clusters { vocab_size, cutoffs, width, embedding, divisor })
}

/// `tie_projs`, a flag for each cluster; all but the first where it is absent.
fn tied(fields: &Fields, clusters: &Clusters) -> Result<Vec<bool>> {
    let count = clusters.cutoffs.len() + 1;
    let Some(value) = fields.get("tie_projs") else {
        let shares = fields.bool_or("proj_share_all_but_first", true)?;
        return Ok((0..count).map(|cluster| shares && cluster > 0).collect());
    };
    let flags = value.as_array().and_then(|flags| flags.iter().map(serde_json::Value::as_bool).collect());
    flags
        .filter(|flags: &Vec<bool>| flags.len() == count)
        .ok_or_else(|| fields.refuse("tie_projs", format!("{count} flags, one a cluster")))
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

impl Network for TransfoXl {
    fn facts(&self) -> &Facts {
        &self.config.facts
    }

    fn signature(&self) -> Signature {
        Signature::recurrent(&[Input::Ids])
    }

    fn record(&self, recorder: &mut Recorder<'_>, tokens: &Tokens) -> Result<Value> {
        let Config { facts: Facts { architecture, width, .. }, memory, attention, farthest, .. } =
            self.config;
        if tokens.layout != Layout::Recurrent {
            return Err(Error::new(ErrorKind::Unsupported, architecture, "layout")
                .expecting("segments of streams")
                .but_found("another"));
        }
        let time = recorder.desc(tokens.ids)?.shape.dims().last().copied().unwrap_or(0);
        let dtype = recorder.dtype();
        let distances = attention.same_length.map_or(memory + time, |seen| seen as usize);
        let positions = sinusoidal_positions(dtype, distances, width, farthest)?;
        let positions = ops::constant(recorder, positions)?;
        let positions = recorder.dropout(positions)?;
        let x = self.words.record(recorder, tokens.ids, dtype)?;
        let x = recorder.dropout(x)?;
        let x = recorder.layers(self.layers.len(), x, |recorder, index, x| {
            let layer = &self.layers[index];
            let mut memory = recorder.memory(index, x, memory)?;
            if layer.mixing.place == NormPlace::Before {
                memory = layer.mixing.norm.record(recorder, memory, None)?;
            }
            layer.record_around(recorder, x, |recorder, x| {
                layer.mixer.record(recorder, x, Some(memory), positions)
            })
        })?;
        recorder.dropout(x)
    }
}
