//! ALBERT (Lan et al., arXiv 1909.11942): BERT with narrow embeddings and one set of weights for all layers of a group.
//!
//! Names and order of operations as in
//! <https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/models/albert/modeling_albert.py>.

use super::bert::refuse_variations;
use super::head::MaskedHead;
use super::{Facts, MOST_LAYERS, Task, TextEncoder, Tokens, activation, head_count, whole_layers};
use crate::Result;
use crate::graph::{Graph, Value};
use crate::nn::{Embedding, EncoderLayer, LayerNames, LayerNorm, LayerSpec, Linear};
use crate::ops::Activation;
use crate::tensor::DType;
use crate::weights::{Declarations, Fields};

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
    words: Embedding,
    positions: Embedding,
    types: Embedding,
    norm: LayerNorm,
    /// From the embeddings' width to the layers'.
    widen: Linear,
    /// The layers of each group, one behind another; every layer of the model is a whole group.
    groups: Vec<Vec<EncoderLayer>>,
    head: Option<MaskedHead>,
}

/// What `config.json` says, checked.
struct Config {
    facts: Facts,
    embedding: usize,
    types: usize,
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
        refuse_variations(fields)?;
        let width = fields.usize("hidden_size", 1..=1 << 16)?;
        let layers = whole_layers(fields)?;
        let facts = Facts {
            architecture: "albert",
            vocab_size: fields.usize("vocab_size", 1..=1 << 24)?,
            width,
            layers,
            heads: head_count(fields, width)?,
            first_position: 0,
            max_tokens: fields.usize("max_position_embeddings", 1..=1 << 24)?,
        };
        Ok(Self {
            facts,
            embedding: fields.usize_or("embedding_size", 1..=1 << 16, 128)?,
            types: fields.usize_or("type_vocab_size", 1..=1 << 16, 2)?,
            intermediate: fields.usize("intermediate_size", 1..=1 << 20)?,
            groups: fields.usize_or("num_hidden_groups", 1..=layers, 1)?,
            group_layers: fields.usize_or("inner_group_num", 1..=MOST_LAYERS / layers, 1)?,
            eps: fields.f32_or("layer_norm_eps", f32::MIN_POSITIVE..=1.0, 1e-12)?,
            activation: activation(fields, "hidden_act", Activation::GeluTanh)?,
        })
    }
}

impl Albert {
    /// Declares the weights of the model that `fields` describe, below `prefix` where files put a head beside it.
    pub(super) fn declare(
        fields: &Fields,
        task: Task,
        prefix: &str,
        declarations: &mut Declarations,
    ) -> Result<Self> {
        let config = Config::read(fields)?;
        let Facts { vocab_size, width, max_tokens, .. } = config.facts;
        let narrow = config.embedding;
        let mut root = declarations.root();
        let mut base = root.at(prefix);
        base.ignore("pooler");
        let mut embeddings = base.at("embeddings");
        for buffer in ["position_ids", "token_type_ids"] {
            embeddings.ignore(buffer);
        }
        let words = Embedding::declare(&mut embeddings.at("word_embeddings"), vocab_size, narrow)?;
        let positions = Embedding::declare(&mut embeddings.at("position_embeddings"), max_tokens, narrow)?;
        let types = Embedding::declare(&mut embeddings.at("token_type_embeddings"), config.types, narrow)?;
        let norm = LayerNorm::declare(&mut embeddings.at("LayerNorm"), narrow, config.eps)?;
        let mut encoder = base.at("encoder");
        let widen = Linear::declare(&mut encoder.at("embedding_hidden_mapping_in"), narrow, width)?;
        let mut groups = Vec::with_capacity(config.groups);
        for group in 0..config.groups {
            let mut layers = Vec::with_capacity(config.group_layers);
            for index in 0..config.group_layers {
                let path = format!("albert_layer_groups.{group}.albert_layers.{index}");
                layers.push(EncoderLayer::declare(&mut encoder.at(path), &LAYER, &config.layer())?);
            }
            groups.push(layers);
        }
        root.ignore("sop_classifier");
        let head = if task == Task::Logits {
            Some(MaskedHead::declare(
                &mut root.at("predictions"),
                ["dense", "LayerNorm"],
                &words,
                [width, narrow],
                (config.eps, config.activation),
            )?)
        } else {
            root.ignore("predictions");
            None
        };
        Ok(Self { facts: config.facts, words, positions, types, norm, widen, groups, head })
    }

    /// The layers of the group that layer number `layer` of the model belongs to.
    fn group_of(&self, layer: usize) -> &[EncoderLayer] {
        &self.groups[layer * self.groups.len() / self.facts.layers]
    }
}

impl TextEncoder for Albert {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn record(&self, graph: &mut Graph, tokens: &Tokens, dtype: DType) -> Result<Value> {
        let tables =
            [(&self.words, tokens.ids), (&self.types, tokens.types), (&self.positions, tokens.positions)];
        let sum = Embedding::record_sum(graph, &tables, dtype)?;
        let embedded = self.norm.record(graph, sum, None)?;
        let widened = self.widen.record(graph, embedded, Activation::Identity)?;
        let mut layers = (0..self.facts.layers).flat_map(|layer| self.group_of(layer));
        layers.try_fold(widened, |x, layer| layer.record(graph, x, &tokens.sequences))
    }

    fn record_logits(&self, graph: &mut Graph, hidden: Value) -> Result<Value> {
        MaskedHead::record(self.head.as_ref(), &self.facts, graph, hidden)
    }
}
