//! ALBERT (Lan et al., arXiv 1909.11942): BERT with narrow embeddings and one set of weights for all layers of a group.
//!
//! Names and order of operations as in
//! <https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/models/albert/modeling_albert.py>.

use std::sync::Arc;

use super::embeddings::{Embeddings, EmbeddingsSpec};
use super::head::{Head, HeadResult, MaskedWords, Rows, masked_words, token_scores};
use super::network::{Declared, Declaring, MOST_LAYERS, Network, activation, head_count, refuse_decoders};
use super::positions::Positions;
use super::{Facts, Signature, Task, Tokens};
use crate::Result;
use crate::graph::Value;
use crate::nn::{Block, Embedding, LayerNames, LayerSpec, Linear, Recorder};
use crate::ops::Activation;
use crate::weights::{Fields, Scope};

const LAYER: LayerNames = LayerNames {
    query: "attention.query",
    key: "attention.key",
    value: "attention.value",
    output: "attention.dense",
    attention_norm: "attention.LayerNorm",
    up: "ffn",
    down: "ffn_output",
    norm: "full_layer_layer_norm",
};

#[derive(Debug)]
pub(super) struct Albert {
    facts: Facts,
    embeddings: Embeddings,
    /// From the embeddings' width to the layers'.
    widen: Linear,
    /// The layers of each group, one behind another; every layer of the model is a whole group.
    groups: Vec<Vec<Block>>,
    numbers_per_token: usize,
}

/// What `config.json` says, checked.
struct Config {
    facts: Facts,
    known_from: Positions,
    embedding: usize,
    intermediate: usize,
    groups: usize,
    group_layers: usize,
    eps: f32,
    activation: Activation,
}

impl Config {
    fn layer(&self) -> LayerSpec {
        let Facts { width, heads, .. } = self.facts;
        let Self { intermediate, eps, activation, .. } = *self;
        LayerSpec { width, intermediate, heads, eps, activation }
    }

    fn read(fields: &Fields) -> Result<Self> {
        refuse_decoders(fields)?;
        let width = fields.usize("hidden_size", 1..=1 << 16)?;
        let layers = fields.usize("num_hidden_layers", 1..=MOST_LAYERS)?;
        let facts = Facts {
            architecture: "albert",
            vocab_size: fields.usize("vocab_size", 1..=1 << 24)?,
            width,
            layers,
            heads: head_count(fields, "num_attention_heads", width)?,
            types: fields.usize_or("type_vocab_size", 1..=1 << 16, 2)?,
            first_position: 0,
            max_tokens: fields.usize("max_position_embeddings", 1..=1 << 24)?,
        };
        Ok(Self {
            facts,
            known_from: Positions::read(fields)?,
            embedding: fields.usize_or("embedding_size", 1..=1 << 16, 128)?,
            intermediate: fields.usize("intermediate_size", 1..=1 << 20)?,
            groups: fields.usize_or("num_hidden_groups", 1..=layers, 1)?,
            group_layers: fields.usize_or("inner_group_num", 1..=MOST_LAYERS / layers, 1)?,
            eps: fields.f32_or("layer_norm_eps", f32::MIN_POSITIVE..=1.0, 1e-12)?,
            activation: activation(fields, "hidden_act", Activation::GeluTanh)?,
        })
    }
}

pub(super) fn declare(declaring: &mut Declaring<'_>) -> Result<Declared> {
    let config = Config::read(declaring.fields)?;
    let network = Albert::declare(&config, &mut declaring.base("albert"))?;
    let head = match declaring.task {
        Task::Embed | Task::Hidden => None,
        _ => Some(head(declaring, &config, &network.embeddings.words)?),
    };
    declaring.pass_over_heads("albert");
    Ok(Declared { network: Arc::new(network), head })
}

