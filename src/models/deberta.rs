//! DeBERTa (He et al., arXiv 2006.03654), and its versions 2 and 3 (arXiv 2111.09543): attention by content and by distance; most files
//! have no positions in the embeddings.
//!
//! Names and order of operations as in
//! <https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/models/deberta/modeling_deberta.py> and
//! `deberta_v2/modeling_deberta_v2.py`, which sets embeddings of padding to 0. Here attention never sees padding, and the convolution
//! of version 2 reads it as 0.

use std::sync::Arc;

use super::bert::{LAYER, WORDS};
use super::network::{Declared, Declaring, Network, activation};
use super::positions::positive;
use super::text_encoder::{Classifier, Defaults, Embeddings, TextConfig, TextHeads};
use super::{Facts, Signature, Tokens};
use crate::Result;
use crate::graph::Value;
use crate::nn::{
    Block, ConvResidual, DisentangledAttention, DisentangledForm, Distances, Embedding, LayerNorm, Recorder,
};
use crate::ops::Activation;
use crate::weights::{Fields, Scope};

#[derive(Debug)]
struct Deberta {
    facts: Facts,
    embeddings: Embeddings,
    layers: Vec<Block<DisentangledAttention>>,
    /// A vector for each distance, the same for all layers.
    relative: Embedding,
    relative_norm: Option<LayerNorm>,
    /// Of the embeddings, added behind the first layer.
    conv: Option<ConvResidual>,
}

/// The first version, or one of the later two, which are one family of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// What `config.json` says, checked.
struct Config {
    form: DisentangledForm,
    text: TextConfig,
    distances: Distances,
    norms_relative: bool,
    /// Content to position, and position to content.
    terms: [bool; 2],
    /// Kernel, groups and activation of the convolution behind the first layer.
    conv: Option<(usize, usize, Activation)>,
    pooler: Activation,
}

impl Config {
    fn read(fields: &Fields, version: Version) -> Result<Self> {
        let is_v2 = version == Version::V2;
        let name = if is_v2 { "deberta-v2" } else { "deberta" };
        let defaults = Defaults { types: 0, eps: 1e-7, ..Defaults::BERT };
        let mut text = TextConfig::read(fields, name, defaults)?.without_distances(fields)?;
        let Facts { width, heads, max_tokens, .. } = text.facts;
        // Where absent, as Hugging Face's configurations have it.
        for (field, wanted) in [("relative_attention", true), ("talking_head", false)] {
            if fields.bool_or(field, false)? != wanted {
                return Err(fields.refuse(field, wanted));
            }
        }
        for (field, wanted) in [("pooler_hidden_size", width), ("attention_head_size", width / heads)] {
            fields.usize_or(field, wanted..=wanted, wanted)?;
        }
        if !fields.bool_or("position_biased_input", true)? {
            text.embeddings.positions = None;
        }
        text.embeddings.widths[0] = fields.usize_or("embedding_size", 1..=1 << 16, width)?;
        let norms = [("none", false), ("layer_norm", true)];
        Ok(Self {
            form: match (version, fields.bool_or("share_att_key", false)?) {
                (Version::V1, _) => DisentangledForm::Together,
                (Version::V2, false) => DisentangledForm::Apart,
                (Version::V2, true) => DisentangledForm::Shared,
            },
            text,
            distances: Distances::read(fields, max_tokens, is_v2)?,
            norms_relative: is_v2 && fields.choice_or("norm_rel_ebd", &norms, false)?,
            terms: Distances::terms(fields)?,
            conv: if is_v2 { convolution(fields, width)? } else { None },
            pooler: activation(fields, "pooler_hidden_act", Activation::Gelu)?,
        })
    }
}

fn convolution(fields: &Fields, width: usize) -> Result<Option<(usize, usize, Activation)>> {
    let Some(kernel) = positive(fields, "conv_kernel_size")? else { return Ok(None) };
    if kernel.is_multiple_of(2) || kernel > 63 {
        return Err(fields.refuse("conv_kernel_size", "an odd number up to 63"));
    }
    let groups = fields.usize_or("conv_groups", 1..=width, 1)?;
    if !width.is_multiple_of(groups) {
        return Err(fields.refuse("conv_groups", format!("a divisor of the width, {width}")));
    }
    Ok(Some((kernel, groups, activation(fields, "conv_act", Activation::Tanh)?)))
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
    let heads = TextHeads {
        config: &config.text,
        words: WORDS,
        activation: config.text.layer.activation,
        // Files have the pooler beside the network.
        classifier: Classifier::Pooled {
            base: "",
            pooler: "pooler.dense",
            activation: config.pooler,
            pairs: None,
        },
    };
    let head = heads.declare(declaring, &network.embeddings.words)?;
    declaring.pass_over_heads("deberta");
    Ok(Declared { network: Arc::new(network), head })
}

impl Deberta {
    fn declare(config: &Config, base: &mut Scope<'_>) -> Result<Self> {
        let Facts { width, layers, heads, .. } = config.text.facts;
        let extents = [width, heads];
        let embeddings = Embeddings::declare(&mut base.at("embeddings"), &config.text.embeddings)?;
        let mut encoder = base.at("encoder");
        let layer = |index| {
            let mut scope = encoder.at(format_args!("layer.{index}"));
            let mut own = scope.at("attention");
            let attention = DisentangledAttention::declare(
                &mut own,
                config.form,
                extents,
                config.terms,
                config.distances,
            )?;
            Block::declare_around(attention, &mut scope, &LAYER, &config.text.layer)
        };
        let layers = (0..layers).map(layer).collect::<Result<_>>()?;
        let rows = 2 * config.distances.span() as usize;
        let relative = Embedding::declare(&mut encoder.at("rel_embeddings"), rows, width)?;
        let relative_norm = match config.norms_relative {
            true => Some(LayerNorm::declare(&mut encoder.at("LayerNorm"), width, config.text.layer.eps)?),
            false => None,
        };
        let conv = |(kernel, groups, activation)| {
            let scope = &mut encoder.at("conv");
            ConvResidual::declare(scope, [width, kernel, groups], activation, config.text.layer.eps)
        };
        let conv = config.conv.map(conv).transpose()?;
        Ok(Self { facts: config.text.facts, embeddings, layers, relative, relative_norm, conv })
    }
}

impl Network for Deberta {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn signature(&self) -> Signature {
        let numbers_per_token = self.layers.first().map_or(0, |layer| layer.mixer.numbers_per_token());
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
            match &self.conv {
                Some(conv) if index == 0 => conv.record(recorder, embedded, x, &tokens.layout),
                _ => Ok(x),
            }
        })
    }
}
