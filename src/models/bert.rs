//! BERT (Devlin et al., arXiv 1810.04805) and RoBERTa (Liu et al., arXiv 1907.11692), which is BERT with positions counted from
//! behind the padding id. MiniLM and other sentence encoders are BERT under other weights.
//!
//! Names and order of operations as in
//! <https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/models/bert/modeling_bert.py>.

use std::sync::Arc;

use super::network::{Declared, Declaring};
use super::text_encoder::{Classifier, Defaults, TextConfig, TextEncoder, TextHeads, WordNames};
use crate::Result;
use crate::nn::{Block, LayerNames};
use crate::ops::Activation;

pub(super) const LAYER: LayerNames = LayerNames {
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    norm: "output.LayerNorm",
};

/// The head that BERT's masked words are scored by.
pub(super) const WORDS: WordNames = WordNames {
    dense: "cls.predictions.transform.dense",
    norm: "cls.predictions.transform.LayerNorm",
    decoder: "cls.predictions.decoder",
    biases: &["cls.predictions.bias", "cls.predictions.decoder.bias"],
};

pub(super) fn declare_bert(declaring: &mut Declaring<'_>) -> Result<Declared> {
    let config = TextConfig::read(declaring.fields, "bert", Defaults::BERT)?;
    let heads = TextHeads {
        config: &config,
        words: WORDS,
        activation: config.layer.activation,
        classifier: Classifier::Pooled {
            base: "bert",
            pooler: "pooler.dense",
            activation: Activation::Tanh,
            pairs: Some(["seq_relationship_logits", "cls.seq_relationship"]),
        },
    };
    declare(declaring, &config, &heads)
}

pub(super) fn declare_roberta(declaring: &mut Declaring<'_>) -> Result<Declared> {
    let fields = declaring.fields;
    let config = TextConfig::read(fields, "roberta", Defaults::BERT)?.behind_padding(fields)?;
    declare(declaring, &config, &roberta_heads(&config))
}

/// RoBERTa's heads, as Longformer has them, too.
pub(super) fn roberta_heads(config: &TextConfig) -> TextHeads<'_> {
    let words = WordNames {
        dense: "lm_head.dense",
        norm: "lm_head.layer_norm",
        decoder: "lm_head.decoder",
        biases: &["lm_head.bias", "lm_head.decoder.bias"],
    };
    // Whatever its layers have.
    TextHeads { config, words, activation: Activation::Gelu, classifier: Classifier::Dense(Activation::Tanh) }
}

fn declare(declaring: &mut Declaring<'_>, config: &TextConfig, heads: &TextHeads<'_>) -> Result<Declared> {
    let name = config.facts.architecture;
    let mut network = TextEncoder::declare(config, &mut declaring.base(name), |base, index| {
        let mut scope = base.at(format_args!("encoder.layer.{index}"));
        let layer = Block::declare(&mut scope, &LAYER, &config.layer)?;
        config.attending(layer, &mut scope.at("attention.self"))
    })?;
    network.signature.numbers_per_token = config.numbers_per_token();
    let head = heads.declare(declaring, &network.embeddings.words)?;
    declaring.pass_over_heads(name);
    Ok(Declared { network: Arc::new(network), head })
}
