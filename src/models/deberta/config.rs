//! What a DeBERTa's `config.json` says.

use super::super::Facts;
use super::super::network::{MOST_LAYERS, activation, head_count, refuse_decoders};
use super::super::positions::Positions;
use crate::Result;
use crate::nn::{Distances, LayerSpec};
use crate::ops::Activation;
use crate::ops::attention::LogBuckets;
use crate::weights::Fields;

/// The first version, or one of the later two, which are one family of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// The convolution behind the first layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConvolutionSpec {
    pub(super) kernel: usize,
    pub(super) groups: usize,
    pub(super) activation: Activation,
}

/// What `config.json` says, checked.
pub(super) struct Config {
    pub(super) version: Version,
    pub(super) facts: Facts,
    pub(super) has_types: bool,
    /// Whether embeddings know positions.
    pub(super) has_positions: bool,
    /// Channels of an embedding.
    pub(super) embedding: usize,
    pub(super) layer: LayerSpec,
    pub(super) distances: Distances,
    pub(super) norms_relative: bool,
    /// Whether distances share the projections of words.
    pub(super) shares_projections: bool,
    /// Content to position, and position to content.
    pub(super) terms: [bool; 2],
    pub(super) conv: Option<ConvolutionSpec>,
    pub(super) pooler: Activation,
}

impl Config {
    pub(super) fn read(fields: &Fields, version: Version) -> Result<Self> {
        let width = fields.usize("hidden_size", 1..=1 << 16)?;
        let heads = head_count(fields, "num_attention_heads", width)?;
        let has_types = fields.usize_or("type_vocab_size", 0..=1 << 16, 0)?;
        let facts = Facts {
            architecture: if version == Version::V1 { "deberta" } else { "deberta-v2" },
            vocab_size: fields.usize("vocab_size", 1..=1 << 24)?,
            width,
            layers: fields.usize("num_hidden_layers", 1..=MOST_LAYERS)?,
            heads,
            types: has_types.max(1),
            first_position: 0,
            max_tokens: fields.usize("max_position_embeddings", 1..=1 << 20)?,
        };
        refuse_other_variations(fields, &facts)?;
        let is_v2 = version == Version::V2;
        let activation = |field| activation(fields, field, Activation::Gelu);
        Ok(Self {
            version,
            facts,
            has_types: has_types > 0,
            // Where absent, as Hugging Face's configurations have it.
            has_positions: fields.bool_or("position_biased_input", true)?,
            embedding: fields.usize_or("embedding_size", 1..=1 << 16, width)?,
            layer: LayerSpec {
                width,
                intermediate: fields.usize("intermediate_size", 1..=1 << 20)?,
                heads,
                eps: fields.f32_or("layer_norm_eps", f32::MIN_POSITIVE..=1.0, 1e-7)?,
                activation: activation("hidden_act")?,
            },
            distances: distances(fields, version, facts.max_tokens)?,
            norms_relative: is_v2 && norms_relative(fields)?,
            shares_projections: is_v2 && fields.bool_or("share_att_key", false)?,
            terms: terms(fields)?,
            conv: if is_v2 { convolution(fields, width)? } else { None },
            pooler: activation("pooler_hidden_act")?,
        })
    }
}

/// Refuses what the configuration may ask for and these models do not have.
fn refuse_other_variations(fields: &Fields, facts: &Facts) -> Result<()> {
    refuse_decoders(fields)?;
    Positions::refuse_distances(fields)?;
    // Where absent, as Hugging Face's configurations have it.
    for (field, wanted) in [("relative_attention", true), ("talking_head", false)] {
        if fields.bool_or(field, false)? != wanted {
            return Err(fields.refuse(field, wanted));
        }
    }
    let (width, size) = (facts.width, facts.width / facts.heads);
    for (field, wanted) in [("pooler_hidden_size", width), ("attention_head_size", size)] {
        fields.usize_or(field, wanted..=wanted, wanted)?;
    }
    Ok(())
}

/// A whole number, or none where it is absent or below 1.
fn positive(fields: &Fields, field: &str) -> Result<Option<usize>> {
    match fields.get(field).map(|value| value.as_i64()) {
        None => Ok(None),
        Some(Some(number)) if number < 1 => Ok(None),
        Some(_) => fields.usize(field, 1..=1 << 20).map(Some),
    }
}

fn distances(fields: &Fields, version: Version, positions: usize) -> Result<Distances> {
    // All are at most 2^20.
    let farthest = positive(fields, "max_relative_positions")?.unwrap_or(positions) as u32;
    let buckets = if version == Version::V2 { positive(fields, "position_buckets")? } else { None };
    let Some(span) = buckets else { return Ok(Distances::Exact(farthest)) };
    let span = span as u32;
    if span < 2 || span / 2 + 1 >= farthest {
        let expected =
            format!("2 or more, and half of it more than 1 below the farthest distance, {farthest}");
        return Err(fields.refuse("position_buckets", expected));
    }
    Ok(Distances::Buckets(LogBuckets { span, max_distance: farthest }))
}

fn norms_relative(fields: &Fields) -> Result<bool> {
    fields.choice_or("norm_rel_ebd", &[("none", false), ("layer_norm", true)], false)
}

/// Which of content to position and position to content scores have: a list, or names with `|` between them.
fn terms(fields: &Fields) -> Result<[bool; 2]> {
    let field = "pos_att_type";
    let names: Option<Vec<&str>> = match fields.get(field) {
        Some(serde_json::Value::String(names)) => Some(names.split('|').map(str::trim).collect()),
        Some(serde_json::Value::Array(names)) => names.iter().map(|name| name.as_str()).collect(),
        _ => None,
    };
    let has = |names: &[&str], wanted: &str| names.iter().any(|name| name.eq_ignore_ascii_case(wanted));
    let found = names.map(|names| (names.len(), [has(&names, "c2p"), has(&names, "p2c")]));
    match found {
        Some((count, terms)) if count > 0 && terms.iter().filter(|term| **term).count() == count => Ok(terms),
        _ => Err(fields.refuse(field, "c2p, p2c or both, each once")),
    }
}

fn convolution(fields: &Fields, width: usize) -> Result<Option<ConvolutionSpec>> {
    let Some(kernel) = positive(fields, "conv_kernel_size")? else { return Ok(None) };
    if kernel.is_multiple_of(2) || kernel > 63 {
        return Err(fields.refuse("conv_kernel_size", "an odd number up to 63"));
    }
    let groups = fields.usize_or("conv_groups", 1..=width, 1)?;
    if !width.is_multiple_of(groups) {
        return Err(fields.refuse("conv_groups", format!("a divisor of the width, {width}")));
    }
    Ok(Some(ConvolutionSpec {
        kernel,
        groups,
        activation: activation(fields, "conv_act", Activation::Tanh)?,
    }))
}
