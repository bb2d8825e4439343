//! GPT-2 (Radford et al., Language Models are Unsupervised Multitask Learners, 2019): causal layers, normalised before each sum.
//!
//! Names and order of operations as in
//! <https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/models/gpt2/modeling_gpt2.py>, whose dense layers
//! (`Conv1D`) store their weights `[in, out]`, and those of queries, keys and values in one.

use std::sync::Arc;

use super::head::{Head, HeadResult, Rows, decoder};
use super::network::{Declared, Declaring, MOST_LAYERS, Network, activation, head_count};
use super::{Facts, Input, Signature, Task, Tokens};
use crate::Result;
use crate::graph::Value;
use crate::nn::{
    Block, Embedding, FeedForward, LayerNorm, Linear, Projections, Recorder, Residual, SelfAttention,
};
use crate::ops::Activation;
use crate::ops::attention::{Blocked, Mask};
use crate::weights::{Fields, Scope};

#[derive(Debug)]
struct Gpt2 {
    facts: Facts,
    words: Embedding,
    positions: Embedding,
    layers: Vec<Block>,
    norm: LayerNorm,
}

/// What `config.json` says, checked.
struct Config {
    facts: Facts,
    inner: usize,
    eps: f32,
    activation: Activation,
    /// Whether scores are divided by the root of a head's channels, and by the number of the layer besides.
    scaled: [bool; 2],
}

impl Config {
    fn read(fields: &Fields) -> Result<Self> {
        let width = fields.usize("n_embd", 1..=1 << 16)?;
        if fields.bool_or("add_cross_attention", false)? {
            return Err(fields.refuse("add_cross_attention", "false"));
        }
        let facts = Facts {
            architecture: "gpt2",
            vocab_size: fields.usize("vocab_size", 1..=1 << 24)?,
            width,
            layers: fields.usize("n_layer", 1..=MOST_LAYERS)?,
            heads: head_count(fields, "n_head", width)?,
            types: 1,
            first_position: 0,
            max_tokens: fields.usize("n_positions", 1..=1 << 24)?,
        };
        Ok(Self {
            facts,
            inner: fields.usize_or("n_inner", 1..=1 << 20, 4 * width)?,
            eps: fields.f32_or("layer_norm_epsilon", f32::MIN_POSITIVE..=1.0, 1e-5)?,
            activation: activation(fields, "activation_function", Activation::GeluTanh)?,
            scaled: [
                fields.bool_or("scale_attn_weights", true)?,
                fields.bool_or("scale_attn_by_inverse_layer_idx", false)?,
            ],
        })
    }

    /// Causal attention of layer `index`, as its scores are scaled.
    fn attend(&self, index: usize) -> Blocked {
        let [by_size, by_layer] = self.scaled;
        let size = (self.facts.width / self.facts.heads) as f32;
        let scale = if by_size { size.sqrt().recip() } else { 1.0 };
        let scale = if by_layer { scale / (index + 1) as f32 } else { scale };
        Blocked::new().mask(Mask::causal()).scale(scale)
    }
}

pub(super) fn declare(declaring: &mut Declaring<'_>) -> Result<Declared> {
    let config = Config::read(declaring.fields)?;
    let network = Gpt2::declare(&config, &mut declaring.base("transformer"))?;
    let width = config.facts.width;
    let head = match declaring.task {
        Task::Embed | Task::Hidden => None,
        Task::Logits => {
            let is_tied = declaring.ties_words()?;
            let decoder = decoder(declaring, &network.words, is_tied)?;
            Some(HeadResult::new("logits", Rows::Wanted).dense(decoder, Activation::Identity))
        }
        Task::Classify => {
            let labels = declaring.labels()?;
            let score = Linear::declare_without_bias(&mut declaring.root().at("score"), width, labels)?;
            let fields = declaring.fields;
            let padding = match fields.has("pad_token_id") {
                // Ids are below 2^24, as the vocabulary is.
                true => Some(fields.usize("pad_token_id", 0..=(1 << 24) - 1)? as u32),
                false => None,
            };
            Some(HeadResult::new("logits", Rows::Last { padding }).dense(score, Activation::Identity))
        }
        _ => return Err(declaring.no_head("gpt2")),
    };
    declaring.pass_over_heads("transformer");
    Ok(Declared { network: Arc::new(network), head: head.map(|result| Head::of([result])) })
}

impl Gpt2 {
    fn declare(config: &Config, base: &mut Scope<'_>) -> Result<Self> {
        let Facts { vocab_size, width, heads, layers, max_tokens, .. } = config.facts;
        let words = Embedding::declare(&mut base.at("wte"), vocab_size, width)?;
        let positions = Embedding::declare(&mut base.at("wpe"), max_tokens, width)?;
        let norm = LayerNorm::declare(&mut base.at("ln_f"), width, config.eps)?;
        let layer = |index| {
            let mut scope = base.at(format_args!("h.{index}"));
            // Masks that old files hold.
            ["attn.bias", "attn.masked_bias"].iter().for_each(|buffer| scope.ignore(buffer));
            let mut normed =
                |name| LayerNorm::declare(&mut scope.at(name), width, config.eps).map(Residual::before);
            let (mixing, feeding) = (normed("ln_1")?, normed("ln_2")?);
            let mut dense = |name, inner, out| Linear::declare_in_out(&mut scope.at(name), inner, out);
            let projections = Projections::Fused(dense("attn.c_attn", width, 3 * width)?);
            let mixer = SelfAttention::new(projections, dense("attn.c_proj", width, width)?, heads);
            let mixer = mixer.attending(config.attend(index));
            let (up, down) =
                (dense("mlp.c_fc", width, config.inner)?, dense("mlp.c_proj", config.inner, width)?);
            let feed_forward = FeedForward { up, gate: None, activation: config.activation, down };
            Ok(Block { mixer, mixing, cross: None, feed_forward, feeding })
        };
        let layers = (0..layers).map(layer).collect::<Result<_>>()?;
        Ok(Self { facts: config.facts, words, positions, layers, norm })
    }
}

impl Network for Gpt2 {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn signature(&self) -> Signature {
        Signature::causal(&[Input::Ids, Input::Positions])
    }

    fn record(&self, recorder: &mut Recorder<'_>, tokens: &Tokens) -> Result<Value> {
        let tables = [(&self.words, tokens.ids), (&self.positions, tokens.positions)];
        let dtype = recorder.dtype();
        let embedded = Embedding::record_sum(recorder, &tables, dtype)?;
        let embedded = recorder.dropout(embedded)?;
        let x = recorder.layers(self.layers.len(), embedded, |recorder, layer, x| {
            self.layers[layer].record(recorder, x, &tokens.layout, None)
        })?;
        let x = self.norm.record(recorder, x, None)?;
        recorder.replace_last(x);
        Ok(x)
    }
}
