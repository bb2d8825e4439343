//! Trained models from checkpoint folders: `config.json` chooses the family, the family declares its weights and records its
//! graph, and an [`Encoder`] runs it on a device.
//!
//! ```no_run
//! use foveate::DType;
//! use foveate::models::{Device, Encoder, Model, Task};
//! use foveate::tokenize::Tokenizer;
//!
//! # fn main() -> foveate::Result<()> {
//! let folder = "all-MiniLM-L6-v2";
//! let model = Model::open(folder, Task::Embed)?;
//! let mut encoder = Encoder::new(&model, &model.load(DType::F32)?, &Device::Cpu)?;
//! let ids = Tokenizer::open(folder)?.encode("Call me Ishmael.")?;
//! let embedding = &encoder.run(&[ids])?[0];
//! # Ok(())
//! # }
//! ```
//!
//! | `model_type` | family | source |
//! |---|---|---|
//! | `bert` | BERT; MiniLM and other sentence encoders | arXiv 1810.04805 |
//! | `roberta` | RoBERTa | arXiv 1907.11692 |
//! | `albert` | ALBERT | arXiv 1909.11942 |

mod albert;
mod bert;
mod encoder;
mod generate;
mod head;
mod language_model;
mod pooling;
mod sessions;

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

pub use encoder::{BatchSize, Device, Encoder, Usage};
pub use generate::{Generator, Sampling};
pub use language_model::{LanguageModel, LanguageModelConfig, Recording};
pub use pooling::{Pooling, PoolingKind};

use crate::graph::{Graph, Value};
use crate::nn::Sequences;
use crate::ops::Activation;
use crate::tensor::{DType, TensorDesc};
use crate::weights::{Checkpoint, Comparison, Declarations, Fields, Weights};
use crate::{Error, ErrorKind, Result};

/// What a model is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// One vector a sequence: hidden states pooled and normalised as the folder says.
    Embed,
    /// The last layer's hidden state of every token.
    Hidden,
    /// Scores of the whole vocabulary at the tokens asked for, by the masked-language-model head.
    Logits,
}

/// What a model is, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The family, as `model_type` has it.
    pub architecture: &'static str,
    /// Rows of the word embeddings: ids are below this.
    pub vocab_size: usize,
    /// Channels of a hidden state.
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// The position of a sequence's first token.
    pub first_position: usize,
    /// The longest sequence, in tokens, its special tokens included.
    pub max_tokens: usize,
}

/// The values of a graph that stand for a batch of tokens; ids, positions and types are `i32 [batch, time]`.
#[derive(Clone, Copy, Debug)]
pub struct Tokens {
    /// Words of the vocabulary.
    pub ids: Value,
    /// Places in their sequences, counted from [`Facts::first_position`] on, padding ids in the middle included.
    pub positions: Value,
    /// Which of a pair of texts each token is of; 0 for a single one.
    pub types: Value,
    /// Which positions belong together.
    pub sequences: Sequences,
}

impl Tokens {
    /// Declares a batch of packed sequences, one behind another in `[1, time]`: inputs `ids`, `positions`, `types` and
    /// `segments`. The first `count` sequences are results.
    pub fn packed(graph: &mut Graph, time: usize, count: usize) -> Result<Self> {
        let mut input = |name| graph.input(name, TensorDesc::new(DType::I32, [1, time]));
        Ok(Self {
            ids: input("ids")?,
            positions: input("positions")?,
            types: input("types")?,
            sequences: Sequences::Packed { segments: input("segments")?, count },
        })
    }

    /// Declares a padded batch `[batch, time]`: inputs `ids`, `positions`, `types`, and `lengths` `[batch]`.
    pub fn padded(graph: &mut Graph, batch: usize, time: usize) -> Result<Self> {
        let mut input = |name| graph.input(name, TensorDesc::new(DType::I32, [batch, time]));
        let (ids, positions, types) = (input("ids")?, input("positions")?, input("types")?);
        let lengths = graph.input("lengths", TensorDesc::new(DType::I32, [batch]))?;
        Ok(Self { ids, positions, types, sequences: Sequences::Padded { lengths } })
    }
}