/// The head for a task, as `modeling_albert.py` has it.
fn head(declaring: &mut Declaring<'_>, config: &Config, words: &Embedding) -> Result<Head> {
    let width = config.facts.width;
    let predictions = |declaring: &mut Declaring<'_>, name| {
        let head = MaskedWords {
            dense: "dense",
            norm: "LayerNorm",
            widths: [width, config.embedding],
            eps: config.eps,
            activation: config.activation,
            is_tied: declaring.ties_words()?,
        };
        masked_words(name, &mut declaring.root().at("predictions"), words, &head)
    };
    let pooled = |declaring: &mut Declaring<'_>, name, path: &str, out| -> Result<HeadResult> {
        let mut base = declaring.base("albert");
        let pooled = HeadResult::new(name, Rows::First);
        let pooled = pooled.declare_dense(&mut base.at("pooler"), [width, width], Activation::Tanh)?;
        pooled.declare_dense(&mut declaring.root().at(path), [width, out], Activation::Identity)
    };
    if let Some(scores) = token_scores(declaring, width)? {
        return Ok(Head::of([scores]));
    }
    Ok(Head::of(match declaring.task {
        Task::Logits => vec![predictions(declaring, "logits")?],
        Task::Pretrain => vec![
            predictions(declaring, "prediction_logits")?,
            pooled(declaring, "sop_logits", "sop_classifier.classifier", 2)?,
        ],
        Task::Classify => {
            let labels = declaring.labels()?;
            vec![pooled(declaring, "logits", "classifier", labels)?]
        }
        _ => return Err(declaring.no_head("albert")),
    }))
}

impl Albert {
    fn declare(config: &Config, base: &mut Scope<'_>) -> Result<Self> {
        let Facts { vocab_size, width, heads, max_tokens, types, .. } = config.facts;
        let narrow = config.embedding;
        let spec = EmbeddingsSpec {
            words: vocab_size,
            positions: (config.known_from == Positions::Absolute).then_some(max_tokens),
            types: Some(types),
            widths: [narrow, narrow],
            eps: config.eps,
        };
        let embeddings = Embeddings::declare(&mut base.at("embeddings"), &spec)?;
        let mut encoder = base.at("encoder");
        let widen = Linear::declare(&mut encoder.at("embedding_hidden_mapping_in"), narrow, width)?;
        let mut groups = Vec::with_capacity(config.groups);
        for group in 0..config.groups {
            let mut layers = Vec::with_capacity(config.group_layers);
            for index in 0..config.group_layers {
                let path = format!("albert_layer_groups.{group}.albert_layers.{index}");
                let mut scope = encoder.at(path);
                let layer = Block::declare(&mut scope, &LAYER, &config.layer())?;
                let mut scope = scope.at("attention");
                layers.push(config.known_from.attending(layer, &mut scope, max_tokens, width / heads)?);
            }
            groups.push(layers);
        }
        let numbers_per_token = config.known_from.numbers_per_token(heads, max_tokens);
        Ok(Self { facts: config.facts, embeddings, widen, groups, numbers_per_token })
    }

    /// The layers of the group that layer number `layer` of the model belongs to.
    fn group_of(&self, layer: usize) -> &[Block] {
        &self.groups[layer * self.groups.len() / self.facts.layers]
    }
}

impl Network for Albert {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn signature(&self) -> Signature {
        let numbers_per_token = self.numbers_per_token;
        Signature { numbers_per_token, ..Signature::encoder(self.embeddings.inputs()) }
    }

    fn record(&self, recorder: &mut Recorder<'_>, tokens: &Tokens) -> Result<Value> {
        let embedded = self.embeddings.record(recorder, tokens)?;
        let widened = self.widen.record(recorder, embedded, Activation::Identity)?;
        recorder.layers(self.facts.layers, widened, |recorder, layer, x| {
            let layers = self.group_of(layer);
            layers.iter().try_fold(x, |x, layer| layer.record(recorder, x, &tokens.layout, None))
        })
    }
}
