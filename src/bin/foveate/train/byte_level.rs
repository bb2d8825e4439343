//! `foveate train lm TEXT`: a byte-level language model from scratch.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foveate::models::Model;
use foveate::nn::Training;
use foveate::outputs::LockedFolder;
use foveate::train::{
    ByteText, Description, Mode, Progress, Start, StepReport, TextBatch, Trainer, language_loss,
};
use foveate::weights::{Checkpoint, read_file};
use foveate::{DType, Error, ErrorKind, Graph, Result, Value, runtime};
use indicatif::ProgressBar;

use crate::args::{DataArgs, LmArgs};
use crate::device::Device;
use crate::limits;
use crate::memory;
use crate::output;

use super::curve::{self, Row};
use super::destination::{check_apart, lock};
use super::settings::{self, RunSettings};
use super::{refused, signals, tell_of_compiling};

/// The name of the checkpoint in a training's folder.
pub(crate) const CHECKPOINT: &str = "checkpoint.safetensors";

/// The names of the loss curve there, as a table and as a picture.
const CURVE: &str = "loss.csv";
const CHART: &str = "loss.svg";

/// The part of the text that is kept for validation.
const VALIDATION: f64 = 0.05;

/// Validation sequences that are looked at each time.
const VALIDATION_SEQUENCES: usize = 128;

/// The folder of checkpoint and loss curve where no other is asked for.
const OUT: &str = "foveate-lm";

/// Steps between checkpoints, and between looks at the validation part.
const EVERY: u64 = 100;

pub(super) fn train(args: &LmArgs) -> Result<()> {
    check_data(args)?;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from(OUT));
    let interrupted = signals::watch()?;
    let path = out.join(CHECKPOINT);
    check_apart(&args.first, &out, &[CHECKPOINT, CURVE, CHART])?;
    // Nothing is made before all is checked: a folder that is not there is locked when it is made.
    let locked = out.is_dir().then(|| lock(&out, &out)).transpose()?;
    let checkpoint = open_checkpoint(args, &path)?;
    let progress = checkpoint.as_ref().map(Progress::of).transpose()?;
    let (config, settings) = settings::resolve(args, progress.as_ref())?;
    let model = config.model()?;
    let text = ByteText::new(read_file(&args.first, limits::TEXT)?, config.length, VALIDATION);
    let text = text.map_err(|error| error.within(args.first.display().to_string()))?;
    let device = Device::open(&args.learning.device, runtime::Device::Cpu)?;

    let recording = settings.recording()?;
    let shape = [settings.batch, config.length];
    let mut validation = text.validation(settings.batch, VALIDATION_SEQUENCES)?;
    if config.masked {
        let numbered = validation.iter().zip(0..);
        validation = numbered.map(|(batch, number)| batch.masked(number)).collect::<Result<_>>()?;
    }
    let record = |graph: &mut Graph, mode: Mode| {
        // Validation may be shorter than a batch.
        let batch = if mode == Mode::Train { shape[0] } else { validation[0].ids.shape().dims()[0] };
        record_loss(graph, &model, [batch, shape[1]], recording, mode)
    };
    let start_from = |start: Start<'_>| {
        let (description, training) = (description(&config, &settings)?, settings.training()?);
        Trainer::new(device.runtime(), model.declarations(), &record, start, description, training)
    };
    memory::check_weights("train", device.runtime(), model.declarations(), DType::F32)?;
    // Neither the file nor the first weights are kept: the file will be replaced.
    let mut trainer = match checkpoint {
        Some(checkpoint) => start_from(Start::Checkpoint(&checkpoint))?,
        None => {
            let weights = config.initial_weights(model.declarations(), settings.seed);
            start_from(Start::Weights(&weights.collect::<Result<_>>()?))?
        }
    };
    let _locked = locked.map_or_else(|| lock_new(args, &out), Ok)?;
    tell_of_compiling(device.runtime());
    memory::check("train", device.runtime(), "a step (--batch)", trainer.bytes()?)?;
    let rows = curve::read(&out.join(CURVE), trainer.step_count())?;
    let baselines = text.baselines();
    let weights = model.declarations().list().iter().map(|weight| weight.shape.elements()).sum();
    let masked = config.masked;
    Run { args, out, settings, masked, text, validation, baselines, trainer, weights, rows }
        .train(&interrupted)
}

