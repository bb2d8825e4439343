//! `foveate run`: a trained model on texts.

mod files;
mod fill;
pub(crate) mod inputs;
mod report;

use std::ops::Range;
use std::time::{Duration, Instant};

use foveate::models::{Encoder, Item, Labels, Model};
use foveate::plan::Watch;
use foveate::processing::{answer, classify, label_words, log_likelihood};
use foveate::tokenize::Tokenizer;
use foveate::{DType, Error, ErrorKind, HostTensor, Result, runtime};

use crate::args::{RunArgs, TaskName};
use crate::device::Device;
use crate::memory;
use crate::output::{self, Sink, Target};
use crate::pipelines::CacheFile;

use files::Format;
use inputs::{Encoding, Input};
use report::{Found, Report, Throughput};

pub(crate) fn run(args: &RunArgs) -> Result<()> {
    let dtype = args.storage.dtype("run")?;
    let format = args.output.as_deref().map(Format::of).transpose()?;
    let model = Model::open(&args.folder, args.task.task()).map_err(|error| match error.argument() {
        "task" => error.with_hint("`foveate inspect` shows what a folder can be used for"),
        _ => error,
    })?;
    check(args.task, &model)?;
    let job = Job::open(args, &model)?;
    job.check_format(format)?;
    let mut outputs = Outputs::open(args, format)?;
    if job.truncated() > 0 {
        let most = model.facts().max_tokens;
        eprintln!("truncated: {} of {} inputs, to {most} tokens", job.truncated(), job.inputs.len());
    }
    let device = Device::open(&args.device, runtime::Device::Cpu)?;
    let (device, cache) = CacheFile::open(device, args.cache.pipeline_cache.as_deref())?;
    let start = Instant::now();
    let weights = model.load(dtype)?;
    memory::check_weights("run", device.runtime(), model.declarations(), dtype)?;
    let mut encoder = Encoder::new(&model, &weights, device.runtime())?.watching(Watch::Outputs);
    if let Some(tokens) = args.batch_tokens {
        encoder = encoder.batch_tokens(tokens as usize);
    }
    let largest = encoder.bytes(&job.items(0..job.inputs.len()))?;
    memory::check("run", device.runtime(), "a batch (--batch-tokens)", largest)?;
    let loading = start.elapsed();
    let results = job.compute(&mut encoder, outputs.numbers.is_some())?;
    eprintln!("{}", Throughput::of(encoder.usage(), loading));
    outputs.write(&job, &results, &report(args, &job, &results, &encoder, (&device, dtype, loading)))?;
    cache.map_or(Ok(()), |cache| cache.save())
}

/// Refuses a task that the network of `model` is not made for, whatever its weights.
pub(crate) fn check(task: TaskName, model: &Model) -> Result<()> {
    let signature = model.network().signature();
    let kind = match signature {
        _ if signature.encoder_decoder.is_some() => ", an encoder-decoder",
        _ if signature.is_recurrent => ", which reads segments",
        _ => "",
    };
    let expected = match task {
        TaskName::FillMask if signature.is_causal => "a model that sees both sides of a word",
        TaskName::Score if !signature.is_causal => "a causal language model",
        _ if !kind.is_empty() => "a model that reads one text at once",
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::Unsupported, "run", format!("--task {}", task.name()))
        .expecting(expected)
        .but_found(format!("{}{kind}", model.facts().architecture)))
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

impl Job {
    /// Reads and checks all that the flags name.
    fn open(args: &RunArgs, model: &Model) -> Result<Self> {
        let given = inputs::gather(args)?;
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

    /// Some of the inputs as the model takes them.
    fn items(&self, range: Range<usize>) -> Vec<Item<'_>> {
        let pairs = self.inputs[range.clone()].iter().zip(&self.masks[range]);
        pairs
            .map(|(input, masks)| Item {
                types: &input.types,
                wanted: (self.task == TaskName::FillMask).then_some(masks),
                ..Item::new(&input.ids)
            })
            .collect()
    }

    /// Runs batch by batch, so that the bar moves, and of hidden states and scores only `keep` keeps more than a batch's.
    fn compute(&self, encoder: &mut Encoder, keep: bool) -> Result<Results> {
        let bar = output::progress(self.inputs.len());
        let mut results = Results::default();
        while results.found.len() < self.inputs.len() {
            let start = results.found.len();
            let end = start + encoder.fitting(&self.inputs[start..]);
            let (inputs, masks) = (&self.inputs[start..end], &self.masks[start..end]);
            let tensors = encoder.run_first(&self.items(start..end))?;
            for ((input, positions), tensor) in inputs.iter().zip(masks).zip(tensors) {
                results.found.push(self.found(input, positions, &tensor)?);
                if keep {
                    results.tensors.push(tensor);
                }
            }
            bar.inc(inputs.len() as u64);
        }
        bar.finish_and_clear();
        Ok(results)
    }

    fn found(&self, input: &Input, positions: &[usize], tensor: &HostTensor) -> Result<Found> {
        Ok(match (self.task, &self.tokenizer) {
            (TaskName::FillMask, Some(tokenizer)) => {
                let masks = fill::predict(tensor, positions, tokenizer, self.top);
                Found::Masks { filled: fill::filled(input, &masks, tokenizer)?, masks }
            }
            (TaskName::Embed, _) => Found::Embedding { embedding: tensor.to_f32() },
            (TaskName::Score, _) => Found::likelihood(&log_likelihood(&tensor.to_f32(), &input.ids)?),
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
    results: &'a Results,
    encoder: &Encoder,
    (device, dtype, loading): (&Device, DType, Duration),
) -> Report<'a> {
    Report {
        version: env!("CARGO_PKG_VERSION"),
        model: args.folder.display().to_string(),
        architecture: encoder.model().facts().architecture,
        device: device.report(),
        dtype: dtype.name(),
        task: job.task.name(),
        prompt: Some(job.prompt.as_str()).filter(|prompt| !prompt.is_empty()),
        truncated: job.truncated(),
        throughput: Throughput::of(encoder.usage(), loading),
        results: job.inputs.iter().zip(&results.found).map(report::Entry::of).collect(),
        described: device.describe(),
    }
}

/// Where the results go.
#[derive(Debug)]
struct Outputs {
    json: Option<Sink>,
    numbers: Option<(Format, Sink)>,
    text: bool,
}

impl Outputs {
    /// Opens everything that the flags name. Fails when one cannot be written, or both are one file.
    fn open(args: &RunArgs, format: Option<Format>) -> Result<Self> {
        if let (Some(Target::File(json)), Some(numbers)) = (&args.json, &args.output)
            && json == numbers
        {
            return Err(Error::new(ErrorKind::Argument, "run", "--output")
                .expecting("another file than that of --json")
                .but_found(format!("`{}`", numbers.display())));
        }
        let json = args.json.as_ref().map(|target| Sink::open("--json", target)).transpose()?;
        let numbers = match (format, &args.output) {
            (Some(format), Some(path)) => {
                Some((format, Sink::open("--output", &Target::File(path.clone()))?))
            }
            _ => None,
        };
        Ok(Self { json, numbers, text: args.json != Some(Target::Stdout) })
    }

    fn write(&mut self, job: &Job, results: &Results, report: &Report<'_>) -> Result<()> {
        if let Some((format, sink)) = &mut self.numbers {
            sink.write(format.bytes(&job.arrays(&results.tensors, *format)?)?)?;
        }
        if let Some(sink) = &mut self.json {
            sink.write(output::json(report)?)?;
        }
        if self.text { output::print(report.to_string()) } else { Ok(()) }
    }
}
