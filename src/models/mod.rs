//! Trained models from checkpoint folders: `config.json` chooses the family, the family declares its weights and records its
//! graph, and an [`Encoder`] runs it on a device.
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
//! A `pytorch_model.bin` is refused, with the command that converts it. What texts become is told by [`tokenize`](crate::tokenize).

mod albert;
mod batch;
mod bert;
mod classes;
mod conformer_ctc;
mod conformer_layer;
mod convbert;
mod deberta;
mod embeddings;
mod encoder;
mod families;
mod forecaster;
mod gpt2;
mod head;
mod labels;
mod language_model;
mod longformer;
mod network;
mod nystromformer;
mod pooling;
mod positions;
mod prompts;
mod segments;
mod sentence;
mod signature;
mod sound;
mod sound_encoder;
mod source;
mod squeezebert;
mod t5;
mod targets;
mod tokens;
mod transfo_xl;
mod wav2vec2_conformer;

use std::path::Path;

pub use batch::BatchSize;
pub(crate) use batch::rounded_time;
pub use conformer_ctc::ConformerConfig;
pub use encoder::{Encoder, Item, Usage};
pub use families::FAMILIES;
pub use forecaster::{Forecaster, ForecasterConfig};
pub use labels::{LabelKind, Labels};
pub use language_model::{Decays, Gated, LanguageModelConfig, Mixing, NearTaps};
pub(crate) use network::is_beside_network;
pub use network::{Family, Network};
pub use pooling::{Pooling, PoolingKind};
pub use prompts::Prompts;
pub use segments::Segments;
pub use signature::{EncoderDecoder, Input, PaddedTo, Signature};
pub use sound::{Sound, SoundForm, SoundFrames};
pub use sound_encoder::SoundEncoder;
pub use source::{Source, SourceTokens};
pub(crate) use source::{is_of_source, keep_cross};
pub use targets::Targets;
pub use tokens::Tokens;

pub(crate) use classes::class_for;
#[cfg(feature = "tokenize")]
pub(crate) use sentence::TRANSFORMER;

pub use crate::runtime::Device;

use crate::graph::{Graph, Value};
use crate::nn::Recorder;
use crate::ops;
use crate::runtime::{Runner, Store};
use crate::tensor::DType;
use crate::weights::modules::network_folder;
use crate::weights::{Checkpoint, Comparison, Declarations, Fields, Weights};
use crate::{Error, ErrorKind, Result};
use head::Rows;
use network::{Declared, Declaring};
use sentence::Sentence;

/// What a model is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// Kinds of texts that types tell apart; 1 where a model reads none.
    pub types: usize,
    /// The position of a sequence's first token.
    pub first_position: usize,
    /// The longest sequence, in tokens, its special tokens included; of sound, in frames.
    pub max_tokens: usize,
}

/// An architecture with the weights it declares, and the files they are in.
#[derive(Clone, Debug)]
pub struct Model {
    declared: Declared,
    facts: Facts,
    task: Task,
    pooling: Pooling,
    prompts: Prompts,
    labels: Option<Labels>,
    declarations: Declarations,
    checkpoint: Option<Checkpoint>,
}

impl Model {
    /// Reads a folder's `config.json` and finds its weights; for [`Task::Embed`] also what else sentence-transformers reads, where it is
    /// there: see the [list](self#what-is-read-of-a-folder).
    ///
    /// Fails with [`ErrorKind::Config`] when a field is absent, nonsensical or asks for what the family does not have, with
    /// [`ErrorKind::Unsupported`] for another `model_type`, and as [`Checkpoint::open`] does.
    pub fn open(folder: impl AsRef<Path>, task: Task) -> Result<Self> {
        let folder = folder.as_ref();
        let network = network_folder(folder)?;
        let fields = Fields::open(network.join("config.json"))?;
        if fields.has("quantization_config") {
            return Err(fields.refuse("quantization_config", "weights as f32, f16 or bf16"));
        }
        let checkpoint = Checkpoint::open(&network)?;
        check_architectures(&fields, task)?;
        let mut model = Self::declare(&fields, task, |family| checkpoint.has_prefix(&format!("{family}.")))?;
        if task == Task::Embed {
            let sizes = [model.facts.width, model.facts.max_tokens];
            let sentence = Sentence::open(folder, checkpoint, &mut model.declarations, sizes)?;
            let Sentence { pooling, prompts, max_tokens, checkpoint } = sentence;
            model.facts.max_tokens = max_tokens;
            return Ok(Self { pooling, prompts, checkpoint: Some(checkpoint), ..model });
        }
        model.checkpoint = Some(checkpoint);
        Ok(model)
    }

