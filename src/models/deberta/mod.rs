//! DeBERTa (He et al., arXiv 2006.03654), and its versions 2 and 3 (arXiv 2111.09543): attention by content and by distance; most files
//! have no positions in the embeddings.
//!
//! Names and order of operations as in
//! <https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/models/deberta/modeling_deberta.py> and
//! `deberta_v2/modeling_deberta_v2.py`, which sets embeddings of padding to 0. Here attention never sees padding, and the convolution
//! of version 2 reads it as 0.

mod config;

use std::sync::Arc;

use super::bert::LAYER;
use super::embeddings::{Embeddings, EmbeddingsSpec};
use super::head::{Head, HeadResult, MaskedWords, Rows, masked_words, token_scores};
use super::network::{Declared, Declaring, Network};
use super::{Facts, Signature, Task, Tokens};
use crate::Result;
use crate::graph::Value;
use crate::nn::{
    Block, CentredConv1d, DisentangledAttention, Embedding, LayerNorm, Linear, Projections, Recorder,
};
use crate::ops::{self, Activation};
use crate::weights::Scope;
use config::{Config, ConvolutionSpec, Version};

#[derive(Debug)]
struct Deberta {
    facts: Facts,
    embeddings: Embeddings,
    layers: Vec<Block<DisentangledAttention>>,
    /// A vector for each distance, the same for all layers.
    relative: Embedding,
    relative_norm: Option<LayerNorm>,
    /// Added behind the first layer.
    conv: Option<Convolution>,
}

/// What a convolution makes of the embeddings, added to the first layer's result and normalised.
#[derive(Debug)]
struct Convolution {
    conv: CentredConv1d,
    activation: Activation,
    norm: LayerNorm,
}

pub(super) fn declare_v1(declaring: &mut Declaring<'_>) -> Result<Declared> {
    declare(declaring, Version::V1)
}

pub(super) fn declare_v2(declaring: &mut Declaring<'_>) -> Result<Declared> {
    declare(declaring, Version::V2)
}

fn declare(declaring: &mut Declaring<'_>, version: Version) -> Result<Declared> {
    let config = Config::read(declaring.fields, version)?;
    let network = Deberta::declare(&config, &mut declaring.base("deberta"))?;
    let head = head(declaring, &config, &network.embeddings.words)?;
    declaring.pass_over_heads("deberta");
    Ok(Declared { network: Arc::new(network), head })
}

/// The head for a task, as the `modeling_deberta.py` files have it.
fn head(declaring: &mut Declaring<'_>, config: &Config, words: &Embedding) -> Result<Option<Head>> {
    let width = config.facts.width;
    if let Some(scores) = token_scores(declaring, width)? {
        return Ok(Some(Head::of([scores])));
    }
    let (task, labels, is_tied) = (declaring.task, declaring.labels()?, declaring.ties_words()?);
    let mut root = declaring.root();
    let mut dense = |name, out| Linear::declare(&mut root.at(name), width, out);
    let result = match task {
        Task::Embed | Task::Hidden => return Ok(None),
        Task::Logits => {
            let head = MaskedWords {
                dense: "transform.dense",
                norm: "transform.LayerNorm",
                widths: [width, config.embedding],
                eps: config.layer.eps,
                activation: config.layer.activation,
                is_tied,
            };
            masked_words("logits", &mut root.at("cls.predictions"), words, &head)?
        }
        Task::Classify => HeadResult::new("logits", Rows::First)
            .dense(dense("pooler.dense", width)?, config.pooler)
            .dense(dense("classifier", labels)?, Activation::Identity),
        _ => return Err(declaring.no_head(config.facts.architecture)),
    };
    Ok(Some(Head::of([result])))
}

