//! Trained models from checkpoint folders, as Hugging Face has them: `config.json` chooses the family, the family declares its weights and records
//! its graph, and an [`Encoder`] runs it on a device.
//!
//! ```no_run
//! use foveate::DType;
//! use foveate::models::{Encoder, Model, Task};
//! use foveate::runtime::Device;
//! use foveate::tokenize::Tokenizer;
//!
//! # fn main() -> foveate::Result<()> {
//! let folder = "all-MiniLM-L6-v2";
//! let model = Model::open(folder, Task::Embed)?;
//! let mut encoder = Encoder::new(&model, &model.load(DType::F32)?, &Device::Cpu)?;
//! let text = model.prompts().apply("Call me Ishmael.", None)?;
//! let ids = Tokenizer::open(folder)?.encode(&text)?;
//! let embedding = &encoder.run(&[ids])?[0];
//! # Ok(())
//! # }
//! ```
//!
//! A family is a [`Network`], with a head for each task, and a row of [`FAMILIES`]:
//!
//! | `model_type` | family | source |
//! |---|---|---|
//! | `bert` | BERT; MiniLM and other sentence encoders | arXiv 1810.04805 |
//! | `roberta` | RoBERTa | arXiv 1907.11692 |
//! | `albert` | ALBERT | arXiv 1909.11942 |
//! | `longformer` | Longformer: windows and global tokens | arXiv 2004.05150 |
//! | `nystromformer` | Nyströmformer: landmarks | arXiv 2102.03902 |
//! | `reformer` | Reformer: LSH attention in reversible layers | arXiv 2001.04451 |
//! | `squeezebert` | SqueezeBERT: dense layers that see channels in groups | arXiv 2006.11316 |
//! | `convbert` | ConvBERT: half of the heads are convolutions | arXiv 2008.02496 |
//! | `deberta` | DeBERTa, the first version | arXiv 2006.03654 |
//! | `deberta-v2` | DeBERTa, versions 2 and 3 | arXiv 2006.03654, 2111.09543 |
//! | `gpt2` | GPT-2, DistilGPT-2 | Radford et al. 2019 |
//! | `t5` | T5: encoder and decoder ([`Targets`]); for embeddings, the encoder alone | arXiv 1910.10683 |
//! | `transfo-xl` | Transformer-XL, read segment by segment ([`Segments`]) | arXiv 1901.02860 |
//! | `conformer-ctc` | Conformer on log-mel features, trained by CTC ([`ConformerConfig`]) | arXiv 2005.08100 |
//! | `wav2vec2-conformer` | Wav2Vec2-Conformer, from samples of sound ([`SoundEncoder`]) | arXiv 2010.05171 |
//!
//! # What is read of a folder
//!
//! | file | what for |
//! |---|---|
//! | `config.json` | the family (`model_type`), its shapes and settings, labels; each family says what it refuses |
//! | `model.safetensors`, or `model.safetensors.index.json` and the shards it names | the weights, as f32, f16, bf16 or f64 |
//!
//! For [`Task::Embed`] besides what sentence-transformers (0.2 to 5.4) reads, where it is there. Every other field that its readers obey, and every
//! other module, is refused by name:
//!
//! | file | fields |
//! |---|---|
//! | `modules.json` | `type` and `path` of each module: `Transformer` first, then one `Pooling`, then any of `Dense`, `LayerNorm`, `Normalize` and `Dropout` |
//! | `sentence_bert_config.json` or its older names (`sentence_roberta_config.json` and so on) | `max_seq_length`; `do_lower_case`, by [`tokenize`](crate::tokenize); the task and its inputs where they are texts and hidden states |
//! | `tokenizer_config.json` | `model_max_length`, where there is no `max_seq_length` |
//! | `config.json` of the `Pooling` | `pooling_mode` or `pooling_mode_*`, `word_embedding_dimension` or `embedding_dimension`, `include_prompt` |
//! | `config.json` and `model.safetensors` of a `Dense` | `in_features`, `out_features`, `bias`, `activation_function`, `use_residual` |
//! | `config.json` and `model.safetensors` of a `LayerNorm` | `dimension` |
//! | `config_sentence_transformers.json` | `prompts`, `default_prompt_name`, `model_type` |
//!
//! Without `modules.json` an embedding is the mean of all tokens, normalised.
//!
//! A `pytorch_model.bin` is refused, with the command that converts it. [`tokenize`](crate::tokenize) lists the files that texts are tokenized by.

mod albert;
mod batch;
mod batch_graph;
mod bert;
mod classes;
mod clusters;
mod conformer_ctc;
mod conformer_layer;
mod convbert;
mod deberta;
mod encoder;
mod families;
mod forecaster;
mod gpt2;
mod head;
mod item;
mod labels;
mod language_model;
mod longest;
mod longformer;
mod model;
mod network;
mod nystromformer;
mod pooling;
mod positions;
mod prompts;
mod reformer;
mod segments;
mod sentence;
mod signature;
mod sound;
mod sound_encoder;
mod sound_stream;
mod source;
mod squeezebert;
mod t5;
mod targets;
mod text_encoder;
mod tokens;
mod transfo_xl;
mod wav2vec2_conformer;

use std::path::Path;

