//! BERT (Devlin et al., arXiv 1810.04805) and RoBERTa (Liu et al., arXiv 1907.11692), which is BERT with positions counted from
//! behind the padding id. MiniLM and other sentence encoders are BERT under other weights.
//!
//! Names and order of operations as in
//! <https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/models/bert/modeling_bert.py>.

use std::sync::Arc;

use super::embeddings::{Embeddings, EmbeddingsSpec};
use super::head::{Head, HeadResult, MaskedWords, Rows, masked_words, token_scores};
use super::network::{Declared, Declaring, MOST_LAYERS, Network, activation, head_count, refuse_decoders};
use super::positions::Positions;
use super::{Facts, Signature, Task, Tokens};
use crate::Result;
use crate::graph::Value;
use crate::nn::{Block, Embedding, LayerNames, LayerSpec, Recorder};
use crate::ops::Activation;
use crate::weights::{Fields, Scope};

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

/// Which of the families that share embeddings and heads it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    Bert,
    Roberta,
    /// RoBERTa with attention of its own.
    Longformer,
    /// BERT with attention of its own, and positions counted from 2 on.
    Nystromformer,
}

impl Variant {
    /// Its `model_type`, which files put before names of weights, too.
    fn name(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::Roberta => "roberta",
            Self::Longformer => "longformer",
            Self::Nystromformer => "nystromformer",
        }
    }
}

#[derive(Debug)]
struct Bert {
    facts: Facts,
    embeddings: Embeddings,
    layers: Vec<Block>,
    numbers_per_token: usize,
}

/// What `config.json` says, checked.
pub(super) struct Config {
    pub(super) facts: Facts,
    variant: Variant,
    positions: usize,
    known_from: Positions,
    intermediate: usize,
    eps: f32,
    activation: Activation,
}

impl Config {
    /// The embeddings, under the `scope` of all that is not a head.
    pub(super) fn embeddings(&self, base: &mut Scope<'_>) -> Result<Embeddings> {
        self.embeddings_of(self.facts.width, base)
    }

    /// Embeddings of `width` channels, which layers may have more of.
    pub(super) fn embeddings_of(&self, width: usize, base: &mut Scope<'_>) -> Result<Embeddings> {
        let Facts { vocab_size, types, .. } = self.facts;
        let spec = EmbeddingsSpec {
            words: vocab_size,
            positions: (self.known_from == Positions::Absolute).then_some(self.positions),
            types: Some(types),
            widths: [width, width],
            eps: self.eps,
        };
        Embeddings::declare(&mut base.at("embeddings"), &spec)
    }

    pub(super) fn layer(&self) -> LayerSpec {
        let Facts { width, heads, .. } = self.facts;
        let Self { intermediate, eps, activation, .. } = *self;
        LayerSpec { width, intermediate, heads, eps, activation }
    }

    pub(super) fn read(fields: &Fields, variant: Variant) -> Result<Self> {
        refuse_decoders(fields)?;
        let known_from = match variant {
            Variant::Bert | Variant::Roberta => Positions::read(fields)?,
            Variant::Longformer | Variant::Nystromformer => Positions::refuse_distances(fields)?,
        };
        let width = fields.usize("hidden_size", 1..=1 << 16)?;
        let mut positions = fields.usize("max_position_embeddings", 1..=1 << 24)?;
        // RoBERTa gives padding a position of its own and counts the others from behind it.
        let first_position = match variant {
            Variant::Bert => 0,
            Variant::Nystromformer => {
                // The table has so many rows more than the configuration says.
                positions += 2;
                2
            }
            Variant::Roberta | Variant::Longformer => fields.usize_or("pad_token_id", 0..=1 << 24, 1)? + 1,
        };
        if first_position >= positions {
            return Err(fields.refuse(
                "max_position_embeddings",
                format!("more than {first_position}, as positions begin behind pad_token_id"),
            ));
        }
        let (default_eps, default_activation) = match variant {
            Variant::Nystromformer => (1e-5, Activation::GeluTanh),
            _ => (1e-12, Activation::Gelu),
        };
        let facts = Facts {
            architecture: variant.name(),
            vocab_size: fields.usize("vocab_size", 1..=1 << 24)?,
            width,
            layers: fields.usize("num_hidden_layers", 1..=MOST_LAYERS)?,
            heads: head_count(fields, "num_attention_heads", width)?,
            types: fields.usize_or("type_vocab_size", 1..=1 << 16, 2)?,
            first_position,
            max_tokens: positions - first_position,
        };
        Ok(Self {
            facts,
            variant,
            positions,
            known_from,
            intermediate: fields.usize("intermediate_size", 1..=1 << 20)?,
            eps: fields.f32_or("layer_norm_eps", f32::MIN_POSITIVE..=1.0, default_eps)?,
            activation: activation(fields, "hidden_act", default_activation)?,
        })
    }
}

