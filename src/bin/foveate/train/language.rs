//! `foveate train lm FOLDER TEXT`: a folder's causal language model on a text. Windows of the text are examples of their own; recurrent models
//! read it in streams, segment by segment.

use std::path::Path;

use foveate::models;
use foveate::nn::LayoutKind;
use foveate::tokenize::Tokenizer;
use foveate::train::{Folder, Inputs, Mode, Trainer, language_loss, window_inputs};
use foveate::{Error, ErrorKind, Graph, Result, Value};

use super::data;
use super::fine_tune::{Job, Recording, Task, named};
use super::settings::RunSettings;
use super::sizes::Sizes;
use super::tasks::{Validation, longest, longest_of, wrong_model};

/// The longest window of a language model, in tokens, where nothing else is asked for.
const WINDOW: usize = 256;

struct Language {
    folder: Folder,
    /// Of streams, those of one batch behind another.
    training: Vec<Vec<u32>>,
    validation: Vec<Vec<u32>>,
    /// How many streams the text is read in, by models that are recurrent.
    streams: Option<usize>,
}

/// The task of `job`, whose data is a text.
pub(super) fn language(job: &Job<'_>) -> Result<Box<dyn Task>> {
    let from = Validation::of(job)?;
    let folder = Folder::open(job.folder, models::Task::Logits, None)?;
    let facts = *folder.model().facts();
    let signature = folder.model().network().signature();
    if !signature.is_causal || signature.encoder_decoder.is_some() {
        return Err(wrong_model(job, &folder, "lm", "a causal language model"));
    }
    let length = longest(job, facts.max_tokens)?;
    let length = if job.learning.data.max_tokens.is_some() { length } else { length.min(WINDOW) };
    let tokenizer = Tokenizer::open(job.folder)?;
    let tokens = |path: &Path| tokens(&tokenizer, path, facts.vocab_size);
    let mut training = tokens(job.data_file)?;
    let validation = match from {
        Validation::File(path) => tokens(path)?,
        Validation::Fraction(share) => {
            let kept = ((share * training.len() as f64).round() as usize).max(2);
            if training.len() < kept + 2 {
                return Err(Error::new(ErrorKind::Argument, job.data_file.display().to_string(), "text")
                    .expecting("at least four tokens, two of them for validation")
                    .but_found(training.len()));
            }
            // The end of the text: what is read between two parts of it would be known.
            training.split_off(training.len() - kept)
        }
    };
    let RunSettings { batch, accumulate, .. } = RunSettings::of_folder(&job.learning.training, 1)?;
    let streams = signature.takes(LayoutKind::Recurrent).then(|| batch.min(training.len() - 1));
    let training = match streams {
        Some(streams) => segments(&training, streams, length, accumulate),
        None => windows(&training, length),
    };
    Ok(Box::new(Language { folder, training, validation: windows(&validation, length), streams }))
}

/// The tokens of the text at `path`, at least two and each below `vocab_size`.
fn tokens(tokenizer: &Tokenizer, path: &Path, vocab_size: usize) -> Result<Vec<u32>> {
    let ids = tokenizer.encode(&data::whole_text(path)?)?;
    let source = || path.display().to_string();
    if ids.len() < 2 {
        return Err(Error::new(ErrorKind::Argument, source(), "text")
            .expecting("at least two tokens")
            .but_found(ids.len()));
    }
    match ids.iter().position(|&id| id as usize >= vocab_size) {
        None => Ok(ids),
        Some(at) => Err(Error::new(ErrorKind::Argument, source(), format!("token {at}"))
            .expecting(format!("an id below {vocab_size}, the model's vocabulary"))
            .but_found(ids[at])),
    }
}

/// A text in windows of `length` tokens and the one that follows, which begins the next; the last one may be shorter.
fn windows(ids: &[u32], length: usize) -> Vec<Vec<u32>> {
    let starts = (0..ids.len().saturating_sub(1)).step_by(length);
    starts.map(|start| ids[start..ids.len().min(start + length + 1)].to_vec()).collect()
}

