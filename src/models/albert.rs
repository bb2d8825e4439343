//! ALBERT (Lan et al., arXiv 1909.11942): BERT with narrow embeddings and one set of weights for all layers of a group.
//!
//! Names and order of operations as in
//! <https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/models/albert/modeling_albert.py>.

use std::sync::Arc;

use super::network::{Declared, Declaring, MOST_LAYERS, Network};
use super::text_encoder::{Classifier, Defaults, Embeddings, TextConfig, TextHeads, WordNames};
use super::{Facts, Signature, Tokens};
use crate::Result;
use crate::graph::Value;
use crate::nn::{Block, LayerNames, Linear, Recorder};
use crate::ops::Activation;
use crate::weights::Scope;

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

/// What `config.json` says besides.
struct Own {
    groups: usize,
    group_layers: usize,
}

pub(super) fn declare(declaring: &mut Declaring<'_>) -> Result<Declared> {
    let fields = declaring.fields;
    let defaults = Defaults { activation: Activation::GeluTanh, ..Defaults::BERT };
    let mut config = TextConfig::read(fields, "albert", defaults)?;
    config.embeddings.widths = [fields.usize_or("embedding_size", 1..=1 << 16, 128)?; 2];
    let layers = config.facts.layers;
    let own = Own {
        groups: fields.usize_or("num_hidden_groups", 1..=layers, 1)?,
        group_layers: fields.usize_or("inner_group_num", 1..=MOST_LAYERS / layers, 1)?,
    };
    let network = Albert::declare(&config, &own, &mut declaring.base("albert"))?;
    let heads = TextHeads {
        config: &config,
        words: WordNames {
            dense: "predictions.dense",
            norm: "predictions.LayerNorm",
            decoder: "predictions.decoder",
            biases: &["predictions.bias", "predictions.decoder.bias"],
        },
        activation: config.layer.activation,
        classifier: Classifier::Pooled {
            base: "albert",
            pooler: "pooler",
            activation: Activation::Tanh,
            pairs: Some(["sop_logits", "sop_classifier.classifier"]),
        },
    };
    let head = heads.declare(declaring, &network.embeddings.words)?;
    declaring.pass_over_heads("albert");
    Ok(Declared { network: Arc::new(network), head })
}

impl Albert {
    fn declare(config: &TextConfig, own: &Own, base: &mut Scope<'_>) -> Result<Self> {
        let Facts { width, .. } = config.facts;
        let embeddings = Embeddings::declare(&mut base.at("embeddings"), &config.embeddings)?;
        let mut encoder = base.at("encoder");
        let mut widen = encoder.at("embedding_hidden_mapping_in");
        let widen = Linear::declare(&mut widen, config.embeddings.widths[0], width)?;
        let mut groups = Vec::with_capacity(own.groups);
        for group in 0..own.groups {
            let mut layers = Vec::with_capacity(own.group_layers);
            for index in 0..own.group_layers {
                let path = format!("albert_layer_groups.{group}.albert_layers.{index}");
                let mut scope = encoder.at(path);
                let layer = Block::declare(&mut scope, &LAYER, &config.layer)?;
                layers.push(config.attending(layer, &mut scope.at("attention"))?);
            }
            groups.push(layers);
        }
        let numbers_per_token = config.numbers_per_token();
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