pub(super) fn declare_bert(declaring: &mut Declaring<'_>) -> Result<Declared> {
    declare(declaring, Variant::Bert)
}

pub(super) fn declare_roberta(declaring: &mut Declaring<'_>) -> Result<Declared> {
    declare(declaring, Variant::Roberta)
}

fn declare(declaring: &mut Declaring<'_>, variant: Variant) -> Result<Declared> {
    let config = Config::read(declaring.fields, variant)?;
    let network = Bert::declare(&config, &mut declaring.base(variant.name()))?;
    let head = head(declaring, &config, &network.embeddings.words)?;
    declaring.pass_over_heads(variant.name());
    Ok(Declared { network: Arc::new(network), head })
}

/// The head for a task, as `modeling_bert.py`, `modeling_roberta.py` and `modeling_longformer.py` have it.
pub(super) fn head(
    declaring: &mut Declaring<'_>,
    config: &Config,
    words: &Embedding,
) -> Result<Option<Head>> {
    let (width, variant) = (config.facts.width, config.variant);
    let pooled = |declaring: &mut Declaring<'_>, name, path: &str, out| -> Result<HeadResult> {
        let mut base = declaring.base(variant.name());
        let pooled = HeadResult::new(name, Rows::First);
        let pooled = pooled.declare_dense(&mut base.at("pooler.dense"), [width, width], Activation::Tanh)?;
        pooled.declare_dense(&mut declaring.root().at(path), [width, out], Activation::Identity)
    };
    if let Some(scores) = token_scores(declaring, width)? {
        return Ok(Some(Head::of([scores])));
    }
    let labels = declaring.labels()?;
    let results = match (declaring.task, variant) {
        (Task::Embed | Task::Hidden, _) => return Ok(None),
        (Task::Logits, _) => vec![config.words("logits", declaring, words)?],
        (Task::Pretrain, Variant::Bert) => {
            let pairs = pooled(declaring, "seq_relationship_logits", "cls.seq_relationship", 2)?;
            vec![config.words("prediction_logits", declaring, words)?, pairs]
        }
        (Task::Classify, Variant::Bert) => vec![pooled(declaring, "logits", "classifier", labels)?],
        (Task::Classify, Variant::Roberta | Variant::Longformer | Variant::Nystromformer) => {
            let activation =
                if variant == Variant::Nystromformer { config.activation } else { Activation::Tanh };
            let mut root = declaring.root();
            let (mut scope, result) = (root.at("classifier"), HeadResult::new("logits", Rows::First));
            let result = result.declare_dense(&mut scope.at("dense"), [width, width], activation)?;
            vec![result.declare_dense(&mut scope.at("out_proj"), [width, labels], Activation::Identity)?]
        }
        _ => return Err(declaring.no_head(config.facts.architecture)),
    };
    Ok(Some(Head::of(results)))
}

impl Config {
    fn words(
        &self,
        name: &'static str,
        declaring: &mut Declaring<'_>,
        words: &Embedding,
    ) -> Result<HeadResult> {
        let (path, [dense, norm], activation) = match self.variant {
            Variant::Bert | Variant::Nystromformer => {
                ("cls.predictions", ["transform.dense", "transform.LayerNorm"], self.activation)
            }
            // Whatever its layers have.
            Variant::Roberta | Variant::Longformer => ("lm_head", ["dense", "layer_norm"], Activation::Gelu),
        };
        let width = self.facts.width;
        let is_tied = declaring.ties_words()?;
        let head = MaskedWords { dense, norm, widths: [width, width], eps: self.eps, activation, is_tied };
        masked_words(name, &mut declaring.root().at(path), words, &head)
    }
}

impl Bert {
    fn declare(config: &Config, base: &mut Scope<'_>) -> Result<Self> {
        let Facts { width, heads, layers, .. } = config.facts;
        let embeddings = config.embeddings(base)?;
        let layer = |index| {
            let mut scope = base.at(format_args!("encoder.layer.{index}"));
            let layer = Block::declare(&mut scope, &LAYER, &config.layer())?;
            config.known_from.attending(
                layer,
                &mut scope.at("attention.self"),
                config.positions,
                width / heads,
            )
        };
        let layers = (0..layers).map(layer).collect::<Result<_>>()?;
        let numbers_per_token = config.known_from.numbers_per_token(heads, config.positions);
        Ok(Self { facts: config.facts, embeddings, layers, numbers_per_token })
    }
}

impl Network for Bert {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn signature(&self) -> Signature {
        let numbers_per_token = self.numbers_per_token;
        Signature { numbers_per_token, ..Signature::encoder(self.embeddings.inputs()) }
    }

    fn record(&self, recorder: &mut Recorder<'_>, tokens: &Tokens) -> Result<Value> {
        let embedded = self.embeddings.record(recorder, tokens)?;
        recorder.layers(self.layers.len(), embedded, |recorder, layer, x| {
            self.layers[layer].record(recorder, x, &tokens.layout, None)
        })
    }
}
