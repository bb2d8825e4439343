//! T5 (Raffel et al., arXiv 1910.10683): an encoder and a decoder, normalised before each sum, with a bias of scores for each bucket of distances;
//! scores are not scaled.
//!
//! Names and order of operations as in
//! <https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/models/t5/modeling_t5.py>. For embeddings and hidden states
//! it is the encoder alone.

use std::sync::Arc;

use super::head::{Head, HeadResult, Rows, decoder};
use super::network::{Declared, Declaring, MOST_LAYERS, MOST_TOKENS, Network, feed_forward};
use super::source::{SourceTokens, cross};
use super::{EncoderDecoder, Facts, Input, Signature, Task, Tokens};
use crate::Result;
use crate::graph::Value;
use crate::nn::{
    Block, BucketBias, BucketStack, Embedding, FeedForward, Recorder, Residual, RmsNorm, SelfAttention,
};
use crate::ops::Activation;
use crate::ops::attention::{Blocked, Buckets, MAX_HEAD_SIZE};
use crate::weights::{Fields, Scope};

/// What `config.json` says, checked.
#[derive(Clone, Copy, Debug)]
struct Config {
    facts: Facts,
    texts: EncoderDecoder,
    decoder_layers: usize,
    head_size: usize,
    inner: usize,
    activation: Activation,
    is_gated: bool,
    eps: f32,
    /// Of the encoder; the decoder's are of distances to what came before.
    buckets: Buckets,
    is_tied: bool,
}

#[derive(Debug)]
struct T5 {
    config: Config,
    words: Embedding,
    encoder: BucketStack,
    decoder: Option<BucketStack>,
}

impl Config {
    fn read(fields: &Fields) -> Result<Self> {
        let width = fields.usize("d_model", 1..=1 << 16)?;
        let layers = fields.usize("num_layers", 1..=MOST_LAYERS)?;
        let vocab_size = fields.usize("vocab_size", 1..=1 << 24)?;
        let (activation, is_gated) = feed_forward(fields)?;
        let facts = Facts {
            architecture: "t5",
            vocab_size,
            width,
            layers,
            heads: fields.usize("num_heads", 1..=1 << 16)?,
            types: 1,
            first_position: 0,
            max_tokens: MOST_TOKENS,
        };
        Ok(Self {
            facts,
            texts: EncoderDecoder::read(fields, vocab_size, MOST_TOKENS)?,
            decoder_layers: fields.usize_or("num_decoder_layers", 1..=MOST_LAYERS, layers)?,
            head_size: fields.usize("d_kv", 1..=MAX_HEAD_SIZE)?,
            inner: fields.usize("d_ff", 1..=1 << 20)?,
            activation,
            is_gated,
            eps: fields.f32_or("layer_norm_epsilon", f32::MIN_POSITIVE..=1.0, 1e-6)?,
            buckets: Buckets::read(fields, true)?,
            is_tied: fields.bool_or("tie_word_embeddings", true)?,
        })
    }
}

pub(super) fn declare(declaring: &mut Declaring<'_>) -> Result<Declared> {
    let config = Config::read(declaring.fields)?;
    let Facts { vocab_size, width, .. } = config.facts;
    let mut root = declaring.root();
    let words = Embedding::declare(&mut root.at("shared"), vocab_size, width)?;
    for copy in ["encoder", "decoder"] {
        root.tied(&format!("{copy}.embed_tokens.weight"), words.weight())?;
    }
    let encoder = declare_stack(&config, &mut root.at("encoder"), false)?;
    let (decoder, head) = match declaring.task {
        Task::Embed | Task::Hidden => {
            declaring.root().ignore("decoder");
            (None, None)
        }
        Task::Logits => {
            let scores = decoder(declaring, &words, config.is_tied)?;
            let mut result = HeadResult::new("logits", Rows::Wanted);
            if config.is_tied {
                result = result.scale((width as f32).sqrt().recip());
            }
            let result = result.dense(scores, Activation::Identity);
            let decoder = declare_stack(&config, &mut declaring.root().at("decoder"), true)?;
            (Some(decoder), Some(Head::of([result])))
        }
        _ => return Err(declaring.no_head("t5")),
    };
    declaring.pass_over_heads("");
    Ok(Declared { network: Arc::new(T5 { config, words, encoder, decoder }), head })
}

