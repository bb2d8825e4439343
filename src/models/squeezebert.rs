//! SqueezeBERT (Iandola et al., arXiv 2006.11316): BERT whose dense layers see channels in groups.
//!
//! Names and order of operations as in
//! <https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/models/squeezebert/modeling_squeezebert.py>, which stores dense
//! layers as convolutions of one tap.

use std::sync::Arc;

use super::bert::{Config, Variant};
use super::embeddings::Embeddings;
use super::head::{Head, HeadResult, MaskedWords, Rows, masked_words, token_scores};
use super::network::{Declared, Declaring, Network};
use super::positions::Positions;
use super::{Facts, Signature, Task, Tokens};
use crate::Result;
use crate::graph::Value;
use crate::nn::{
    Block, Embedding, FeedForward, LayerNorm, Linear, Projections, Recorder, Residual, SelfAttention,
};
use crate::ops::Activation;
use crate::weights::{Fields, Scope};

const NAME: &str = "squeezebert";

/// What is added to variances in the normalisations of layers: `SqueezeBertLayerNorm` has a default of its own, and `layer_norm_eps` is for
/// embeddings and heads alone.
const LAYER_EPS: f32 = 1e-12;

#[derive(Debug)]
struct SqueezeBert {
    facts: Facts,
    embeddings: Embeddings,
    layers: Vec<Block>,
}

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
    let mut config = Config::read(declaring.fields, Variant::Bert)?;
    Positions::refuse_distances(declaring.fields)?;
    config.facts.architecture = NAME;
    let width = config.facts.width;
    if declaring.fields.usize_or("embedding_size", 1..=1 << 16, width)? != width {
        return Err(declaring.fields.refuse("embedding_size", format!("{width}, as hidden_size is")));
    }
    let groups = Groups::read(declaring.fields, width, config.layer().intermediate)?;
    let network = SqueezeBert::declare(&config, groups, &mut declaring.base("transformer"))?;
    let head = head(declaring, &config, &network.embeddings.words)?;
    declaring.pass_over_heads("transformer");
    Ok(Declared { network: Arc::new(network), head })
}

/// The head for a task, as `modeling_squeezebert.py` has it.
fn head(declaring: &mut Declaring<'_>, config: &Config, words: &Embedding) -> Result<Option<Head>> {
    let (width, layer) = (config.facts.width, config.layer());
    if let Some(scores) = token_scores(declaring, width)? {
        return Ok(Some(Head::of([scores])));
    }
    let result = match declaring.task {
        Task::Embed | Task::Hidden => return Ok(None),
        Task::Logits => {
            let head = MaskedWords {
                dense: "transform.dense",
                norm: "transform.LayerNorm",
                widths: [width, width],
                eps: layer.eps,
                activation: layer.activation,
                is_tied: declaring.ties_words()?,
            };
            masked_words("logits", &mut declaring.root().at("cls.predictions"), words, &head)?
        }
        Task::Classify => {
            let labels = declaring.labels()?;
            let (mut base, result) = (declaring.base("transformer"), HeadResult::new("logits", Rows::First));
            let pooled =
                result.declare_dense(&mut base.at("pooler.dense"), [width, width], Activation::Tanh)?;
            let mut scope = declaring.root();
            pooled.declare_dense(&mut scope.at("classifier"), [width, labels], Activation::Identity)?
        }
        _ => return Err(declaring.no_head(NAME)),
    };
    Ok(Some(Head::of([result])))
}

fn layer(config: &Config, groups: Groups, scope: &mut Scope<'_>) -> Result<Block> {
    let spec = config.layer();
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

impl SqueezeBert {
    fn declare(config: &Config, groups: Groups, base: &mut Scope<'_>) -> Result<Self> {
        let embeddings = config.embeddings(base)?;
        let layer = |index| layer(config, groups, &mut base.at(format_args!("encoder.layers.{index}")));
        let layers = (0..config.facts.layers).map(layer).collect::<Result<_>>()?;
        Ok(Self { facts: config.facts, embeddings, layers })
    }
}

impl Network for SqueezeBert {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn signature(&self) -> Signature {
        Signature::encoder(self.embeddings.inputs())
    }

    fn record(&self, recorder: &mut Recorder<'_>, tokens: &Tokens) -> Result<Value> {
        let embedded = self.embeddings.record(recorder, tokens)?;
        recorder.layers(self.layers.len(), embedded, |recorder, layer, x| {
            self.layers[layer].record(recorder, x, &tokens.layout, None)
        })
    }
}