/// A family of bidirectional text models.
trait TextEncoder: Debug + Send + Sync {
    fn facts(&self) -> &Facts;

    /// The last hidden state, `[batch, time, width]`.
    fn record(&self, graph: &mut Graph, tokens: &Tokens, dtype: DType) -> Result<Value>;

    /// Scores `[.., vocab_size]` of hidden states `[.., width]`.
    fn record_logits(&self, graph: &mut Graph, hidden: Value) -> Result<Value>;
}

/// An architecture with the weights it declares, and the files they are in.
#[derive(Clone, Debug)]
pub struct Model {
    family: Arc<dyn TextEncoder>,
    facts: Facts,
    task: Task,
    pooling: Pooling,
    declarations: Declarations,
    checkpoint: Option<Checkpoint>,
}

impl Model {
    /// Reads a folder's `config.json` and finds its weights; for [`Task::Embed`] also `1_Pooling/config.json`,
    /// `modules.json` and, of `sentence_bert_config.json`, `max_seq_length`, where they are.
    ///
    /// Fails with [`ErrorKind::Config`] when a field is absent, nonsensical or asks for what the family does not have, with
    /// [`ErrorKind::Unsupported`] for another `model_type`, and as [`Checkpoint::open`] does.
    pub fn open(folder: impl AsRef<Path>, task: Task) -> Result<Self> {
        let folder = folder.as_ref();
        let fields = Fields::open(folder.join("config.json"))?;
        let checkpoint = Checkpoint::open(folder)?;
        let mut model = Self::declare(&fields, task, |family| checkpoint.has_prefix(&format!("{family}.")))?;
        model.checkpoint = Some(checkpoint);
        if task == Task::Embed {
            model.pooling = Pooling::open(folder)?;
            model.facts.max_tokens = pooling::longest(folder, model.facts.max_tokens)?;
        }
        Ok(model)
    }

    /// The architecture that the fields of a `config.json` describe, without files: to plan, or for [`Weights::random`].
    ///
    /// Fails as [`Model::open`] does.
    pub fn from_config(fields: &Fields, task: Task) -> Result<Self> {
        Self::declare(fields, task, |_| false)
    }

    /// Files put a model below a prefix where they have a head beside it.
    fn declare(fields: &Fields, task: Task, has_prefix: impl Fn(&str) -> bool) -> Result<Self> {
        let mut declarations = Declarations::new();
        let prefix = |name: &'static str| if has_prefix(name) { name } else { "" };
        let family: Arc<dyn TextEncoder> = match fields.text("model_type")? {
            "bert" => {
                let prefix = prefix("bert");
                Arc::new(bert::Bert::declare(fields, bert::Variant::Bert, task, prefix, &mut declarations)?)
            }
            "roberta" => {
                let prefix = prefix("roberta");
                Arc::new(bert::Bert::declare(
                    fields,
                    bert::Variant::Roberta,
                    task,
                    prefix,
                    &mut declarations,
                )?)
            }
            "albert" => Arc::new(albert::Albert::declare(fields, task, prefix("albert"), &mut declarations)?),
            other => {
                let shown: String = other.chars().take(40).collect();
                return Err(Error::new(ErrorKind::Unsupported, fields.source().to_owned(), "model_type")
                    .expecting("bert, roberta or albert")
                    .but_found(format!("{shown:?}")));
            }
        };
        let facts = *family.facts();
        Ok(Self { family, facts, task, pooling: Pooling::default(), declarations, checkpoint: None })
    }

    /// What the model is, in numbers.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What the model is asked for.
    pub fn task(&self) -> Task {
        self.task
    }

    /// How embeddings are made of hidden states.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// The weights the model needs.
    pub fn declarations(&self) -> &Declarations {
        &self.declarations
    }

