//! `foveate inspect`: what a model folder holds, against what its architecture needs.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use clap::ValueEnum;
use foveate::models::{BatchSize, Model, Pooling, PoolingKind, Task};
use foveate::tokenize::Tokenizer;
use foveate::weights::{Checkpoint, Comparison, Fields};
use foveate::{Caps, DType, Error, ErrorKind, Plan, Result, TensorDesc};
use serde::Serialize;

use crate::args::{InspectArgs, TaskName};
use crate::{output, run};

#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    model: String,
    task: &'static str,
    /// What the folder can be used for.
    tasks: Vec<&'static str>,
    architecture: Architecture,
    pooling: Option<String>,
    weights: Needed,
    file: Option<Stored>,
    /// As f32 and as f16; nothing of models that read no packed batches, and of those that are too large to be planned.
    memory: Vec<BatchMemory>,
    tokenizer: Option<Words>,
    complete: bool,
    differences: Option<Differences>,
    /// What is missing or damaged beside weights that do not fit.
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Architecture {
    name: &'static str,
    layers: usize,
    width: usize,
    heads: usize,
    vocab_size: usize,
    max_tokens: usize,
}

/// What the architecture needs, each shared tensor once.
#[derive(Debug, Serialize)]
struct Needed {
    tensors: usize,
    parameters: usize,
    f32_bytes: u64,
    f16_bytes: u64,
}

/// What the files hold, used or not.
#[derive(Debug, Serialize)]
struct Stored {
    tensors: usize,
    bytes: u64,
    /// Tensors of each element type, as the format names them.
    dtypes: BTreeMap<String, usize>,
}

/// Bytes of a batch by its plan; parameters are counted with it.
#[derive(Debug, Serialize)]
struct BatchMemory {
    dtype: &'static str,
    tokens: usize,
    sequences: usize,
    parameters: u64,
    inputs: u64,
    outputs: u64,
    working: u64,
    /// Why a device with no more than WebGPU's default limits does not take it.
    beyond_webgpu_defaults: Option<String>,
}

#[derive(Debug, Serialize)]
struct Words {
    algorithm: &'static str,
    tokens: usize,
    mask: Option<String>,
}

#[derive(Debug, Serialize)]
struct Differences {
    missing: Vec<String>,
    unexpected: Vec<String>,
    misshapen: Vec<Misshapen>,
    unsupported: Vec<(String, String)>,
    differing: Vec<(String, String)>,
    ignored: Vec<String>,
    #[serde(skip)]
    text: String,
}

#[derive(Debug, Serialize)]
struct Misshapen {
    name: String,
    expected: Vec<usize>,
    found: Vec<usize>,
}

pub(crate) fn run(args: &InspectArgs) -> Result<()> {
    let usable = Usable::of(args);
    let task = args.task.unwrap_or_else(|| usual(args));
    let (model, mut problems) = open(args, task)?;
    let sound = problems.is_empty();
    let refused = run::check(task, &model).err();
    let dtypes = if refused.is_none() { &[DType::F32, DType::F16][..] } else { &[] };
    let memory =
        dtypes.iter().map(|&dtype| BatchMemory::of(&model, dtype, task, args)).collect::<Result<Vec<_>>>();
    let memory = memory.unwrap_or_else(|error| {
        problems.push(error);
        Vec::new()
    });
    // What was not asked for is no problem.
    problems.extend(refused.filter(|_| args.task.is_some()));
    let tokenizer = tokenizer(args).unwrap_or_else(|error| {
        problems.push(error);
        None
    });
    let differences = model.compare();
    let complete = differences.as_ref().is_some_and(Comparison::is_complete);
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        model: args.folder.display().to_string(),
        task: task.name(),
        tasks: usable.names(),
        architecture: Architecture::of(&model),
        pooling: (task == TaskName::Embed && sound).then(|| described(model.pooling())),
        weights: Needed::of(&model),
        file: model.checkpoint().map(Stored::of),
        memory,
        tokenizer,
        complete,
        differences: differences.as_ref().map(Differences::of),
        problems: problems.iter().map(Error::to_string).collect(),
    };
    output::print(if args.output.json { output::json(&report)? } else { report.to_string() })?;
    match (problems.into_iter().next(), differences) {
        (Some(problem), _) => Err(problem),
        (None, Some(differences)) if !complete => Err(incomplete(&report.model, &differences)),
        (None, _) => Ok(()),
    }
}

