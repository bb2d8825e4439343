//! ConvBERT (Jiang et al., arXiv 2008.02496): half of the heads are convolutions whose kernels are made of a span of tokens.
//!
//! Names and order of operations as in
//! <https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/models/convbert/modeling_convbert.py>. Convolutions read padding there, and
//! so they do here in a padded batch; a text alone, or packed with others, has none.

use std::sync::Arc;

use super::bert::{Config, LAYER, Variant};
use super::embeddings::Embeddings;
use super::head::{Head, HeadResult, Rows, decoder_weight, token_scores};
use super::network::{Declared, Declaring, Network};
use super::positions::Positions;
use super::{Facts, Signature, Task, Tokens};
use crate::Result;
use crate::graph::Value;
use crate::nn::{
    Block, Embedding, FeedForward, LayerNorm, Layout, Linear, Mixer, Recorder, Residual, SpanConvAttention,
};
use crate::ops::Activation;
use crate::weights::{Fields, Scope};

const NAME: &str = "convbert";

#[derive(Debug)]
struct ConvBert {
    facts: Facts,
    embeddings: Embeddings,
    /// From the embeddings' width to the layers', where these differ.
    widen: Option<Linear>,
    layers: Vec<Block<Mixed>>,
}

/// Attention and convolution heads, joined.
#[derive(Debug)]
struct Mixed {
    heads: SpanConvAttention,
    output: Linear,
}

/// What `config.json` says beyond BERT's settings.
#[derive(Clone, Copy, Debug)]
struct Own {
    embedding: usize,
    /// Heads that attend; as many are convolutions.
    heads: usize,
    taps: usize,
    /// Groups of the feed-forward network's channels.
    groups: usize,
}

impl Own {
    fn read(fields: &Fields, config: &Config) -> Result<Self> {
        let (width, heads) = (config.facts.width, config.facts.heads);
        let ratio = fields.usize_or("head_ratio", 1..=1 << 16, 2)?;
        let attending = (heads / ratio).max(1);
        if !width.is_multiple_of(2 * attending) {
            let expected =
                format!("such that twice the heads that are left, {attending}, divide the width, {width}");
            return Err(fields.refuse("head_ratio", expected));
        }
        let taps = fields.usize_or("conv_kernel_size", 1..=1 << 16, 9)?;
        if taps.is_multiple_of(2) {
            return Err(fields.refuse("conv_kernel_size", "an odd number"));
        }
        let groups = fields.usize_or("num_groups", 1..=width, 1)?;
        let intermediate = config.layer().intermediate;
        if !width.is_multiple_of(groups) || !intermediate.is_multiple_of(groups) {
            return Err(
                fields.refuse("num_groups", format!("a divisor of {width} and {intermediate} channels"))
            );
        }
        let embedding = fields.usize_or("embedding_size", 1..=1 << 16, 768)?;
        Ok(Self { embedding, heads: attending, taps, groups })
    }
}

pub(super) fn declare(declaring: &mut Declaring<'_>) -> Result<Declared> {
    let mut config = Config::read(declaring.fields, Variant::Bert)?;
    Positions::refuse_distances(declaring.fields)?;
    config.facts.architecture = NAME;
    let own = Own::read(declaring.fields, &config)?;
    let network = ConvBert::declare(&config, own, &mut declaring.base(NAME))?;
    let head = head(declaring, &config, own.embedding, &network.embeddings.words)?;
    declaring.pass_over_heads(NAME);
    Ok(Declared { network: Arc::new(network), head })
}

/// The head for a task, as `modeling_convbert.py` has it.
fn head(
    declaring: &mut Declaring<'_>,
    config: &Config,
    embedding: usize,
    words: &Embedding,
) -> Result<Option<Head>> {
    let (width, layer) = (config.facts.width, config.layer());
    if let Some(scores) = token_scores(declaring, width)? {
        return Ok(Some(Head::of([scores])));
    }
    let (task, labels, is_tied) = (declaring.task, declaring.labels()?, declaring.ties_words()?);
    let mut root = declaring.root();
    let result = match task {
        Task::Embed | Task::Hidden => return Ok(None),
        Task::Logits => {
            let mut scope = root.at("generator_predictions");
            let narrow = HeadResult::new("logits", Rows::Wanted).declare_dense(
                &mut scope.at("dense"),
                [width, embedding],
                Activation::Gelu,
            )?;
            let norm = LayerNorm::declare(&mut scope.at("LayerNorm"), embedding, layer.eps)?;
            let mut scope = root.at("generator_lm_head");
            let weight = decoder_weight(&mut scope, words, is_tied)?;
            let bias = scope.weight("bias", [words.weight().shape().dims()[0]])?;
            narrow.norm(norm).dense(Linear::of(weight, Some(bias)), Activation::Identity)
        }
        Task::Classify => {
            let mut scope = root.at("classifier");
            HeadResult::new("logits", Rows::First)
                .declare_dense(&mut scope.at("dense"), [width, width], layer.activation)?
                .declare_dense(&mut scope.at("out_proj"), [width, labels], Activation::Identity)?
        }
        _ => return Err(declaring.no_head(NAME)),
    };
    Ok(Some(Head::of([result])))
}

fn layer(config: &Config, own: Own, scope: &mut Scope<'_>) -> Result<Block<Mixed>> {
    let spec = config.layer();
    let width = spec.width;
    let heads =
        SpanConvAttention::declare(&mut scope.at("attention.self"), [width, width / 2], own.heads, own.taps)?;
    let output = Linear::declare(&mut scope.at(LAYER.output), width, width)?;
    let mixer = Mixed { heads, output };
    if own.groups == 1 {
        return Block::declare_around(mixer, scope, &LAYER, &spec);
    }
    let mut dense = |name, inner, out| Linear::declare_in_groups(&mut scope.at(name), inner, out, own.groups);
    let (up, down) =
        (dense(LAYER.up, width, spec.intermediate)?, dense(LAYER.down, spec.intermediate, width)?);
    let mut normed = |name| LayerNorm::declare(&mut scope.at(name), width, spec.eps).map(Residual::after);
    Ok(Block {
        mixer,
        mixing: normed(LAYER.attention_norm)?,
        cross: None,
        feed_forward: FeedForward { up, gate: None, activation: spec.activation, down },
        feeding: normed(LAYER.norm)?,
    })
}

impl Mixer for Mixed {
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        let mixed = self.heads.record(recorder, x, memory, layout)?;
        self.output.record(recorder, mixed, Activation::Identity)
    }
}

impl ConvBert {
    fn declare(config: &Config, own: Own, base: &mut Scope<'_>) -> Result<Self> {
        let width = config.facts.width;
        let embeddings = config.embeddings_of(own.embedding, base)?;
        let mut widen = || Linear::declare(&mut base.at("embeddings_project"), own.embedding, width);
        let widen = (own.embedding != width).then(&mut widen).transpose()?;
        let layer = |index| layer(config, own, &mut base.at(format_args!("encoder.layer.{index}")));
        let layers = (0..config.facts.layers).map(layer).collect::<Result<_>>()?;
        Ok(Self { facts: config.facts, embeddings, widen, layers })
    }
}

impl Network for ConvBert {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn signature(&self) -> Signature {
        Signature::encoder(self.embeddings.inputs())
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
