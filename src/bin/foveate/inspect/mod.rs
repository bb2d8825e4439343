//! `foveate inspect`: what a model folder holds, against what its architecture needs.

mod report;

use clap::ValueEnum;
use foveate::models::{Model, Task};
use foveate::processing::sound::Symbols;
use foveate::tokenize::Tokenizer;
use foveate::weights::{Checkpoint, Comparison, Fields};
use foveate::{DType, Error, ErrorKind, Result};

use crate::args::{InspectArgs, TaskName};
use crate::{memory, output, run};
use report::{Architecture, BatchMemory, Differences, Needed, Report, Stored, Words};

pub(crate) fn run(args: &InspectArgs) -> Result<()> {
    let json = args.output.open("inspect")?;
    output::check(&json, &args.files_read())?;
    memory::check_files("inspect", &args.folder)?;
    let task = args.task.unwrap_or_else(|| usual(args));
    let (model, mut problems) = open(args, task)?;
    let sound = problems.is_empty();
    let usable = Usable::of(args, model.checkpoint());
    let refused = run::check(task, &model).err();
    let signature = model.network().signature();
    let is_packed = signature.reads_whole_texts();
    let dtypes = if refused.is_none() && is_packed { &[DType::F32, DType::F16][..] } else { &[] };
    let memory =
        dtypes.iter().map(|&dtype| BatchMemory::of(&model, dtype, task, args)).collect::<Result<Vec<_>>>();
    let memory = memory.unwrap_or_else(|error| {
        problems.push(error);
        Vec::new()
    });
    // What was not asked for is no problem.
    problems.extend(refused.filter(|_| args.task.is_some()));
    let tokenizer = match signature.sound {
        Some(_) => symbols(args, &model),
        None => tokenizer(args),
    };
    let tokenizer = tokenizer.unwrap_or_else(|error| {
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
        pooling: (task == TaskName::Embed && sound).then(|| model.pooling().to_string()),
        weights: Needed::of(&model),
        file: model.checkpoint().map(Stored::of),
        memory,
        tokenizer,
        complete,
        differences: differences.as_ref().map(Differences::of),
        problems: problems.iter().map(Error::to_string).collect(),
    };
    output::report(json.as_ref(), &report, || report.to_string())?;
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
            Err(_) => Err(run::with_advice(error)),
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
    /// Nothing of a folder whose weights could not be opened.
    fn of(args: &InspectArgs, checkpoint: Option<&Checkpoint>) -> Self {
        let complete = match checkpoint {
            Some(_) => foveate::models::tasks(&args.folder).unwrap_or_default(),
            None => Vec::new(),
        };
        let opened = |task: Task| {
            let opened = checkpoint.map(|weights| Model::open_with(&args.folder, task, weights.clone()));
            opened.and_then(Result::ok).filter(|_| complete.contains(&task))
        };
        let runs =
            |task: &TaskName| opened(task.task()).is_some_and(|model| run::check(*task, &model).is_ok());
        let continues = |model: Model| model.network().signature().continues_texts();
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
    if !Tokenizer::is_in(&args.folder) {
        return Ok(None);
    }
    let tokenizer = Tokenizer::open(&args.folder)?;
    Ok(Some(Words {
        algorithm: tokenizer.algorithm(),
        tokens: tokenizer.vocab_size(),
        mask: tokenizer.mask_id().and_then(|id| tokenizer.token(id)),
    }))
}

/// None where a model of sound has no names for its symbols, as one that is not for transcribing.
fn symbols(args: &InspectArgs, model: &Model) -> Result<Option<Words>> {
    if !args.folder.join("vocab.json").is_file() {
        return Ok(None);
    }
    let symbols = Symbols::open(&args.folder, model.facts().vocab_size)?;
    Ok(Some(Words { algorithm: "symbols of speech", tokens: symbols.count(), mask: None }))
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
    let error = Error::new(ErrorKind::Weights, model.to_owned(), "tensors")
        .expecting("what the model declares")
        .but_found(counts.collect::<Vec<_>>().join(", "));
    differences.hint().into_iter().fold(error, Error::with_hint)
}