    /// The architecture that the fields of a `config.json` describe, without files: to plan, or for [`Weights::random`].
    ///
    /// Fails as [`Model::open`] does.
    pub fn from_config(fields: &Fields, task: Task) -> Result<Self> {
        Self::declare(fields, task, |_| false)
    }

    /// Files put a model below a prefix where they have a head beside it.
    pub(crate) fn declare(fields: &Fields, task: Task, has_prefix: impl Fn(&str) -> bool) -> Result<Self> {
        let mut declarations = Declarations::new();
        let family = families::family(fields)?;
        if !family.tasks.contains(&task) {
            let names: Vec<&str> = family.tasks.iter().map(|task| task.name()).collect();
            return Err(Error::new(ErrorKind::Unsupported, fields.source().to_owned(), "task")
                .expecting(format!("one of {}'s: {}", family.model_type, names.join(", ")))
                .but_found(task.name()));
        }
        let declared = (family.declare)(&mut Declaring::new(fields, task, &mut declarations, &has_prefix))?;
        let labels =
            matches!(task, Task::Classify | Task::Label).then(|| Labels::read(fields)).transpose()?;
        Ok(Self { labels, ..Self::of(declared, task, declarations) })
    }

    /// A model without files.
    fn of(declared: Declared, task: Task, declarations: Declarations) -> Self {
        let facts = *declared.network.facts();
        let (pooling, prompts) = (Pooling::default(), Prompts::default());
        Self { declared, facts, task, pooling, prompts, labels: None, declarations, checkpoint: None }
    }

    /// The network below the head.
    pub fn network(&self) -> &dyn Network {
        &*self.declared.network
    }

    /// The same model with the files that its weights are in.
    #[must_use]
    pub fn with_checkpoint(self, checkpoint: Checkpoint) -> Self {
        Self { checkpoint: Some(checkpoint), ..self }
    }

    /// What the model is, in numbers.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What the model is asked for.
    pub fn task(&self) -> Task {
        self.task
    }

    /// Places of the tokens of a sequence that are global where a caller names none, for models that have such tokens: the first token for
    /// [`Task::Classify`], the question before the first separator for [`Task::Answer`], none for other tasks. That is what Longformer's
    /// files are trained with. [`Encoder`] takes them; whoever records a graph gives them as [`Tokens::globals`].
    pub fn default_globals(&self, ids: &[u32]) -> Vec<usize> {
        self.declared.head.as_ref().map_or_else(Vec::new, |head| head.globals(ids))
    }

    /// How embeddings are made of hidden states.
    pub fn pooling(&self) -> &Pooling {
        &self.pooling
    }

    /// What the folder of an embedding model puts before texts; for other tasks, nothing.
    pub fn prompts(&self) -> &Prompts {
        &self.prompts
    }

    /// The labels of a classifier; none for tasks without labels.
    pub fn labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
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
    /// for [`Task::Embed`]; `[batch, time, vocab_size]` for [`Task::Logits`], and so on with a row for every token. Fails for results
    /// of single tokens, which [`Model::record_results`] gives, and as the network does.
    pub fn record(&self, graph: &mut Graph, tokens: &Tokens, dtype: DType) -> Result<Value> {
        self.record_with(&mut Recorder::new(graph, dtype), tokens)
    }

