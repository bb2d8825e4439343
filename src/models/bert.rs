//! BERT (Devlin et al., arXiv 1810.04805) and RoBERTa (Liu et al., arXiv 1907.11692), which is BERT with positions counted from
//! behind the padding id. MiniLM and other sentence encoders are BERT under other weights.
//!
//! Names and order of operations as in
//! <https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/models/bert/modeling_bert.py>.

use super::head::MaskedHead;
use super::{Facts, Task, TextEncoder, Tokens, activation, head_count, whole_layers};
use crate::Result;
use crate::graph::{Graph, Value};
use crate::nn::{Embedding, EncoderLayer, LayerNames, LayerNorm, LayerSpec};
use crate::ops::Activation;
use crate::tensor::DType;
use crate::weights::{Declarations, Fields, Scope};

const LAYER: LayerNames = LayerNames {
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    norm: "output.LayerNorm",
};

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    Bert,
    Roberta,
}

#[derive(Debug)]
pub(super) struct Bert {
    facts: Facts,
    words: Embedding,
    positions: Embedding,
    types: Embedding,
    norm: LayerNorm,
    layers: Vec<EncoderLayer>,
    head: Option<MaskedHead>,
}

/// What `config.json` says, checked.
struct Config {
    facts: Facts,
    positions: usize,
    types: usize,
    intermediate: usize,
    eps: f32,
    activation: Activation,
}

impl Config {
    fn layer(&self) -> LayerSpec {
        let Facts { width, heads, .. } = self.facts;
        let Self { intermediate, eps, activation, .. } = *self;
        LayerSpec { width, intermediate, heads, eps, activation }
    }

    fn read(fields: &Fields, variant: Variant) -> Result<Self> {
        refuse_variations(fields)?;
        let width = fields.usize("hidden_size", 1..=1 << 16)?;
        let positions = fields.usize("max_position_embeddings", 1..=1 << 24)?;
        // RoBERTa gives padding a position of its own and counts the others from behind it.
        let first_position = match variant {
            Variant::Bert => 0,
            Variant::Roberta => fields.usize_or("pad_token_id", 0..=1 << 24, 1)? + 1,
        };
        if first_position >= positions {
            return Err(fields.refuse(
                "max_position_embeddings",
                format!("more than {first_position}, as positions begin behind pad_token_id"),
            ));
        }
        let facts = Facts {
            architecture: match variant {
                Variant::Bert => "bert",
                Variant::Roberta => "roberta",
            },
            vocab_size: fields.usize("vocab_size", 1..=1 << 24)?,
            width,
            layers: whole_layers(fields)?,
            heads: head_count(fields, width)?,
            first_position,
            max_tokens: positions - first_position,
        };
        Ok(Self {
            facts,
            positions,
            types: fields.usize_or("type_vocab_size", 1..=1 << 16, 2)?,
            intermediate: fields.usize("intermediate_size", 1..=1 << 20)?,
            eps: fields.f32_or("layer_norm_eps", f32::MIN_POSITIVE..=1.0, 1e-12)?,
            activation: activation(fields, "hidden_act", Activation::Gelu)?,
        })
    }

    fn head(&self, variant: Variant, root: &mut Scope<'_>, words: &Embedding) -> Result<MaskedHead> {
        let (path, names, activation) = match variant {
            Variant::Bert => ("cls.predictions", ["transform.dense", "transform.LayerNorm"], self.activation),
            // Whatever its layers have.
            Variant::Roberta => ("lm_head", ["dense", "layer_norm"], Activation::Gelu),
        };
        let width = self.facts.width;
        MaskedHead::declare(&mut root.at(path), names, words, [width, width], (self.eps, activation))
    }
}

/// Refuses what the configuration may ask for and these models do not have.
pub(super) fn refuse_variations(fields: &Fields) -> Result<()> {
    if fields.text_or("position_embedding_type", "absolute")? != "absolute" {
        return Err(fields.refuse("position_embedding_type", "absolute"));
    }
    for field in ["is_decoder", "add_cross_attention"] {
        if fields.bool_or(field, false)? {
            return Err(fields.refuse(field, "false"));
        }
    }
    Ok(())
}

impl Bert {
    /// Declares the weights of the model that `fields` describe, below `prefix` where files put a head beside it.
    pub(super) fn declare(
        fields: &Fields,
        variant: Variant,
        task: Task,
        prefix: &str,
        declarations: &mut Declarations,
    ) -> Result<Self> {
        let config = Config::read(fields, variant)?;
        let Facts { vocab_size, width, layers, .. } = config.facts;
        let mut root = declarations.root();
        let mut base = root.at(prefix);
        base.ignore("pooler");
        let mut embeddings = base.at("embeddings");
        for buffer in ["position_ids", "token_type_ids"] {
            embeddings.ignore(buffer);
        }
        let words = Embedding::declare(&mut embeddings.at("word_embeddings"), vocab_size, width)?;
        let positions =
            Embedding::declare(&mut embeddings.at("position_embeddings"), config.positions, width)?;
        let types = Embedding::declare(&mut embeddings.at("token_type_embeddings"), config.types, width)?;
        let norm = LayerNorm::declare(&mut embeddings.at("LayerNorm"), width, config.eps)?;
        let layers = (0..layers)
            .map(|index| {
                let mut scope = base.at(format_args!("encoder.layer.{index}"));
                EncoderLayer::declare(&mut scope, &LAYER, &config.layer())
            })
            .collect::<Result<_>>()?;
        let head = if task == Task::Logits {
            root.ignore("cls.seq_relationship");
            Some(config.head(variant, &mut root, &words)?)
        } else {
            root.ignore("cls");
            root.ignore("lm_head");
            None
        };
        Ok(Self { facts: config.facts, words, positions, types, norm, layers, head })
    }
}

impl TextEncoder for Bert {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn record(&self, graph: &mut Graph, tokens: &Tokens, dtype: DType) -> Result<Value> {
        let tables =
            [(&self.words, tokens.ids), (&self.types, tokens.types), (&self.positions, tokens.positions)];
        let sum = Embedding::record_sum(graph, &tables, dtype)?;
        let embedded = self.norm.record(graph, sum, None)?;
        self.layers.iter().try_fold(embedded, |x, layer| layer.record(graph, x, &tokens.sequences))
    }

    fn record_logits(&self, graph: &mut Graph, hidden: Value) -> Result<Value> {
        MaskedHead::record(self.head.as_ref(), &self.facts, graph, hidden)
    }
}