fn attention(config: &Config, scope: &mut Scope<'_>) -> Result<DisentangledAttention> {
    let width = config.facts.width;
    let mut own = scope.at("self");
    let is_v1 = config.version == Version::V1;
    let content = match config.version {
        Version::V1 => Projections::declare_together(&mut own, ["in_proj", "q_bias", "v_bias"], width)?,
        Version::V2 => Projections::declare_apart(&mut own, ["query_proj", "key_proj", "value_proj"], width)?,
    };
    let [key, query] = match (config.version, config.shares_projections) {
        (Version::V1, _) => ["pos_proj", "pos_q_proj"],
        (Version::V2, false) => ["pos_key_proj", "pos_query_proj"],
        (Version::V2, true) => ["key_proj", "query_proj"],
    };
    let key_layer = if is_v1 { Linear::declare_without_bias } else { Linear::declare };
    let [has_key, has_query] = config.terms;
    let position_key = has_key.then(|| key_layer(&mut own.at(key), width, width)).transpose()?;
    let position_query = has_query.then(|| Linear::declare(&mut own.at(query), width, width)).transpose()?;
    let output = Linear::declare(&mut scope.at("output.dense"), width, width)?;
    let (heads, distances) = (config.facts.heads, config.distances);
    Ok(DisentangledAttention { content, position_key, position_query, output, heads, distances })
}

impl Deberta {
    fn declare(config: &Config, base: &mut Scope<'_>) -> Result<Self> {
        let Facts { vocab_size, width, layers, types, max_tokens, .. } = config.facts;
        let eps = config.layer.eps;
        let spec = EmbeddingsSpec {
            words: vocab_size,
            positions: config.has_positions.then_some(max_tokens),
            types: config.has_types.then_some(types),
            widths: [config.embedding, width],
            eps,
        };
        let embeddings = Embeddings::declare(&mut base.at("embeddings"), &spec)?;
        let mut encoder = base.at("encoder");
        let layer = |index| {
            let mut scope = encoder.at(format_args!("layer.{index}"));
            let attention = attention(config, &mut scope.at("attention"))?;
            Block::declare_around(attention, &mut scope, &LAYER, &config.layer)
        };
        let layers = (0..layers).map(layer).collect::<Result<_>>()?;
        let rows = 2 * config.distances.span() as usize;
        let relative = Embedding::declare(&mut encoder.at("rel_embeddings"), rows, width)?;
        let mut layer_norm = |path| LayerNorm::declare(&mut encoder.at(path), width, eps);
        let relative_norm = config.norms_relative.then(|| layer_norm("LayerNorm")).transpose()?;
        let conv = match config.conv {
            None => None,
            Some(ConvolutionSpec { kernel, groups, activation }) => {
                let norm = layer_norm("conv.LayerNorm")?;
                let mut scope = encoder.at("conv.conv");
                let conv = CentredConv1d::declare_in_groups(&mut scope, width, width, kernel, groups)?;
                Some(Convolution { conv, activation, norm })
            }
        };
        Ok(Self { facts: config.facts, embeddings, layers, relative, relative_norm, conv })
    }
}

impl Network for Deberta {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Each token has a product with the vector of each distance, in every head and for every term.
    fn signature(&self) -> Signature {
        let terms = |layer: &Block<DisentangledAttention>| {
            let DisentangledAttention { position_key, position_query, heads, distances, .. } = &layer.mixer;
            let terms = usize::from(position_key.is_some()) + usize::from(position_query.is_some());
            terms * heads * 2 * distances.span() as usize
        };
        let numbers_per_token = self.layers.first().map_or(0, terms);
        Signature { numbers_per_token, ..Signature::encoder(self.embeddings.inputs()) }
    }

    fn record(&self, recorder: &mut Recorder<'_>, tokens: &Tokens) -> Result<Value> {
        let embedded = self.embeddings.record(recorder, tokens)?;
        let mut relative = recorder.weight(self.relative.weight())?;
        if let Some(norm) = &self.relative_norm {
            relative = norm.record(recorder, relative, None)?;
        }
        recorder.layers(self.layers.len(), embedded, |recorder, index, x| {
            let layer = &self.layers[index];
            let x = layer.record_around(recorder, x, |recorder, x| {
                layer.mixer.record(recorder, x, relative, &tokens.layout)
            })?;
            let Some(Convolution { conv, activation, norm }) = self.conv.as_ref().filter(|_| index == 0)
            else {
                return Ok(x);
            };
            let convolved = conv.record(recorder, embedded, &tokens.layout)?;
            let added = ops::activate(recorder, convolved, *activation)?;
            norm.record(recorder, added, Some(x))
        })
    }
}
