//! What a model is run on, and what its results are made into.

use std::ops::Range;

use foveate::models::{Labels, Model};
use foveate::processing::{answer, classify, label_words};
use foveate::runtime::Device;
use foveate::tokenize::Tokenizer;
use foveate::{Error, ErrorKind, HostTensor, Result};

use super::encoding::{Encoding, Input};
use super::engine::{Computed, Engine, Wanted};
use super::files::Format;
use super::report::Found;
use super::{fill, inputs};
use crate::args::{RunArgs, TaskName};
use crate::memory;
use crate::output;

/// What there is to compute.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) task: TaskName,
    pub(super) inputs: Vec<Input>,
    pub(super) tokenizer: Option<Tokenizer>,
    /// For fill-mask, the places of each input's masks; else nothing for each input.
    pub(super) masks: Vec<Vec<usize>>,
    pub(super) labels: Option<Labels>,
    /// What was put before every text, or nothing.
    pub(super) prompt: String,
    pub(super) top: usize,
    pub(super) longest_answer: usize,
}

/// One result an input, and the tensors they were made of where those are wanted.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) found: Vec<Found>,
    pub(super) tensors: Vec<HostTensor>,
}

impl Job {
    /// Reads and checks all that the flags name.
    pub(super) fn open(args: &RunArgs, model: &Model) -> Result<Self> {
        let writes_another = model.network().signature().encoder_decoder.is_some();
        let given = inputs::gather(args, writes_another)?;
        // The id of the mask token and the text of predictions come from a vocabulary.
        if args.prompt.is_some() && args.task != TaskName::Embed {
            return Err(Error::new(ErrorKind::Argument, "run", "--prompt")
                .expecting("none, as prompts are for --task embed")
                .but_found(args.task.name()));
        }
        let prompt = if args.task == TaskName::Embed && inputs::has_text(&given) {
            model.prompts().get(args.prompt.as_deref()).map_err(|error| error.within("run"))?
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

    pub(super) fn truncated(&self) -> usize {
        self.inputs.iter().filter(|input| input.truncated).count()
    }

    /// Refuses several arrays for a file that holds one.
    pub(super) fn check_format(&self, format: Option<Format>) -> Result<()> {
        if format != Some(Format::Npy) || self.is_one_array() || self.inputs.len() == 1 {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Argument, "run", "--output")
            .expecting(format!("a .safetensors file, or one input, for {}", self.task.name()))
            .but_found(format!("a .npy file, which is one array, and {} inputs", self.inputs.len())))
    }

    /// Refuses a largest batch that the machine has no memory for.
    pub(super) fn check_memory(&self, engine: &mut Engine, device: &Device, keep: bool) -> Result<()> {
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
    pub(super) fn compute(&self, engine: &mut Engine, keep: bool) -> Result<Results> {
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
    pub(super) fn arrays(&self, tensors: &[HostTensor], format: Format) -> Result<Vec<(String, HostTensor)>> {
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
