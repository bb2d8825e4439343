//! What all tasks make of their data, and `foveate train fill-mask`: a folder's model to predict masked words.

use std::collections::BTreeSet;
use std::path::Path;

use foveate::models;
use foveate::tokenize::Tokenizer;
use foveate::train::{
    Folder, Inputs, Masked, Masking, Trainer, masked_inputs, masked_words_loss, random_of, split,
};
use foveate::{Error, ErrorKind, Graph, Result, Value};

use super::data;
use super::fine_tune::{Job, Recording, Task, named};
use super::sizes::Sizes;
use crate::args::TaskName;
use crate::output;
use crate::run::encoding::{Encoding, Input};
use crate::run::inputs::Given;

/// The part of the data that is kept for validation.
const VALIDATION: f64 = 0.1;

/// The share of a text's tokens that is to be predicted (arXiv 1810.04805, section 3.1).
const MASKED: f64 = 0.15;

/// The epoch whose masks the validation part has: none that is trained.
const VALIDATION_EPOCH: u64 = u64::MAX;

/// Where the validation part comes from.
pub(super) enum Validation<'a> {
    File(&'a Path),
    Fraction(f64),
}

impl<'a> Validation<'a> {
    pub(super) fn of(job: &'a Job<'_>) -> Result<Self> {
        let Some(text) = &job.learning.data.validation else { return Ok(Self::Fraction(VALIDATION)) };
        match text.parse::<f64>() {
            Err(_) => Ok(Self::File(Path::new(text))),
            Ok(fraction) if fraction > 0.0 && fraction < 1.0 => Ok(Self::Fraction(fraction)),
            Ok(_) => Err(Error::new(ErrorKind::Argument, "train", "--validation")
                .expecting("a file, or a fraction above 0 and below 1")
                .but_found(text)),
        }
    }

    /// Training and validation examples of `data`, and of `read` from a file where one is named.
    pub(super) fn parts<T>(
        &self,
        data: Vec<T>,
        job: &Job<'_>,
        read: impl FnOnce(&Path) -> Result<Vec<T>>,
    ) -> Result<[Vec<T>; 2]> {
        let share = match self {
            Self::File(path) => return Ok([data, read(path)?]),
            Self::Fraction(share) => *share,
        };
        if data.len() < 2 {
            return Err(Error::new(ErrorKind::Argument, job.data_file.display().to_string(), "rows")
                .expecting("at least two, one of them for validation")
                .but_found(data.len()));
        }
        let kept: BTreeSet<usize> = split(data.len(), share, job.seed())[1].iter().copied().collect();
        let numbered = data.into_iter().enumerate();
        let (validation, training): (Vec<_>, Vec<_>) =
            numbered.partition(|(number, _)| kept.contains(number));
        Ok([training, validation].map(|part| part.into_iter().map(|(_, example)| example).collect()))
    }
}

/// The texts as the model takes them, behind a prompt where there is one, no longer than the job allows.
pub(super) fn encode(
    job: &Job<'_>,
    folder: &Folder,
    tokenizer: &Tokenizer,
    (task, prompt): (TaskName, &str),
    given: Vec<Given>,
) -> Result<Vec<Input>> {
    let mut facts = *folder.model().facts();
    facts.max_tokens = longest(job, facts.max_tokens)?;
    let truncate = job.learning.data.truncate;
    let encoding =
        Encoding { tokenizer: Some(tokenizer), facts, truncate, task, writes_another: false, prompt };
    let inputs = encoding.encode(given)?;
    let cut = inputs.iter().filter(|input| input.truncated).count();
    if cut > 0 {
        output::note(format!("truncated: {cut} of {} texts, to {} tokens", inputs.len(), facts.max_tokens));
    }
    Ok(inputs)
}

/// What `--max-tokens` asks for, within `most`.
pub(super) fn longest(job: &Job<'_>, most: usize) -> Result<usize> {
    let asked = job.learning.data.max_tokens.map_or(most, |tokens| tokens as usize);
    if asked > most {
        return Err(Error::new(ErrorKind::Argument, "train", "--max-tokens")
            .expecting(format!("at most {most}, what the model takes"))
            .but_found(asked));
    }
    Ok(asked)
}

/// An error for a folder whose model is not one that a task is for, with the task that is for it.
pub(super) fn wrong_model(job: &Job<'_>, folder: &Folder, task: &str, expected: &str) -> Error {
    let model = folder.model();
    let signature = model.network().signature();
    let (kind, hint) = match signature {
        _ if signature.encoder_decoder.is_some() => (
            ", an encoder-decoder",
            "`foveate train seq2seq` trains models that read one text and write another",
        ),
        _ if signature.is_causal => ("", "`foveate train lm FOLDER TEXT` trains causal language models"),
        _ => ("", "`foveate train fill-mask` trains models that see both sides of a word"),
    };
    Error::new(ErrorKind::Unsupported, job.folder.display().to_string(), task)
        .expecting(expected)
        .but_found(format!("{}{kind}", model.facts().architecture))
        .with_hint(hint)
}

