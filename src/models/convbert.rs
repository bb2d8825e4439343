//! ConvBERT (Jiang et al., arXiv 2008.02496): half of the heads are convolutions whose kernels are made of a span of tokens.
//!
//! Names and order of operations as in
//! <https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/models/convbert/modeling_convbert.py>. Convolutions read padding there, and
//! so they do here in a padded batch; a text alone, or packed with others, has none.

use std::sync::Arc;

use super::bert::LAYER;
use super::network::{Declared, Declaring};
use super::text_encoder::{Classifier, Defaults, TextConfig, TextEncoder, TextHeads, WordNames};
use crate::Result;
use crate::graph::Value;
use crate::nn::{
    Block, FeedForward, LayerNorm, LayerSpec, Layout, Linear, Mixer, Recorder, Residual, SpanConvAttention,
};
use crate::ops::Activation;
use crate::weights::{Fields, Scope};

const NAME: &str = "convbert";

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
    fn read(fields: &Fields, config: &TextConfig) -> Result<Self> {
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
        let intermediate = config.layer.intermediate;
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
    let fields = declaring.fields;
    let mut config = TextConfig::read(fields, NAME, Defaults::BERT)?.without_distances(fields)?;
    let own = Own::read(fields, &config)?;
    config.embeddings.widths = [own.embedding; 2];
    let width = config.facts.width;
    let mut base = declaring.base(NAME);
    let mut network = TextEncoder::declare(&config, &mut base, |base, index| {
        layer(&config.layer, own, &mut base.at(format_args!("encoder.layer.{index}")))
    })?;
    if own.embedding != width {
        network.widen = Some(Linear::declare(&mut base.at("embeddings_project"), own.embedding, width)?);
    }
    let heads = TextHeads {
        config: &config,
        words: WordNames {
            dense: "generator_predictions.dense",
            norm: "generator_predictions.LayerNorm",
            decoder: "generator_lm_head",
            biases: &["generator_lm_head.bias"],
        },
        activation: Activation::Gelu,
        classifier: Classifier::Dense(config.layer.activation),
    };
    let head = heads.declare(declaring, &network.embeddings.words)?;
    declaring.pass_over_heads(NAME);
    Ok(Declared { network: Arc::new(network), head })
}

fn layer(spec: &LayerSpec, own: Own, scope: &mut Scope<'_>) -> Result<Block<Mixed>> {
    let width = spec.width;
    let heads =
        SpanConvAttention::declare(&mut scope.at("attention.self"), [width, width / 2], own.heads, own.taps)?;
    let output = Linear::declare(&mut scope.at(LAYER.output), width, width)?;
    let mixer = Mixed { heads, output };
    if own.groups == 1 {
        return Block::declare_around(mixer, scope, &LAYER, spec);
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
