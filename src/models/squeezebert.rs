//! SqueezeBERT (Iandola et al., arXiv 2006.11316): BERT whose dense layers see channels in groups.
//!
//! Names and order of operations as in
//! <https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/models/squeezebert/modeling_squeezebert.py>, which stores dense
//! layers as convolutions of one tap.

use std::sync::Arc;

use super::bert::WORDS;
use super::network::{Declared, Declaring};
use super::text_encoder::{Classifier, Defaults, TextConfig, TextEncoder, TextHeads};
use crate::Result;
use crate::nn::{Block, FeedForward, LayerNorm, LayerSpec, Linear, Projections, Residual, SelfAttention};
use crate::ops::Activation;
use crate::weights::{Fields, Scope};

/// What is added to variances in the normalisations of layers: `SqueezeBertLayerNorm` has a default of its own, and `layer_norm_eps` is for
/// embeddings and heads alone.
const LAYER_EPS: f32 = 1e-12;

/// Groups of a layer's dense layers.
#[derive(Clone, Copy, Debug)]
struct Groups {
    projections: [usize; 3],
    attention_output: usize,
    up: usize,
    down: usize,
}

impl Groups {
    /// As `config.json` has them. Every number must divide the channels on both sides.
    fn read(fields: &Fields, width: usize, intermediate: usize) -> Result<Self> {
        let read = |field, default, channels: &[usize]| {
            let groups = fields.usize_or(field, 1..=width, default)?;
            match channels.iter().all(|channels| channels.is_multiple_of(groups)) {
                true => Ok(groups),
                false => Err(fields.refuse(field, format!("a divisor of {channels:?} channels"))),
            }
        };
        let own = [width];
        let both = [width, intermediate];
        Ok(Self {
            projections: [read("q_groups", 4, &own)?, read("k_groups", 4, &own)?, read("v_groups", 4, &own)?],
            attention_output: read("post_attention_groups", 1, &own)?,
            up: read("intermediate_groups", 4, &both)?,
            down: read("output_groups", 4, &both)?,
        })
    }
}

pub(super) fn declare(declaring: &mut Declaring<'_>) -> Result<Declared> {
    let fields = declaring.fields;
    let config = TextConfig::read(fields, "squeezebert", Defaults::BERT)?.without_distances(fields)?;
    let width = config.facts.width;
    if fields.usize_or("embedding_size", 1..=1 << 16, width)? != width {
        return Err(fields.refuse("embedding_size", format!("{width}, as hidden_size is")));
    }
    let groups = Groups::read(fields, width, config.layer.intermediate)?;
    let base = "transformer";
    let network = TextEncoder::declare(&config, &mut declaring.base(base), |base, index| {
        layer(&config.layer, groups, &mut base.at(format_args!("encoder.layers.{index}")))
    })?;
    let heads = TextHeads {
        config: &config,
        words: WORDS,
        activation: config.layer.activation,
        classifier: Classifier::Pooled {
            base,
            pooler: "pooler.dense",
            activation: Activation::Tanh,
            pairs: None,
        },
    };
    let head = heads.declare(declaring, &network.embeddings.words)?;
    declaring.pass_over_heads(base);
    Ok(Declared { network: Arc::new(network), head })
}

fn layer(spec: &LayerSpec, groups: Groups, scope: &mut Scope<'_>) -> Result<Block> {
    let width = spec.width;
    let mut dense =
        |name, inner, out, groups| Linear::declare_pointwise(&mut scope.at(name), inner, out, groups);
    let [query, key, value] = groups.projections;
    let layers = [
        dense("attention.query", width, width, query)?,
        dense("attention.key", width, width, key)?,
        dense("attention.value", width, width, value)?,
    ];
    let output = dense("post_attention.conv1d", width, width, groups.attention_output)?;
    let up = dense("intermediate.conv1d", width, spec.intermediate, groups.up)?;
    let down = dense("output.conv1d", spec.intermediate, width, groups.down)?;
    let mut normed = |name| LayerNorm::declare(&mut scope.at(name), width, LAYER_EPS).map(Residual::after);
    Ok(Block {
        mixer: SelfAttention::new(Projections::Apart(Box::new(layers)), output, spec.heads),
        mixing: normed("post_attention.layernorm")?,
        cross: None,
        feed_forward: FeedForward { up, gate: None, activation: spec.activation, down },
        feeding: normed("output.layernorm")?,
    })
}