    /// [`Model::record`] with the settings of `recorder`, such as those of training.
    pub fn record_with(&self, recorder: &mut Recorder<'_>, tokens: &Tokens) -> Result<Value> {
        let hidden = self.record_network(recorder, tokens)?;
        match (self.task, &self.declared.head) {
            (Task::Embed, _) => self.pooling.record(recorder, hidden, tokens, self.facts.first_position),
            (_, None) => Ok(hidden),
            (_, Some(head)) => match &head.results[..] {
                [result] if result.rows == Rows::Wanted => result.record(recorder, hidden),
                _ => Err(Error::new(ErrorKind::Argument, self.facts.architecture, "task")
                    .expecting("one result of every token")
                    .but_found(self.task.name())),
            },
        }
    }

    /// The last hidden state of tokens that are as the network's signature has them.
    fn record_network(&self, recorder: &mut Recorder<'_>, tokens: &Tokens) -> Result<Value> {
        let network = self.network();
        network.signature().check(network.facts(), tokens)?;
        let hidden = network.record(recorder, tokens)?;
        recorder.check_exchanged()?;
        Ok(hidden)
    }

    /// The weights of a model on a device and, beside them, what its network makes of them alone ([`Network::derive`]), computed there once:
    /// what a recorder with fixed weights reads ([`Recorder::with_fixed_weights`]), for segments of at most `time` tokens. Most models have
    /// nothing of the kind. Where the weights change, this does not.
    ///
    /// Fails as the network does, and when the device is lost or out of memory.
    pub fn with_derived(&self, weights: &Store, dtype: DType, time: usize) -> Result<Store> {
        let graph = self.derived_graph(dtype, time)?;
        if graph.outputs().is_empty() {
            return Ok(weights.clone());
        }
        let derived = Runner::new(weights).run((), &[], || Ok(graph))?;
        weights.with(derived.into_iter().map(Ok))
    }

    /// The graph whose outputs are what the network makes of its weights alone.
    pub(crate) fn derived_graph(&self, dtype: DType, time: usize) -> Result<Graph> {
        let mut graph = Graph::new();
        for (name, value) in self.declared.network.derive(&mut Recorder::new(&mut graph, dtype), time)? {
            graph.output(&name, value)?;
        }
        Ok(graph)
    }

    /// Records the model with the results of its task by name, each of the tokens that `rows` picks for it.
    ///
    /// Hidden states of all layers are kept where `recorder` was told so. Fails as the network does.
    pub fn record_results(
        &self,
        recorder: &mut Recorder<'_>,
        tokens: &Tokens,
        rows: &ResultRows,
    ) -> Result<Vec<(&'static str, Value)>> {
        let hidden = self.record_network(recorder, tokens)?;
        let Some(head) = &self.declared.head else {
            let result = match self.task {
                Task::Embed => self.pooling.record(recorder, hidden, tokens, self.facts.first_position)?,
                _ => hidden,
            };
            return Ok(vec![(RESULT, result)]);
        };
        let dims = recorder.desc(hidden)?.shape.dims().to_vec();
        let (positions, width) = (dims[..dims.len() - 1].iter().product(), dims[dims.len() - 1]);
        let flat = ops::reshape(recorder, hidden, [positions, width])?;
        let mut results = Vec::with_capacity(head.results.len());
        for result in &head.results {
            let picked = if result.rows == Rows::Wanted { rows.wanted } else { rows.of_sequences };
            let picked = ops::embedding(recorder, &[(flat, picked)])?;
            results.push((result.name, result.record(recorder, picked)?));
        }
        Ok(results)
    }
}

/// The tasks that a folder can do: those of its family whose head `architectures` names, and whose weights are all there.
///
/// Fails as [`Model::open`] does for hidden states.
pub fn tasks(folder: impl AsRef<Path>) -> Result<Vec<Task>> {
    let folder = folder.as_ref();
    let fields = Fields::open(network_folder(folder)?.join("config.json"))?;
    let complete = |task: &Task| {
        let opened = Model::open(folder, *task);
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

/// The name of a result that needs none to be told from others.
pub(crate) const RESULT: &str = "result";

/// Which tokens results are made of: `i32 [count]`, numbers of positions through the whole batch; a negative one asks for nothing.
#[derive(Clone, Copy, Debug)]
pub struct ResultRows {
    /// Of results with a row for each token.
    pub wanted: Value,
    /// Of results with one row for each sequence: its first token, or its last before padding, as the head reads it.
    pub of_sequences: Value,
}