/// The model, or where other files than its configuration are missing or damaged, what can be told of it, and why.
fn open(args: &InspectArgs, task: TaskName) -> Result<(Model, Vec<Error>)> {
    let task = task.task();
    Model::open(&args.folder, task).map(|model| (model, Vec::new())).or_else(|error| {
        let fields = || Fields::open(args.folder.join("config.json"));
        // Hidden states take the same weights as embeddings, and no files about pooling.
        let unpooled = if task == Task::Embed { Task::Hidden } else { task };
        let told = Model::open(&args.folder, unpooled)
            .or_else(|_| fields().and_then(|fields| Model::from_config(&fields, task)));
        match told {
            Ok(model) => Ok((model, vec![error])),
            Err(_) => Err(error),
        }
    })
}

/// The task that is shown where none is asked for: embeddings, or hidden states of families without embeddings.
fn usual(args: &InspectArgs) -> TaskName {
    match Model::open(&args.folder, Task::Embed) {
        Err(error) if error.kind() == ErrorKind::Unsupported => TaskName::Hidden,
        _ => TaskName::Embed,
    }
}

/// What a folder can be used for.
struct Usable {
    /// By `foveate run`.
    tasks: Vec<TaskName>,
    /// By `foveate generate`.
    generates: bool,
}

impl Usable {
    fn of(args: &InspectArgs) -> Self {
        let complete = foveate::models::tasks(&args.folder).unwrap_or_default();
        let opened = |task: Task| Model::open(&args.folder, task).ok().filter(|_| complete.contains(&task));
        let runs =
            |task: &TaskName| opened(task.task()).is_some_and(|model| run::check(*task, &model).is_ok());
        let continues = |model: Model| {
            let signature = model.network().signature();
            signature.is_causal && !signature.is_recurrent
        };
        Self {
            tasks: TaskName::value_variants().iter().copied().filter(runs).collect(),
            generates: opened(Task::Logits).is_some_and(continues),
        }
    }

    /// The names of the tasks, as the commands call them.
    fn names(&self) -> Vec<&'static str> {
        let generate = self.generates.then_some("generate");
        self.tasks.iter().map(|task| task.name()).chain(generate).collect()
    }
}

/// None where the folder has no tokenizer: ids are enough to run a model.
fn tokenizer(args: &InspectArgs) -> Result<Option<Words>> {
    if !["tokenizer.json", "vocab.txt"].iter().any(|name| args.folder.join(name).exists()) {
        return Ok(None);
    }
    let tokenizer = Tokenizer::open(&args.folder)?;
    Ok(Some(Words {
        algorithm: tokenizer.algorithm(),
        tokens: tokenizer.vocab_size(),
        mask: tokenizer.mask_id().and_then(|id| tokenizer.token(id)),
    }))
}

fn incomplete(model: &str, differences: &Comparison) -> Error {
    let Comparison { missing, unexpected, misshapen, unsupported, differing, .. } = differences;
    let counts = [
        ("missing", missing.len()),
        ("unexpected", unexpected.len()),
        ("misshapen", misshapen.len()),
        ("of a type that is not read", unsupported.len()),
        ("unlike what they are copies of", differing.len()),
    ];
    let counts = counts.iter().filter(|(_, count)| *count > 0).map(|(kind, count)| format!("{count} {kind}"));
    Error::new(ErrorKind::Weights, model.to_owned(), "tensors")
        .expecting("what the model declares")
        .but_found(counts.collect::<Vec<_>>().join(", "))
}

fn described(pooling: Pooling) -> String {
    let kind = match pooling.kind {
        PoolingKind::Mean => "the mean of all tokens",
        PoolingKind::First => "the first token",
        PoolingKind::Max => "the largest of each channel",
    };
    format!("{kind}, {}", if pooling.normalize { "normalised" } else { "as it is" })
}

impl Architecture {
    fn of(model: &Model) -> Self {
        let facts = model.facts();
        Self {
            name: facts.architecture,
            layers: facts.layers,
            width: facts.width,
            heads: facts.heads,
            vocab_size: facts.vocab_size,
            max_tokens: facts.max_tokens,
        }
    }
}

impl Needed {
    fn of(model: &Model) -> Self {
        let list = model.declarations().list();
        let bytes = |dtype| {
            let each = list.iter().map(|weight| TensorDesc::new(dtype, weight.shape.clone()).buffer_bytes());
            each.fold(0, u64::saturating_add)
        };
        Self {
            tensors: list.len(),
            parameters: list.iter().map(|weight| weight.shape.elements()).fold(0, usize::saturating_add),
            f32_bytes: bytes(DType::F32),
            f16_bytes: bytes(DType::F16),
        }
    }
}

impl Stored {
    fn of(checkpoint: &Checkpoint) -> Self {
        let mut stored = Self { tensors: 0, bytes: 0, dtypes: BTreeMap::new() };
        for tensor in checkpoint.names().filter_map(|name| checkpoint.tensor(name)) {
            stored.tensors += 1;
            stored.bytes += tensor.bytes().len() as u64;
            *stored.dtypes.entry(tensor.dtype()).or_default() += 1;
        }
        stored
    }
}