fn declare_stack(config: &Config, scope: &mut Scope<'_>, is_decoder: bool) -> Result<BucketStack> {
    let Facts { width, layers, heads, .. } = config.facts;
    let layers = if is_decoder { config.decoder_layers } else { layers };
    let buckets = Buckets { bidirectional: !is_decoder, ..config.buckets };
    let mut distances = scope.at("block.0.layer.0.SelfAttention.relative_attention_bias");
    let distances = BucketBias::declare(&mut distances, heads, buckets)?;
    let norm = RmsNorm::declare(&mut scope.at("final_layer_norm"), width, config.eps)?.into();
    let layer = |index| declare_layer(config, &mut scope.at(format_args!("block.{index}.layer")), is_decoder);
    let layers = (0..layers).map(layer).collect::<Result<_>>()?;
    Ok(BucketStack { layers, norm, distances })
}

/// A layer; `scope` is that of its parts, which are numbered.
fn declare_layer(config: &Config, scope: &mut Scope<'_>, is_decoder: bool) -> Result<Block> {
    let Config { facts: Facts { width, heads, .. }, head_size, inner, activation, is_gated, eps, .. } =
        *config;
    let attention = |scope: &mut Scope<'_>, name: &str| {
        // Heads need not share the width, and scores are not scaled.
        let (names, extents) = (["q", "k", "v", "o"], [width, heads * head_size]);
        let layer = SelfAttention::declare_without_bias(&mut scope.at(name), names, extents, heads)?;
        Ok(layer.attending(Blocked::new().scale(1.0)))
    };
    let norm = |scope: &mut Scope<'_>, part: usize| {
        let path = format!("{part}.layer_norm");
        RmsNorm::declare(&mut scope.at(path), width, eps).map(Residual::before)
    };
    let (mixer, mixing) = (attention(scope, "0.SelfAttention")?, norm(scope, 0)?);
    let mut cross = None;
    if is_decoder {
        // The first releases hold a table that nothing reads.
        scope.ignore("1.EncDecAttention.relative_attention_bias");
        cross = Some((norm(scope, 1)?, attention(scope, "1.EncDecAttention")?));
    }
    let last = if is_decoder { 2 } else { 1 };
    let feeding = norm(scope, last)?;
    let names = if is_gated { ("wi_0", Some("wi_1"), "wo") } else { ("wi", None, "wo") };
    let mut scope = scope.at(format_args!("{last}.DenseReluDense"));
    let feed_forward = FeedForward::declare_without_bias(&mut scope, names, [width, inner], activation)?;
    Ok(Block { mixer, mixing, cross, feed_forward, feeding })
}

impl T5 {
    fn embed(&self, recorder: &mut Recorder<'_>, ids: Value) -> Result<Value> {
        let dtype = recorder.dtype();
        Embedding::record_sum(recorder, &[(&self.words, ids)], dtype)
    }
}

impl Network for T5 {
    fn facts(&self) -> &Facts {
        &self.config.facts
    }

    fn signature(&self) -> Signature {
        match self.decoder {
            Some(_) => Signature::encoder_decoder(&[Input::Ids], self.config.texts),
            None => Signature::encoder(&[Input::Ids]),
        }
    }

    fn record(&self, recorder: &mut Recorder<'_>, tokens: &Tokens) -> Result<Value> {
        let Some(decoder) = &self.decoder else {
            let x = self.embed(recorder, tokens.ids)?;
            return self.encoder.record(recorder, x, &tokens.layout, None);
        };
        let heads = [self.config.facts.heads, self.config.head_size];
        let cross = cross(self, recorder, tokens, decoder.layers.len(), heads)?;
        recorder.name_hidden("decoder_hidden");
        let x = self.embed(recorder, tokens.ids)?;
        decoder.record(recorder, x, &tokens.layout, Some(&cross))
    }

    fn encode(&self, recorder: &mut Recorder<'_>, source: &SourceTokens) -> Result<Vec<[Value; 2]>> {
        recorder.name_hidden("encoder_hidden");
        let x = self.embed(recorder, source.ids)?;
        let encoded = self.encoder.record(recorder, x, &source.layout(), None)?;
        self.decoder.as_ref().map_or(Ok(Vec::new()), |decoder| decoder.keys_and_values(recorder, encoded))
    }
}
