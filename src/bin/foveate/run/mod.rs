//! `foveate run`: a trained model on texts, or on recordings.

pub(crate) mod encoding;
mod engine;
mod exchange;
mod files;
mod fill;
pub(crate) mod inputs;
mod job;
mod report;
mod transcribe;

use std::path::Path;
use std::time::{Duration, Instant};

use foveate::models::{Model, Task};
use foveate::{DType, Error, ErrorKind, Result};

use crate::args::{RunArgs, TaskName};
use crate::device::Device;
use crate::forecast;
use crate::memory;
use crate::output::{self, Delivery, Sink};
use crate::pipelines::{self, PipelineCache};

use engine::Engine;
use exchange::Comparison;
use files::Format;
use job::{Job, Results};
use report::{Report, Throughput};

pub(crate) fn run(args: &RunArgs) -> Result<()> {
    if args.task == TaskName::Transcribe {
        return transcribe::run(args);
    }
    if let Some(sound) = args.sounds.first() {
        return Err(Error::new(ErrorKind::Argument, "run", "WAV")
            .expecting("none, as recordings are for --task transcribe")
            .but_found(sound.display()));
    }
    let dtype = args.storage.dtype("run")?;
    let format = args.output.as_deref().map(Format::of).transpose()?;
    let model = open("run", &args.folder, args.task.task())?;
    check(args.task, &model)?;
    let tried = exchange::tried(args)?;
    let job = Job::open(args, &model)?;
    job.check_format(format)?;
    let outputs = Outputs::open(args, format)?;
    if job.truncated() > 0 {
        let most = model.facts().max_tokens;
        let (cut, all) = (job.truncated(), job.inputs.len());
        output::note(format!("truncated: {cut} of {all} inputs, to {most} tokens"));
    }
    let device = Device::open_to_run(&args.device)?;
    let (device, cache) = PipelineCache::open(device, args.cache.pipeline_cache.as_deref())?;
    let start = Instant::now();
    memory::check_weights("run", device.runtime(), model.declarations(), dtype)?;
    let weights = model.load(dtype)?;
    let batch_tokens = args.batch_tokens.map(|tokens| tokens as usize);
    let mut own = Engine::open(&model, &weights, device.runtime(), batch_tokens)?;
    let keeps = outputs.numbers.is_some() || !tried.is_empty();
    job.check_memory(&mut own, device.runtime(), keeps)?;
    let loading = start.elapsed();
    let mut ran = Ran { results: job.compute(&mut own, keeps)?, engine: own, attention: Vec::new() };
    for each in &tried {
        let mut other = ran.engine.exchanged(&model, &each.mechanism)?;
        job.check_memory(&mut other, device.runtime(), true)?;
        let results = job.compute(&mut other, true)?;
        let pair = [&ran.results.tensors[..], &results.tensors];
        ran.attention.push(Comparison::of(each.clone(), pair, [ran.engine.usage(), other.usage()]));
        if tried.len() == 1 && args.sweep.is_empty() {
            (ran.results, ran.engine) = (results, other);
        }
    }
    output::note(Throughput::of(ran.engine.usage(), loading));
    let report = report(args, &job, &model, &ran, (&device, dtype, loading));
    outputs.write(&job, (&ran, &args.sweep), &report, cache)
}

/// The model in a folder, where the machine has the memory for its files.
pub(crate) fn open(command: &'static str, folder: &Path, task: Task) -> Result<Model> {
    memory::check_files(command, folder)?;
    Model::open(folder, task).map_err(with_advice)
}

/// The error of a folder that is opened, with advice where it cannot do the task.
pub(crate) fn with_advice(error: Error) -> Error {
    match error.argument() {
        "task" => error.with_hint("`foveate inspect` shows what a folder can be used for"),
        "model_type" if error.found().contains(forecast::MODEL_TYPE) => {
            error.with_hint("`foveate forecast` opens a forecaster's folder")
        }
        _ => error,
    }
}

/// Refuses a task that the network of `model` is not made for, whatever its weights.
pub(crate) fn check(task: TaskName, model: &Model) -> Result<()> {
    let signature = model.network().signature();
    let is_causal = signature.is_causal;
    let expected = match task {
        TaskName::Transcribe => return Ok(()),
        _ if signature.sound.is_some() => "a model of texts",
        TaskName::FillMask if is_causal => "a model that sees both sides of a word",
        TaskName::Score if !is_causal => "a causal language model",
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::Unsupported, "run", format!("--task {}", task.name()))
        .expecting(expected)
        .but_found(model.facts().architecture))
}

/// What is shown: results of the model, or, where one mechanism stands in the place of its attention, those with it.
struct Ran {
    results: Results,
    engine: Engine,
    /// Every mechanism beside the model's own attention.
    attention: Vec<Comparison>,
}

fn report<'a>(
    args: &RunArgs,
    job: &'a Job,
    model: &Model,
    Ran { results, engine, attention }: &'a Ran,
    (device, dtype, loading): (&Device, DType, Duration),
) -> Report<'a> {
    Report {
        version: env!("CARGO_PKG_VERSION"),
        model: args.folder.display().to_string(),
        architecture: model.facts().architecture,
        device: device.report(),
        dtype: dtype.name(),
        task: job.task.name(),
        prompt: Some(job.prompt.as_str()).filter(|prompt| !prompt.is_empty()),
        truncated: job.truncated(),
        throughput: Throughput::of(engine.usage(), loading),
        attention,
        results: job.inputs.iter().zip(&results.found).map(report::Entry::of).collect(),
        described: device.describe(),
    }
}

/// Where the results go.
#[derive(Debug)]
struct Outputs {
    json: Option<Sink>,
    numbers: Option<(Format, Sink)>,
    plot: Option<Sink>,
    cache: Option<Sink>,
}

impl Outputs {
    /// Opens everything that the flags name. Fails when one cannot be written, two are the same, or one is a file that is read.
    fn open(args: &RunArgs, format: Option<Format>) -> Result<Self> {
        let json = args.json.open("run")?;
        let numbers = match (format, &args.output) {
            (Some(format), Some(path)) => Some((format, Sink::file("run", "--output", path)?)),
            _ => None,
        };
        let cache = args.cache.pipeline_cache.as_ref();
        let cache = cache.map(|path| pipelines::sink("run", path)).transpose()?;
        let plot = args.plot.as_ref().map(|path| Sink::file("run", "--plot", path)).transpose()?;
        let outputs = Self { json, numbers, plot, cache };
        output::check(outputs.sinks(), &args.files_read())?;
        Ok(outputs)
    }

    fn sinks(&self) -> impl Iterator<Item = &Sink> {
        let numbers = self.numbers.as_ref().map(|(_, sink)| sink);
        [self.json.as_ref(), numbers, self.plot.as_ref(), self.cache.as_ref()].into_iter().flatten()
    }

    fn write(
        &self,
        job: &Job,
        (ran, families): (&Ran, &[String]),
        report: &Report<'_>,
        cache: Option<PipelineCache>,
    ) -> Result<()> {
        let mut delivery = Delivery::default();
        if let Some((format, sink)) = &self.numbers {
            delivery.put(Some(sink), || format.bytes(&job.arrays(&ran.results.tensors, *format)?));
        }
        delivery.put(self.json.as_ref(), || output::json(report));
        delivery.put(self.plot.as_ref(), || exchange::chart(&ran.attention, families));
        if let Some(cache) = cache {
            delivery.put(self.cache.as_ref(), || cache.contents());
        }
        delivery.end(|| report.to_string())
    }
}
