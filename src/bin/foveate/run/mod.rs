//! `foveate run`: a trained model on texts, or on recordings.

mod engine;
mod exchange;
mod files;
mod fill;
pub(crate) mod inputs;
mod report;
mod transcribe;

use std::ops::Range;
use std::time::{Duration, Instant};

use foveate::models::{Labels, Model};
use foveate::processing::{answer, classify, label_words};
use foveate::tokenize::Tokenizer;
use foveate::{DType, Error, ErrorKind, HostTensor, Result, runtime};

use crate::args::{RunArgs, TaskName};
use crate::device::Device;
use crate::memory;
use crate::output::{self, Delivery, Sink};
use crate::pipelines::{self, PipelineCache};

use engine::{Computed, Engine, Wanted};
use exchange::Comparison;
use files::Format;
use inputs::{Encoding, Input};
use report::{Found, Report, Throughput};

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
    let model = Model::open(&args.folder, args.task.task()).map_err(|error| match error.argument() {
        "task" => error.with_hint("`foveate inspect` shows what a folder can be used for"),
        _ => error,
    })?;
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
    let device = Device::open(&args.device, runtime::Device::Cpu)?;
    let (device, cache) = PipelineCache::open(device, args.cache.pipeline_cache.as_deref())?;
    let start = Instant::now();
    let weights = model.load(dtype)?;
    memory::check_weights("run", device.runtime(), model.declarations(), dtype)?;
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

/// What there is to compute.
#[derive(Debug)]
struct Job {
    task: TaskName,
    inputs: Vec<Input>,
    tokenizer: Option<Tokenizer>,
    /// For fill-mask, the places of each input's masks; else nothing for each input.
    masks: Vec<Vec<usize>>,
    labels: Option<Labels>,
    /// What was put before every text, or nothing.
    prompt: String,
    top: usize,
    longest_answer: usize,
}

/// One result an input, and the tensors they were made of where those are wanted.
#[derive(Debug, Default)]
struct Results {
    found: Vec<Found>,
    tensors: Vec<HostTensor>,
}

/// What is shown: results of the model, or, where one mechanism stands in the place of its attention, those with it.
struct Ran {
    results: Results,
    engine: Engine,
    /// Every mechanism beside the model's own attention.
    attention: Vec<Comparison>,
}

impl Job {
    /// Reads and checks all that the flags name.
    fn open(args: &RunArgs, model: &Model) -> Result<Self> {
        let writes_another = model.network().signature().encoder_decoder.is_some();
        let given = inputs::gather(args, writes_another)?;
        // The id of the mask token and the text of predictions come from a vocabulary.
        if args.prompt.is_some() && args.task != TaskName::Embed {
            return Err(Error::new(ErrorKind::Argument, "run", "--prompt")
                .expecting("none, as prompts are for --task embed")
                .but_found(args.task.name()));
        }
        let prompt = if args.task == TaskName::Embed && inputs::has_text(&given) {
            model.prompts().get(args.prompt.as_deref())?
        } else {
            ""
        };
        let needs_tokenizer = inputs::has_text(&given) || args.task == TaskName::FillMask;
        let tokenizer = if needs_tokenizer { Some(Tokenizer::open(&args.folder)?) } else { None };
        let encoding = Encoding {
            tokenizer: tokenizer.as_ref(),
            facts: *model.facts(),
            truncate: args.truncate,
            task: args.task,
            writes_another,
            prompt,
        };
        let inputs = encoding.encode(given)?;
        let masks = match (&tokenizer, args.task) {
            (Some(tokenizer), TaskName::FillMask) => fill::positions(&inputs, tokenizer)?,
            _ => vec![Vec::new(); inputs.len()],
        };
        Ok(Self {
            task: args.task,
            inputs,
            tokenizer,
            masks,
            labels: model.labels().cloned(),
            prompt: prompt.to_owned(),
            top: args.top as usize,
            longest_answer: args.longest_answer as usize,
        })
    }

    /// Whether all results make one array, a row for each text.
    fn is_one_array(&self) -> bool {
        matches!(self.task, TaskName::Embed | TaskName::Classify)
    }

    fn truncated(&self) -> usize {
        self.inputs.iter().filter(|input| input.truncated).count()
    }