pub use batch::BatchSize;
pub(crate) use batch::rounded_time;
pub use conformer_ctc::ConformerConfig;
pub use encoder::{Encoder, Usage};
pub use families::FAMILIES;
pub use forecaster::{Forecaster, ForecasterConfig};
pub use item::Item;
pub use labels::{LabelKind, Labels};
pub use language_model::{Decays, Gated, LanguageModelConfig, LocalAndRouted, Mixing, NearTaps};
pub(crate) use model::RESULT;
pub use model::{Model, ResultRows};
pub(crate) use network::is_beside_network;
pub use network::{Family, Network};
pub use pooling::{Pooling, PoolingKind};
pub use prompts::Prompts;
pub use segments::Segments;
pub use signature::{EncoderDecoder, Input, PaddedTo, Signature};
pub use sound::{Sound, SoundForm, SoundFrames};
pub use sound_encoder::SoundEncoder;
pub use sound_stream::SoundStream;
pub use source::{Source, SourceTokens};
pub(crate) use source::{is_of_source, keep_cross};
pub use targets::Targets;
pub use tokens::Tokens;

pub(crate) use classes::class_for;
#[cfg(feature = "tokenize")]
pub(crate) use longest::TRANSFORMER;

pub use crate::runtime::Device;

use crate::weights::modules::network_folder;
use crate::weights::{Checkpoint, Fields};
use crate::{Error, ErrorKind, Result};

/// The task that a model is opened for, which decides its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Task {
    /// One vector a sequence: hidden states pooled and normalised as the folder says.
    Embed,
    /// The last layer's hidden state of every token.
    Hidden,
    /// Scores of the whole vocabulary at the tokens asked for: of masked words, or of what comes next.
    Logits,
    /// Scores of the labels that a whole text, or pair of texts, may have.
    Classify,
    /// Scores of the labels that each token may have.
    Label,
    /// Two scores of each token: to be the first and to be the last of the answer in a passage.
    Answer,
    /// What the model was trained with first: scores of words, and whether the second text follows the first.
    Pretrain,
    /// Scores of symbols for every frame of a sound, of which CTC makes a text.
    Transcribe,
}

impl Task {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embed => "embed",
            Self::Hidden => "hidden",
            Self::Logits => "logits",
            Self::Classify => "classify",
            Self::Label => "label",
            Self::Answer => "answer",
            Self::Pretrain => "pretrain",
            Self::Transcribe => "transcribe",
        }
    }
}

/// The sizes of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
    /// Kinds of texts that types tell apart; 1 where a model reads none.
    pub types: usize,
    /// The position of a sequence's first token.
    pub first_position: usize,
    /// The longest sequence, in tokens, its special tokens included; of sound, in frames.
    pub max_tokens: usize,
}

/// The tasks that a folder can do: those of its family whose head `architectures` names, and whose weights are all there.
///
/// Fails as [`Model::open`] does for hidden states.
pub fn tasks(folder: impl AsRef<Path>) -> Result<Vec<Task>> {
    let folder = folder.as_ref();
    let network = network_folder(folder)?;
    let fields = Fields::open(network.join("config.json"))?;
    let checkpoint = Checkpoint::open(&network)?;
    let complete = |task: &Task| {
        let opened = Model::open_with(folder, *task, checkpoint.clone());
        opened.is_ok_and(|model| model.compare().is_some_and(|comparison| comparison.is_complete()))
    };
    Ok(families::family(&fields)?.tasks.iter().copied().filter(complete).collect())
}

/// Refuses a task whose head is another than those that `architectures` names: files of one may have the tensors of another.
fn check_architectures(fields: &Fields, task: Task) -> Result<()> {
    let Some(listed) = fields.get("architectures").and_then(|value| value.as_array()) else { return Ok(()) };
    let names: Vec<&str> = listed.iter().filter_map(|name| name.as_str()).collect();
    let heads: Vec<Task> = names.iter().flat_map(|name| heads_of(name)).copied().collect();
    if matches!(task, Task::Embed | Task::Hidden) || heads.is_empty() || heads.contains(&task) {
        return Ok(());
    }
    let known: Vec<&str> = heads.iter().map(|task| task.name()).collect();
    Err(Error::new(ErrorKind::Unsupported, fields.source().to_owned(), "task")
        .expecting(format!(
            "{}, embed or hidden, as `architectures` has {}",
            known.join(", "),
            names.join(", ")
        ))
        .but_found(task.name()))
}

/// The tasks of the heads that a class of Hugging Face's has; nothing for one that is unknown here.
fn heads_of(class: &str) -> &'static [Task] {
    let suffixes: [(&str, &[Task]); 9] = [
        ("ForMaskedLM", &[Task::Logits]),
        ("LMHeadModel", &[Task::Logits]),
        ("ForCausalLM", &[Task::Logits]),
        ("ForConditionalGeneration", &[Task::Logits]),
        ("ForSequenceClassification", &[Task::Classify]),
        ("ForTokenClassification", &[Task::Label]),
        ("ForQuestionAnswering", &[Task::Answer]),
        ("ForPreTraining", &[Task::Logits, Task::Pretrain]),
        ("ForCTC", &[Task::Transcribe]),
    ];
    suffixes.iter().find(|(suffix, _)| class.ends_with(suffix)).map_or(&[], |(_, tasks)| tasks)
}