impl BatchMemory {
    /// Planned for a device of unlimited buffers, because the plan tells what is needed only if it can be made.
    fn of(model: &Model, dtype: DType, task: TaskName, args: &InspectArgs) -> Result<Self> {
        let (time, count) = (args.batch_tokens as usize, args.count as usize);
        let rows = match task {
            TaskName::FillMask => count,
            TaskName::Label | TaskName::Answer | TaskName::Score => time,
            _ => 0,
        };
        let graph = model.batch_graph(BatchSize { time, count, rows, globals: 0 }, dtype)?;
        let defaults = Caps { f16: true, ..Caps::webgpu_default() };
        let raised = Caps { max_binding_bytes: u64::MAX, max_buffer_bytes: u64::MAX, ..defaults.clone() };
        let memory = *Plan::new(&graph, &raised)?.memory();
        Ok(Self {
            dtype: dtype.name(),
            tokens: time,
            sequences: count,
            parameters: memory.parameters,
            inputs: memory.inputs,
            outputs: memory.outputs,
            working: memory.working,
            beyond_webgpu_defaults: Plan::new(&graph, &defaults).err().map(|error| error.to_string()),
        })
    }
}

impl Differences {
    fn of(comparison: &Comparison) -> Self {
        let misshapen = comparison.misshapen.iter().map(|(name, expected, found)| Misshapen {
            name: name.clone(),
            expected: expected.dims().to_vec(),
            found: found.dims().to_vec(),
        });
        Self {
            missing: comparison.missing.clone(),
            unexpected: comparison.unexpected.clone(),
            misshapen: misshapen.collect(),
            unsupported: comparison.unsupported.clone(),
            differing: comparison.differing.clone(),
            ignored: comparison.ignored.clone(),
            text: comparison.whole(),
        }
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.model)?;
        let mut line = |name: &str, value: &dyn Display| writeln!(f, "  {name:<13} {value}");
        let Architecture { name, layers, width, heads, vocab_size, max_tokens } = &self.architecture;
        line("architecture", &format!("{name}, {layers} layers of {width} channels, {heads} heads"))?;
        line("takes", &format!("up to {max_tokens} tokens of a vocabulary of {vocab_size}"))?;
        match &self.pooling {
            Some(pooling) => line("task", &format!("{}: {pooling}", self.task))?,
            None => line("task", &self.task)?,
        }
        let tasks = match (&self.tasks[..], self.complete) {
            ([], true) => {
                "nothing on the command line: it reads segments, as the library's `models::Segments` does"
                    .into()
            }
            ([], false) => "nothing, as weights are missing".into(),
            (tasks, _) => tasks.join(", "),
        };
        line("can be used", &format!("for {tasks}"))?;
        let Needed { tensors, parameters, f32_bytes, f16_bytes } = self.weights;
        line("needs", &format!("{parameters} parameters in {tensors} tensors"))?;
        line("on a device", &format!("{} as f32, {} as f16", mebibytes(f32_bytes), mebibytes(f16_bytes)))?;
        match &self.file {
            Some(Stored { tensors, bytes, dtypes }) => {
                let types: Vec<_> = dtypes.iter().map(|(dtype, count)| format!("{count} {dtype}")).collect();
                line(
                    "in files",
                    &format!("{} in {tensors} tensors: {}", mebibytes(*bytes), types.join(", ")),
                )?;
            }
            None => line("in files", &"nothing that can be read")?,
        }
        for batch in &self.memory {
            line("memory", batch)?;
        }
        match &self.tokenizer {
            Some(words) => line("tokenizer", words)?,
            None => line("tokenizer", &"none that can be used: ids only")?,
        }
        let complete = if self.complete { "complete" } else { "incomplete" };
        line("weights", &complete)?;
        if let Some(differences) = &self.differences {
            for difference in differences.text.lines() {
                line("", &difference)?;
            }
        }
        self.problems.iter().try_for_each(|problem| line("problem", problem))
    }
}

impl Display for BatchMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dtype, tokens, sequences, parameters, inputs, outputs, working, beyond_webgpu_defaults } =
            self;
        write!(
            f,
            "{tokens} tokens of {sequences} sequences, {dtype}: parameters {}, inputs {}, outputs {}, working {}",
            mebibytes(*parameters),
            mebibytes(*inputs),
            mebibytes(*outputs),
            mebibytes(*working)
        )?;
        match beyond_webgpu_defaults {
            Some(reason) => write!(f, " (more than WebGPU's default limits: {reason})"),
            None => Ok(()),
        }
    }
}

impl Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} tokens", self.algorithm, self.tokens)?;
        self.mask.as_ref().map_or(Ok(()), |mask| write!(f, ", mask {}", output::one_line(mask, 40)))
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.2} MiB", bytes as f64 / f64::from(1 << 20))
}
