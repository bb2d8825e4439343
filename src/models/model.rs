//! A network with the head that a task needs, and the files that its weights are in.

use std::path::Path;

use super::batch_graph::picked;
use super::head::Rows;
use super::network::{Declared, Declaring};
use super::sentence::Sentence;
use super::{Facts, Labels, Network, Pooling, Prompts, Task, Tokens, check_architectures, families};
use crate::graph::{Graph, Value};
use crate::nn::Recorder;
use crate::runtime::{Runner, Store};
use crate::tensor::DType;
use crate::weights::modules::network_folder;
use crate::weights::{Checkpoint, Comparison, Declarations, Fields, Weights};
use crate::{Error, ErrorKind, Result};

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

/// An architecture with the weights it declares, and the files they are in.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) declared: Declared,
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
    /// there: see the [list](super#what-is-read-of-a-folder).
    ///
    /// Fails with [`ErrorKind::Config`] when a field is absent, nonsensical or asks for what the family does not have, with
    /// [`ErrorKind::Unsupported`] for another `model_type`, and as [`Checkpoint::open`] does.
    pub fn open(folder: impl AsRef<Path>, task: Task) -> Result<Self> {
        Self::open_by(folder.as_ref(), task, |network| Checkpoint::open(network))
    }

    /// [`Model::open`] with the network's weights opened already, such as [`Model::checkpoint`] of the same folder for another task.
    pub fn open_with(folder: impl AsRef<Path>, task: Task, checkpoint: Checkpoint) -> Result<Self> {
        Self::open_by(folder.as_ref(), task, |_| Ok(checkpoint))
    }

    /// [`Model::open`] with the network's weights by memory map, for models larger than memory.
    ///
    /// # Safety
    ///
    /// As of [`Checkpoint::map`].
    #[expect(unsafe_code, reason = "hands the contract of a map on to the caller")]
    pub unsafe fn map(folder: impl AsRef<Path>, task: Task) -> Result<Self> {
        // SAFETY: the caller vouches for the files.
        Self::open_by(folder.as_ref(), task, |network| unsafe { Checkpoint::map(network) })
    }

    fn open_by(folder: &Path, task: Task, weights: impl FnOnce(&Path) -> Result<Checkpoint>) -> Result<Self> {
        let network = network_folder(folder)?;
        let fields = Fields::open(network.join("config.json"))?;
        if fields.has("quantization_config") {
            return Err(fields.refuse("quantization_config", "weights as f32, f16 or bf16"));
        }
        check_architectures(&fields, task)?;
        let checkpoint = weights(&network)?;
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
    pub(super) fn of(declared: Declared, task: Task, declarations: Declarations) -> Self {
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

    /// The sizes of the model.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The task that the model was opened for.
    pub fn task(&self) -> Task {
        self.task
    }

    /// Places of the tokens of a sequence that are global where a caller names none, for models that have such tokens: the first token for
    /// [`Task::Classify`], the question before the first separator for [`Task::Answer`], none for other tasks. That is what Longformer's
    /// files are trained with. [`Encoder`](super::Encoder) takes them; whoever records a graph gives them as [`Tokens::globals`].
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

    /// Names of the task's results, in the order of [`Model::record_results`]: those of its head, such as `logits`, or `result` where there is
    /// none. [`Encoder`](super::Encoder) and the graphs of batches ([`Model::batch_graph`]) give them under these names.
    pub fn results(&self) -> Vec<&'static str> {
        match &self.declared.head {
            None => vec![RESULT],
            Some(head) => head.results.iter().map(|result| result.name).collect(),
        }
    }

    /// The first of [`Model::results`].
    pub(super) fn first_result(&self) -> &'static str {
        self.results().first().copied().unwrap_or(RESULT)
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
        let mut results = Vec::with_capacity(head.results.len());
        for result in &head.results {
            let rows = if result.rows == Rows::Wanted { rows.wanted } else { rows.of_sequences };
            let picked = picked(recorder, hidden, rows)?;
            results.push((result.name, result.record(recorder, picked)?));
        }
        Ok(results)
    }
}