pub(super) fn longest_of(texts: &[Vec<u32>]) -> usize {
    texts.iter().map(Vec::len).max().unwrap_or(1)
}

struct FillMask {
    folder: Folder,
    masking: Masking,
    seed: u64,
    training: Vec<Vec<u32>>,
    validation: Vec<Vec<u32>>,
}

/// `foveate train fill-mask`.
pub(super) fn fill_mask(job: &Job<'_>) -> Result<Box<dyn Task>> {
    let from = Validation::of(job)?;
    let folder = Folder::open(job.folder, models::Task::Logits, None)?;
    if folder.model().network().signature().is_causal {
        return Err(wrong_model(job, &folder, "fill-mask", "a model that sees both sides of a word"));
    }
    let tokenizer = Tokenizer::open(job.folder)?;
    let mask = tokenizer.mask_id().ok_or_else(|| {
        Error::new(ErrorKind::Config, job.folder.display().to_string(), "mask token")
            .expecting("one, for fill-mask")
            .but_found("none")
    })?;
    let texts = |path: &Path| -> Result<Vec<Vec<u32>>> {
        let inputs = encode(job, &folder, &tokenizer, (TaskName::FillMask, ""), data::texts(path)?)?;
        Ok(inputs.into_iter().map(|input| input.ids).collect())
    };
    let [training, validation] = from.parts(texts(job.data_file)?, job, texts)?;
    let special = tokenizer.special_ids().collect();
    // Tables may have more rows than the vocabulary has tokens.
    let vocab_size = tokenizer.vocab_size().min(folder.model().facts().vocab_size);
    let masking = Masking { share: MASKED, mask, vocab_size, special };
    if training.iter().flatten().all(|id| masking.special.contains(id)) {
        return Err(Error::new(ErrorKind::Argument, job.data_file.display().to_string(), "texts")
            .expecting("words that the vocabulary has")
            .but_found("special tokens alone"));
    }
    Ok(Box::new(FillMask { folder, masking, seed: job.seed(), training, validation }))
}

impl FillMask {
    /// Predictions that a batch has room for.
    fn room(&self, [batch, time]: [usize; 2]) -> usize {
        batch * self.masking.chosen(time)
    }

    fn masked(&self, ids: &[u32], epoch: u64, number: usize) -> Masked {
        self.masking.apply(ids, &mut random_of(self.seed, epoch, number as u64))
    }

    fn tensors(&self, texts: &[Masked], time: usize) -> Result<Inputs> {
        masked_inputs(self.folder.model(), texts, [time, self.room([texts.len(), time])])
    }
}

impl Task for FillMask {
    fn folder(&self) -> &Folder {
        &self.folder
    }

    fn lengths(&self) -> Vec<usize> {
        self.training.iter().map(Vec::len).collect()
    }

    fn longest(&self) -> usize {
        longest_of(&self.training).max(longest_of(&self.validation))
    }

    fn record(&self, graph: &mut Graph, size: [usize; 2], (dtype, training): Recording) -> Result<Value> {
        masked_words_loss(graph, self.folder.model(), size, self.room(size), dtype, training)
    }

    fn inputs(&self, examples: &[usize], epoch: u64, time: usize) -> Result<Inputs> {
        let texts: Vec<Masked> =
            examples.iter().map(|&number| self.masked(&self.training[number], epoch, number)).collect();
        self.tensors(&texts, time)
    }

    fn evaluate(&self, trainer: &mut Trainer, sizes: &Sizes) -> Result<Vec<(&'static str, f64)>> {
        let (mut sum, mut count) = (0.0, 0);
        let mut numbers: Vec<usize> = (0..self.validation.len()).collect();
        // Texts of about one length share a batch.
        numbers.sort_by_key(|&number| self.validation[number].len());
        for numbers in numbers.chunks(sizes.batch) {
            let masked = |&number: &usize| self.masked(&self.validation[number], VALIDATION_EPOCH, number);
            let mut texts: Vec<Masked> = numbers.iter().map(masked).collect();
            let targets: usize = texts.iter().map(|text| text.targets.len()).sum();
            let time = sizes.time_of(texts.iter().map(|text| text.ids.len()).max().unwrap_or(1));
            texts.resize(sizes.batch, Masked { ids: vec![self.masking.mask], ..Masked::default() });
            sum += targets as f64 * f64::from(trainer.evaluate(&named(&self.tensors(&texts, time)?))?);
            count += targets;
        }
        Ok(vec![("loss", sum / f64::from(count.max(1) as u32))])
    }
}