/// Refuses flags about the data of folders' models.
fn check_data(args: &LmArgs) -> Result<()> {
    if args.learning.data == DataArgs::default() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Argument, "train", "--validation, --epochs, --max-tokens, --truncate")
        .expecting("a model's folder before the text")
        .but_found("a text alone"))
}

/// Makes and locks the folder `out`, which was not there.
fn lock_new(args: &LmArgs, out: &Path) -> Result<LockedFolder> {
    let locked = lock(out, out)?;
    // Another process may have been faster, and have ended since.
    open_checkpoint(args, &out.join(CHECKPOINT))?;
    Ok(locked)
}

/// The checkpoint to go on from. One that would be overwritten is refused.
fn open_checkpoint(args: &LmArgs, path: &Path) -> Result<Option<Checkpoint>> {
    match (args.resume, path.exists()) {
        (true, _) => {
            memory::check_files("train", path)?;
            Checkpoint::open(path).map(Some)
        }
        (false, false) => Ok(None),
        (false, true) => Err(Error::new(ErrorKind::Argument, "train", "--out")
            .expecting("a folder without a checkpoint, or --resume to go on from it")
            .but_found(path.display())),
    }
}

fn description(config: &foveate::models::LanguageModelConfig, settings: &RunSettings) -> Result<Description> {
    let failed = |error| Error::new(ErrorKind::Config, "train", "settings").but_found(error);
    Ok(Description {
        model: serde_json::to_value(config).map_err(failed)?,
        settings: serde_json::to_value(settings).map_err(failed)?,
    })
}

fn record_loss(
    graph: &mut Graph,
    model: &Model,
    size: [usize; 2],
    (dtype, training): (DType, Training),
    mode: Mode,
) -> Result<Value> {
    let training = mode.prepare(graph, training)?;
    language_loss(graph, model, size, dtype, training)
}

/// A training under way.
struct Run<'a> {
    args: &'a LmArgs,
    out: PathBuf,
    settings: RunSettings,
    /// Whether masked bytes are predicted, in the place of those that follow.
    masked: bool,
    text: ByteText,
    validation: Vec<TextBatch>,
    baselines: (f64, f64),
    trainer: Trainer,
    weights: usize,
    rows: Vec<Row>,
}