    /// The files the model was opened from; none for a model without files.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    /// The weights the model needs against those its files hold; none for a model without files.
    pub fn compare(&self) -> Option<Comparison> {
        self.checkpoint.as_ref().map(|checkpoint| checkpoint.compare(&self.declarations))
    }

    /// The weights from the model's files, as `dtype` (f32 or f16). Fails as [`Checkpoint::load`] does, and for a model without
    /// files.
    pub fn load(&self, dtype: DType) -> Result<Weights> {
        let Some(checkpoint) = &self.checkpoint else {
            return Err(Error::new(ErrorKind::Weights, self.facts().architecture, "weights")
                .expecting("a model opened from a folder")
                .but_found("one made from a configuration"));
        };
        checkpoint.load(&self.declarations, dtype)
    }

    /// Records the model into a graph; its weights become parameters under their own names.
    ///
    /// The result is `[batch, time, width]` for [`Task::Hidden`]; `[batch, width]` or, of packed sequences, `[1, count, width]`
    /// for [`Task::Embed`]; and `[batch, time, vocab_size]` for [`Task::Logits`].
    pub fn record(&self, graph: &mut Graph, tokens: &Tokens, dtype: DType) -> Result<Value> {
        let hidden = self.family.record(graph, tokens, dtype)?;
        match self.task {
            Task::Hidden => Ok(hidden),
            Task::Embed => self.pooling.record(graph, hidden, &tokens.sequences),
            Task::Logits => self.family.record_logits(graph, hidden),
        }
    }

    /// [`Model::record`] for [`Task::Logits`] at some positions only: `rows`, i32 `[count]`, numbers them through the batch, and
    /// a negative number asks for nothing. The result is `[count, vocab_size]`.
    fn record_logits_at(
        &self,
        graph: &mut Graph,
        tokens: &Tokens,
        rows: Value,
        dtype: DType,
    ) -> Result<Value> {
        let hidden = self.family.record(graph, tokens, dtype)?;
        let dims = graph.desc(hidden)?.shape.dims().to_vec();
        let (positions, width) = (dims[..dims.len() - 1].iter().product(), dims[dims.len() - 1]);
        let flat = crate::ops::reshape(graph, hidden, [positions, width])?;
        let wanted = crate::ops::embedding(graph, &[(flat, rows)])?;
        self.family.record_logits(graph, wanted)
    }
}

/// The most layers of a model, whatever its configuration says.
const MOST_LAYERS: usize = 1024;

/// A family's own number of layers.
fn whole_layers(fields: &Fields) -> Result<usize> {
    fields.usize("num_hidden_layers", 1..=MOST_LAYERS)
}

/// A number of heads that divides `width`, into heads that attention can take.
fn head_count(fields: &Fields, width: usize) -> Result<usize> {
    let heads = fields.usize("num_attention_heads", 1..=width)?;
    if !width.is_multiple_of(heads) {
        return Err(fields.refuse("num_attention_heads", format!("a divisor of hidden_size, {width}")));
    }
    let most = crate::ops::attention::MAX_HEAD_SIZE;
    if width / heads > most {
        return Err(fields.refuse("num_attention_heads", format!("heads of at most {most} channels")));
    }
    Ok(heads)
}

/// An activation by its name in Hugging Face's configurations.
fn activation(fields: &Fields, field: &str, default: Activation) -> Result<Activation> {
    let choices = [
        ("gelu", Activation::Gelu),
        ("gelu_new", Activation::GeluTanh),
        ("gelu_pytorch_tanh", Activation::GeluTanh),
        ("relu", Activation::Relu),
        ("silu", Activation::Silu),
        ("swish", Activation::Silu),
        ("tanh", Activation::Tanh),
        ("sigmoid", Activation::Sigmoid),
        ("linear", Activation::Identity),
    ];
    fields.choice_or(field, &choices, default)
}