    /// Refuses several arrays for a file that holds one.
    fn check_format(&self, format: Option<Format>) -> Result<()> {
        if format != Some(Format::Npy) || self.is_one_array() || self.inputs.len() == 1 {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Argument, "run", "--output")
            .expecting(format!("a .safetensors file, or one input, for {}", self.task.name()))
            .but_found(format!("a .npy file, which is one array, and {} inputs", self.inputs.len())))
    }

    /// Refuses a largest batch that the machine has no memory for.
    fn check_memory(&self, engine: &mut Engine, device: &runtime::Device, keep: bool) -> Result<()> {
        let largest = engine.bytes(&self.inputs, self.wanted(0..self.inputs.len(), keep))?;
        memory::check("run", device, "a batch (--batch-tokens)", largest)
    }

    /// What there is to compute of some of the inputs; `keep` keeps what likelihoods are made of.
    fn wanted(&self, range: Range<usize>, keep: bool) -> Wanted<'_> {
        match self.task {
            TaskName::FillMask => Wanted::At(&self.masks[range]),
            TaskName::Score => Wanted::Likelihoods { scores: keep },
            _ => Wanted::All,
        }
    }

    /// Runs batch by batch, so that the bar moves, and of hidden states and scores only `keep` keeps more than a batch's.
    fn compute(&self, engine: &mut Engine, keep: bool) -> Result<Results> {
        let bar = output::progress(self.inputs.len());
        let mut results = Results::default();
        while results.found.len() < self.inputs.len() {
            let start = results.found.len();
            let end = start + engine.fitting(&self.inputs[start..]);
            let (inputs, masks) = (&self.inputs[start..end], &self.masks[start..end]);
            let all = engine.run(inputs, self.wanted(start..end, keep))?;
            for ((input, positions), computed) in inputs.iter().zip(masks).zip(all) {
                results.found.push(self.found(input, positions, &computed)?);
                if keep {
                    results.tensors.push(computed.tensor);
                }
            }
            bar.inc(inputs.len() as u64);
        }
        bar.finish_and_clear();
        Ok(results)
    }

    fn found(&self, input: &Input, positions: &[usize], computed: &Computed) -> Result<Found> {
        let Computed { tensor, likelihoods } = computed;
        Ok(match (self.task, &self.tokenizer) {
            (TaskName::FillMask, Some(tokenizer)) => {
                let masks = fill::predict(tensor, positions, tokenizer, self.top);
                Found::Masks { filled: fill::filled(input, &masks, tokenizer)?, masks }
            }
            (TaskName::Embed, _) => Found::Embedding { embedding: tensor.to_f32() },
            (TaskName::Score, _) => Found::likelihood(likelihoods),
            (TaskName::Classify | TaskName::Label | TaskName::Answer, _) => {
                self.judged(input, &tensor.to_f32())?
            }
            _ => Found::hidden(tensor),
        })
    }

    /// What the scores of a classifier or of a question answerer say.
    fn judged(&self, input: &Input, scores: &[f32]) -> Result<Found> {
        Ok(match (&self.labels, &input.encoding) {
            (Some(labels), _) if self.task == TaskName::Classify => {
                let mut labels = classify(scores, labels);
                labels.truncate(self.top);
                Found::Labels { labels }
            }
            (Some(labels), Some(encoding)) => {
                Found::Words { words: label_words(scores, labels, encoding, &input.texts[0])? }
            }
            (None, Some(encoding)) => {
                Found::Answer { answer: answer(scores, encoding, &input.texts[1], self.longest_answer)? }
            }
            (_, None) => Found::Answer { answer: None },
        })
    }

    /// The arrays for a file, by name. Beside scores a .safetensors file also holds the places they are of.
    fn arrays(&self, tensors: &[HostTensor], format: Format) -> Result<Vec<(String, HostTensor)>> {
        if self.is_one_array() {
            let name = if self.task == TaskName::Embed { "embeddings" } else { "logits" };
            let width = tensors.first().map_or(0, |tensor| tensor.shape().elements());
            let all = tensors.iter().flat_map(HostTensor::to_f32).collect();
            return Ok(vec![(name.into(), HostTensor::f32([tensors.len(), width], all)?)]);
        }
        let name = if self.task == TaskName::Hidden { "hidden" } else { "logits" };
        let mut arrays = Vec::with_capacity(2 * tensors.len());
        for (i, (tensor, positions)) in tensors.iter().zip(&self.masks).enumerate() {
            arrays.push((format!("{i}.{name}"), tensor.clone()));
            if self.task == TaskName::FillMask && format == Format::Safetensors {
                let places = positions.iter().map(|&position| position as i32).collect();
                arrays.push((format!("{i}.positions"), HostTensor::i32([positions.len()], places)?));
            }
        }
        Ok(arrays)
    }
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