impl Run<'_> {
    /// Steps until all are done or the user has had enough.
    fn train(mut self, interrupted: &AtomicBool) -> Result<()> {
        self.announce()?;
        let bar = output::progress(self.settings.steps as usize);
        bar.set_position(self.trainer.step_count());
        let before = self.rows.last().map_or((0.0, 0), |row| (row.seconds, row.tokens));
        let start = Instant::now();
        let mut printed = Ok(());
        let mut saved = self.path().exists().then(|| self.trainer.step_count());
        while self.trainer.step_count() < self.settings.steps && !interrupted.load(Ordering::SeqCst) {
            let report = self.step()?;
            let last = report.step == self.settings.steps;
            let looks = last || report.step.is_multiple_of(self.args.evaluate_every.unwrap_or(EVERY));
            let validation_loss = looks.then(|| self.validate()).transpose()?;
            if let Some(loss) = validation_loss.filter(|loss| !loss.is_finite()) {
                return Err(Error::new(ErrorKind::Diverged, "train", format!("step {}", report.step))
                    .expecting("a finite validation loss")
                    .but_found(loss)
                    .with_hint("resume from the last checkpoint with a lower learning rate"));
            }
            self.remember(report, validation_loss, start.elapsed(), before);
            printed = self.show(&bar, start.elapsed(), before.1);
            if printed.is_err() {
                break;
            }
            if report.step.is_multiple_of(self.args.save_every.unwrap_or(EVERY)) {
                self.save()?;
                saved = Some(report.step);
            }
        }
        bar.finish_and_clear();
        let step = self.trainer.step_count();
        // Whether anybody is there to read of it or not.
        if saved != Some(step) {
            self.save()?;
        }
        printed?;
        let place = self.path().display().to_string();
        if step < self.settings.steps {
            output::note(format!("interrupted: step {step} is saved in {place}; --resume goes on from it"));
        } else {
            output::print(format!("{step} steps: {place}\n"))?;
        }
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.out.join(CHECKPOINT)
    }

    fn announce(&mut self) -> Result<()> {
        let memory = self.trainer.memory()?.map_or(String::new(), |memory| {
            let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            format!(
                ", a step takes {:.1} MiB on the device, {:.1} of it activations and gradients",
                mebibytes(memory.total()),
                mebibytes(memory.working)
            )
        });
        let (unigram, bigram) = self.baselines;
        output::note(format!("{} weights{memory}", self.weights));
        output::note(format!("validation loss of counting: single bytes {unigram:.3}, pairs {bigram:.3}"));
        let step = self.trainer.step_count();
        if step > 0 {
            output::note(format!("resuming after step {step}"));
        }
        Ok(())
    }

    fn step(&mut self) -> Result<StepReport> {
        let RunSettings { batch, accumulate, seed, .. } = self.settings;
        let first = self.trainer.step_count() * accumulate as u64;
        let batches = (first..first + accumulate as u64)
            .map(|number| {
                let batch = self.text.batch(batch, seed, number)?;
                // Not the numbers that validation has.
                if self.masked { batch.masked(!(seed ^ number)) } else { Ok(batch) }
            })
            .collect::<Result<Vec<_>>>()?;
        let named: Vec<_> = batches.iter().map(TextBatch::named).collect();
        let named: Vec<_> = named.iter().map(|batch| &batch[..]).collect();
        self.trainer.step(&named)
    }

    /// The mean loss of the validation sequences.
    fn validate(&mut self) -> Result<f32> {
        let mut sum = 0.0;
        for batch in &self.validation {
            sum += f64::from(self.trainer.evaluate(&batch.named())?);
        }
        Ok((sum / self.validation.len() as f64) as f32)
    }

    fn remember(
        &mut self,
        report: StepReport,
        validation_loss: Option<f32>,
        elapsed: Duration,
        (seconds, tokens): (f64, u64),
    ) {
        let StepReport { step, loss, rate, norm, skipped, .. } = report;
        self.rows.push(Row {
            step,
            seconds: seconds + elapsed.as_secs_f64(),
            tokens: self.rows.last().map_or(tokens, |row| row.tokens) + self.tokens_a_step(),
            learning_rate: rate,
            loss,
            gradient_norm: norm,
            skipped,
            validation_loss,
        });
    }

    fn tokens_a_step(&self) -> u64 {
        let time = self.validation[0].ids.shape().dims()[1];
        (self.settings.batch * self.settings.accumulate * time) as u64
    }

    /// Moves the bar and, when the validation loss is new, prints a line.
    fn show(&self, bar: &ProgressBar, elapsed: Duration, tokens_before: u64) -> Result<()> {
        let Some(row) = self.rows.last() else { return Ok(()) };
        let rate = (row.tokens - tokens_before) as f64 / elapsed.as_secs_f64();
        bar.set_position(row.step);
        bar.set_message(format!("loss {:.3}, {rate:.0} tokens/s", row.loss));
        let Some(validation) = row.validation_loss else { return Ok(()) };
        let line = format!(
            "step {:>6}  loss {:.4}  validation {validation:.4}  rate {:.2e}  {rate:.0} tokens/s",
            row.step, row.loss, row.learning_rate
        );
        output::print_line(bar, &line)
    }

    /// Writes the curve and then the checkpoint, each in one move. The rows of a curve that is ahead are dropped when it is read.
    fn save(&self) -> Result<()> {
        let chart = curve::svg(&self.rows, self.baselines)?;
        for (name, contents) in [(CURVE, curve::csv(&self.rows)?), (CHART, chart)] {
            let path = self.out.join(name);
            foveate::outputs::replace_file(&path, contents)
                .map_err(|error| refused(&path, "a file that can be written", &error))?;
        }
        self.trainer.save(self.path())
    }
}