/// A text in `streams` parts of about one length, each in [`windows`]: the first of every stream, then the second of every stream, and so on;
/// empty ones where a stream is at its end. Of each stream there are a multiple of `accumulate`, so that a step never reads on from an epoch
/// to the next.
fn segments(ids: &[u32], streams: usize, length: usize, accumulate: usize) -> Vec<Vec<u32>> {
    let part = (ids.len() - 1).div_ceil(streams);
    let of_stream = |stream: usize| {
        let start = (stream * part).min(ids.len() - 1);
        windows(&ids[start..ids.len().min(start + part + 1)], length)
    };
    let parts: Vec<Vec<Vec<u32>>> = (0..streams).map(of_stream).collect();
    let count = part.div_ceil(length).next_multiple_of(accumulate);
    (0..count)
        .flat_map(|number| parts.iter().map(move |part| part.get(number).cloned().unwrap_or_default()))
        .collect()
}

impl Language {
    /// The mean loss of all targets, of batches with so many of them and such a mean, and the perplexity.
    fn mean(losses: impl IntoIterator<Item = Result<(f64, f32)>>) -> Result<Vec<(&'static str, f64)>> {
        let (mut sum, mut count) = (0.0, 0.0);
        for found in losses {
            let (targets, loss) = found?;
            sum += targets * f64::from(loss);
            count += targets;
        }
        let loss = sum / count;
        Ok(vec![("loss", loss), ("perplexity", loss.exp())])
    }
}

impl Task for Language {
    fn folder(&self) -> &Folder {
        &self.folder
    }

    fn lengths(&self) -> Vec<usize> {
        let length = |window: &Vec<u32>| window.len().saturating_sub(1);
        match self.streams {
            // Segments have one length, whatever is left for the last of them.
            Some(_) => vec![self.longest(); self.training.len()],
            None => self.training.iter().map(length).collect(),
        }
    }

    fn longest(&self) -> usize {
        longest_of(&self.training).max(longest_of(&self.validation)) - 1
    }

    fn streams(&self) -> Option<usize> {
        self.streams
    }

    fn record(&self, graph: &mut Graph, size: [usize; 2], (dtype, training): Recording) -> Result<Value> {
        language_loss(graph, self.folder.model(), size, dtype, training)
    }

    fn inputs(&self, examples: &[usize], _: u64, time: usize) -> Result<Inputs> {
        let windows: Vec<&[u32]> = examples.iter().map(|&number| &self.training[number][..]).collect();
        window_inputs(&windows, [windows.len(), time])
    }

    fn evaluate(&self, trainer: &mut Trainer, sizes: &Sizes) -> Result<Vec<(&'static str, f64)>> {
        let targets = |window: &[u32]| (window.len() - 1) as f64;
        if self.streams.is_some() {
            let mut stream = trainer.streams(Mode::Evaluate)?;
            let time = self.longest();
            return Self::mean(self.validation.iter().map(|window| {
                let inputs = window_inputs(&[window], [1, time])?;
                Ok((targets(window), trainer.evaluate_on(&mut stream, &named(&inputs))?))
            }));
        }
        Self::mean(self.validation.chunks(sizes.batch).map(|windows| {
            let all: Vec<&[u32]> = windows.iter().map(|window| &window[..]).collect();
            let time = sizes.time_of(all.iter().map(|window| window.len() - 1).max().unwrap_or(1));
            let inputs = window_inputs(&all, [sizes.batch, time])?;
            Ok((all.iter().map(|window| targets(window)).sum(), trainer.evaluate(&named(&inputs))?))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_hold_every_target_once_and_end_with_a_step() {
        for (count, streams, length, accumulate) in
            [(23, 3, 4, 1), (23, 3, 4, 3), (9, 8, 4, 2), (2, 1, 5, 1), (11, 4, 3, 1)]
        {
            let ids: Vec<u32> = (0..count).collect();
            let segments = segments(&ids, streams, length, accumulate);
            assert_eq!(segments.len() % (streams * accumulate), 0, "{segments:?}");
            let mut targets: Vec<u32> =
                segments.iter().flat_map(|segment| segment.iter().skip(1)).copied().collect();
            targets.sort_unstable();
            assert_eq!(targets, (1..count).collect::<Vec<_>>());
            // What a stream reads next follows what it has read.
            for stream in 0..streams {
                let own: Vec<&Vec<u32>> = segments
                    .iter()
                    .skip(stream)
                    .step_by(streams)
                    .filter(|segment| !segment.is_empty())
                    .collect();
                assert!(own.windows(2).all(|pair| pair[0].last() == pair[1].first()), "{own:?}");
            }
        }
    }
}
