//! `foveate train seq2seq FOLDER DATA`: a folder's encoder-decoder to write one text about another.

use std::path::Path;

use foveate::models;
use foveate::tokenize::Tokenizer;
use foveate::train::{Folder, Inputs, Trainer, seq2seq_inputs, seq2seq_loss};
use foveate::{Graph, Result, Value};

use super::data;
use super::fine_tune::{Job, Recording, Task, named};
use super::sizes::Sizes;
use super::tasks::{Validation, encode, wrong_model};
use crate::args::TaskName;
use crate::run::inputs::Given;

/// Tokens of a source and of its target.
type Example = [Vec<u32>; 2];

struct Seq2Seq {
    folder: Folder,
    training: Vec<Example>,
    validation: Vec<Example>,
    /// Tokens of the longest source and of the longest target.
    longest: [usize; 2],
}

/// The task of `job`, whose data rows are sources, each put behind `prefix`, and targets.
pub(super) fn seq2seq(job: &Job<'_>, prefix: &str) -> Result<Box<dyn Task>> {
    let from = Validation::of(job)?;
    let folder = Folder::open(job.folder, models::Task::Logits, None)?;
    if folder.model().network().signature().encoder_decoder.is_none() {
        return Err(wrong_model(job, &folder, "seq2seq", "a model that reads one text and writes another"));
    }
    let tokenizer = Tokenizer::open(job.folder)?;
    let examples = |path: &Path| -> Result<Vec<Example>> {
        let (mut sources, mut targets) = (Vec::new(), Vec::new());
        for row in data::targets(path)? {
            let (place, mut texts) = (row.source, row.texts);
            let target = texts.pop().unwrap_or_default();
            sources.push(Given::of_texts(format!("{place}, source"), texts));
            targets.push(Given::of_texts(format!("{place}, target"), vec![target]));
        }
        // What is made of hidden states is made of one text, too.
        let ids = |given, prompt| -> Result<Vec<Vec<u32>>> {
            let inputs = encode(job, &folder, &tokenizer, (TaskName::Hidden, prompt), given)?;
            Ok(inputs.into_iter().map(|input| input.ids).collect())
        };
        let pairs = ids(sources, prefix)?.into_iter().zip(ids(targets, "")?);
        Ok(pairs.map(|(source, target)| [source, target]).collect())
    };
    let [training, validation] = from.parts(examples(job.data_file)?, job, examples)?;
    let side = |side: usize| training.iter().chain(&validation).map(move |pair| pair[side].len());
    let longest = [0, 1].map(|number| side(number).max().unwrap_or(1));
    Ok(Box::new(Seq2Seq { folder, training, validation, longest }))
}

impl Seq2Seq {
    /// How much of a batch an example takes, in tokens of the side that is longer in all: its own length there, or that of the other side
    /// scaled up to it.
    fn length(&self, example: &Example) -> usize {
        let most = self.longest[0].max(self.longest[1]);
        let scaled = |side: usize| (example[side].len() * most).div_ceil(self.longest[side]);
        scaled(0).max(scaled(1))
    }

    /// A batch of `batch` examples of at most `time` by [`Seq2Seq::length`]: room for them, for tokens of sources and for tokens of targets.
    fn size(&self, batch: usize, time: usize) -> [usize; 3] {
        let most = self.longest[0].max(self.longest[1]);
        let [source, target] = self.longest.map(|longest| (time * longest / most).max(1));
        [batch, source, target]
    }

    fn tensors(&self, examples: &[&Example], size: [usize; 3]) -> Result<Inputs> {
        let pairs: Vec<[&[u32]; 2]> =
            examples.iter().map(|[source, target]| [&source[..], &target[..]]).collect();
        seq2seq_inputs(self.folder.model(), &pairs, size)
    }
}

impl Task for Seq2Seq {
    fn folder(&self) -> &Folder {
        &self.folder
    }

    fn lengths(&self) -> Vec<usize> {
        self.training.iter().map(|example| self.length(example)).collect()
    }

    fn longest(&self) -> usize {
        self.longest[0].max(self.longest[1])
    }

    fn record(&self, graph: &mut Graph, size: [usize; 2], (dtype, training): Recording) -> Result<Value> {
        seq2seq_loss(graph, self.folder.model(), self.size(size[0], size[1]), dtype, training)
    }

    fn inputs(&self, examples: &[usize], _: u64, time: usize) -> Result<Inputs> {
        let examples: Vec<&Example> = examples.iter().map(|&number| &self.training[number]).collect();
        self.tensors(&examples, self.size(examples.len(), time))
    }

    fn evaluate(&self, trainer: &mut Trainer, sizes: &Sizes) -> Result<Vec<(&'static str, f64)>> {
        let (mut sum, mut count) = (0.0, 0.0);
        let mut examples: Vec<&Example> = self.validation.iter().collect();
        // Texts of about one length share a batch.
        examples.sort_by_key(|example| self.length(example));
        for examples in examples.chunks(sizes.batch) {
            let longest = examples.iter().map(|example| self.length(example)).max().unwrap_or(1);
            let inputs = self.tensors(examples, self.size(sizes.batch, sizes.time_of(longest)))?;
            let targets = examples.iter().map(|[_, target]| target.len()).sum::<usize>() as f64;
            sum += targets * f64::from(trainer.evaluate(&named(&inputs))?);
            count += targets;
        }
        let loss = sum / count;
        Ok(vec![("loss", loss), ("perplexity", loss.exp())])
    }
}
