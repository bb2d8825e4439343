//! A folder's model trained for a task: epochs over the data, a look at the validation part after each, and a new folder at the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use foveate::nn::Training;
use foveate::train::{Description, Epochs, Folder, Inputs, Mode, RecordLoss, Start, Trainer};
use foveate::{DType, Error, ErrorKind, Graph, HostTensor, Result, Value, runtime};

use super::settings::RunSettings;
use super::{refused, watch_interrupts};
use crate::args::{FineTuneArgs, LearningArgs, LmArgs};
use crate::device::Device;
use crate::memory;
use crate::output;

/// How often all of the data is gone through.
const EPOCHS: u32 = 3;

/// What is asked for.
pub(super) struct Job<'a> {
    pub(super) folder: &'a Path,
    pub(super) data_file: &'a Path,
    out: &'a Path,
    pub(super) learning: &'a LearningArgs,
}

/// What a layer computes in, and what training adds to it.
pub(super) type Recording = (DType, Training);

/// A task: its model, its data and its loss.
pub(super) trait Task {
    /// The model.
    fn folder(&self) -> &Folder;

    /// Tokens that the model reads of each example to train on.
    fn lengths(&self) -> Vec<usize>;

    /// The most tokens that a batch holds of an example, whether to train on or to look at.
    fn longest(&self) -> usize;

    /// Records the loss of a batch `[batch, time]`.
    fn record(&self, graph: &mut Graph, size: [usize; 2], recording: Recording) -> Result<Value>;

    /// The inputs of that loss for examples by their numbers, as they are in `epoch`, with `time` tokens each.
    fn inputs(&self, examples: &[usize], epoch: u64, time: usize) -> Result<Inputs>;

    /// The validation part's loss, and what else tells how good the model is, by name.
    fn evaluate(&self, trainer: &mut Trainer, sizes: &Sizes) -> Result<Vec<(&'static str, f64)>>;
}

/// The sizes that batches have: texts are padded to the next of a few lengths.
pub(super) struct Sizes {
    pub(super) batch: usize,
    /// Ascending.
    times: Vec<usize>,
}

/// The least share of the examples that a length is made for: programs take memory.
const LEAST_SHARE: f64 = 0.1;

impl Sizes {
    /// A quarter, half, and all of the `longest` length, where enough examples have such `lengths`.
    fn of(batch: usize, lengths: &[usize], longest: usize) -> Self {
        let mut times: Vec<usize> = Vec::new();
        for part in [4, 2] {
            let time = longest.div_ceil(part).next_multiple_of(8);
            let above = times.last().copied().unwrap_or(0);
            let fitting = lengths.iter().filter(|length| (above + 1..=time).contains(*length)).count();
            if time < longest && fitting as f64 >= LEAST_SHARE * lengths.len() as f64 {
                times.push(time);
            }
        }
        times.push(longest);
        Self { batch, times }
    }

    /// The length that texts of at most `length` tokens are padded to.
    pub(super) fn time_of(&self, length: usize) -> usize {
        self.times[self.number_of(length)]
    }

    fn number_of(&self, length: usize) -> usize {
        self.times.partition_point(|time| *time < length).min(self.times.len() - 1)
    }
}

impl<'a> Job<'a> {
    pub(super) fn of(args: &'a FineTuneArgs) -> Result<Self> {
        let FineTuneArgs { folder, data_file, out, learning } = args;
        Self { folder, data_file, out, learning }.checked()
    }

    /// `foveate train lm FOLDER TEXT`.
    pub(super) fn of_lm(args: &'a LmArgs, text: &'a Path) -> Result<Self> {
        let foreign = [
            ("--resume", args.resume),
            ("--steps", args.steps.is_some()),
            ("--length", args.length.is_some()),
            ("--width", args.width.is_some()),
            ("--depth", args.depth.is_some()),
            ("--heads", args.heads.is_some()),
            ("--feed-forward", args.feed_forward.is_some()),
            ("--reversible", args.reversible),
            ("--save-every", args.save_every.is_some()),
            ("--evaluate-every", args.evaluate_every.is_some()),
        ];
        if let Some((flag, _)) = foreign.iter().find(|(_, given)| *given) {
            return Err(Error::new(ErrorKind::Argument, "train", *flag)
                .expecting("a text alone, as the flag is for models from nothing")
                .but_found("a folder before it"));
        }
        let Some(out) = &args.out else {
            return Err(Error::new(ErrorKind::Argument, "train", "--out")
                .expecting("a folder")
                .but_found("none"));
        };
        Self { folder: &args.first, data_file: text, out, learning: &args.learning }.checked()
    }

    /// Refuses what has no meaning before anything is read.
    fn checked(self) -> Result<Self> {
        RunSettings::of_folder(&self.learning.training, 1)?;
        Ok(self)
    }

    /// Decides what is drawn at random.
    pub(super) fn seed(&self) -> u64 {
        self.learning.training.seed.unwrap_or_default()
    }
}

/// Trains what `open` makes of the job.
pub(super) fn run(job: &Job<'_>, open: impl FnOnce(&Job<'_>) -> Result<Box<dyn Task>>) -> Result<()> {
    let interrupted = watch_interrupts()?;
    let destination = Destination::open(job.out)?;
    let task = open(job)?;
    let epochs = job.learning.data.epochs.unwrap_or(EPOCHS);
    let settings = RunSettings::of_folder(&job.learning.training, 1)?;
    let lengths = task.lengths();
    let mut order = Epochs::new(lengths.len(), settings.batch, settings.seed);
    let sizes = Sizes::of(order.batch_size(), &lengths, task.longest());
    if sizes.times.len() > 1 {
        order = order.grouped(lengths.iter().map(|&length| sizes.number_of(length)).collect());
    }
    let steps = (u64::from(epochs) * order.batches()).div_ceil(settings.accumulate as u64);
    let settings = RunSettings::of_folder(&job.learning.training, steps)?;
    let device = Device::open(&job.learning.device, runtime::Device::Cpu)?;

    let folder = task.folder();
    let fresh: Vec<&str> = folder.fresh().collect();
    if !fresh.is_empty() {
        eprintln!("fresh weights, as the folder has none that fit: {}", fresh.join(", "));
    }
    let (dtype, training) = settings.recording()?;
    let record = |&time: &usize| {
        let (task, batch) = (&*task, sizes.batch);
        move |graph: &mut Graph, mode: Mode| {
            let training = mode.prepare(graph, training)?;
            task.record(graph, [batch, time], (dtype, training))
        }
    };
    let records: Vec<_> = sizes.times.iter().map(record).collect();
    let records: Vec<&RecordLoss<'_>> = records.iter().map(|record| record as &RecordLoss<'_>).collect();
    let declarations = folder.model().declarations();
    let start = folder.initial_weights(settings.seed)?;
    let (start, description) = (Start::Weights(&start), Description::default());
    let (device, settings_of) = (device.runtime(), settings.training()?);
    memory::check_weights("train", device, declarations, DType::F32)?;
    let mut trainer = Trainer::of_sizes(device, declarations, &records, start, description, settings_of)?;
    memory::check("train", device, "a step (--batch)", trainer.bytes()?)?;
    Run { task: &*task, lengths, trainer, order, sizes: &sizes, settings, epochs }
        .train(&interrupted, destination)
}

/// A training under way.
struct Run<'a> {
    task: &'a dyn Task,
    lengths: Vec<usize>,
    trainer: Trainer,
    order: Epochs,
    sizes: &'a Sizes,
    settings: RunSettings,
    epochs: u32,
}

impl Run<'_> {
    /// Steps until all are done or the user has had enough, and the folder.
    fn train(mut self, interrupted: &AtomicBool, destination: Destination) -> Result<()> {
        eprintln!(
            "{} examples, {} batches an epoch, {} steps",
            self.lengths.len(),
            self.order.batches(),
            self.settings.steps
        );
        let bar = output::progress(self.settings.steps as usize);
        self.show(&bar, 0, None)?;
        let (mut losses, mut seen) = (Vec::new(), 0);
        while self.trainer.step_count() < self.settings.steps && !interrupted.load(Ordering::SeqCst) {
            losses.push(self.step()?);
            bar.inc(1);
            let step = self.trainer.step_count();
            let batches = step * self.settings.accumulate as u64;
            let epoch = (batches / self.order.batches()).min(self.epochs.into());
            if epoch > seen || step == self.settings.steps {
                let loss = losses.iter().sum::<f32>() / losses.len() as f32;
                losses.clear();
                seen = epoch;
                self.show(&bar, epoch, Some(loss))?;
            }
        }
        bar.finish_and_clear();
        let out = destination.finish(|folder| self.task.folder().write(folder, &self.trainer))?;
        let step = self.trainer.step_count();
        if step < self.settings.steps {
            eprintln!("interrupted: the model after step {step} is in {}", out.display());
            return Ok(());
        }
        output::print(format!("{step} steps: {}\n", out.display()))
    }

    /// One step; its loss.
    fn step(&mut self) -> Result<f32> {
        let accumulate = self.settings.accumulate as u64;
        let first = self.trainer.step_count() * accumulate;
        let batches = (first..first + accumulate)
            .map(|number| {
                let examples = self.order.batch(number);
                let longest = examples.iter().map(|&example| self.lengths[example]).max();
                let time = self.sizes.time_of(longest.unwrap_or_default());
                self.task.inputs(&examples, number / self.order.batches(), time)
            })
            .collect::<Result<Vec<_>>>()?;
        let named: Vec<Vec<(&str, &HostTensor)>> = batches.iter().map(|inputs| named(inputs)).collect();
        let named: Vec<_> = named.iter().map(|batch| &batch[..]).collect();
        Ok(self.trainer.step(&named)?.loss)
    }

    /// Prints what the validation part says, and the mean training `loss` since the last time.
    fn show(&mut self, bar: &indicatif::ProgressBar, epoch: u64, loss: Option<f32>) -> Result<()> {
        let found = self.task.evaluate(&mut self.trainer, self.sizes)?;
        if let Some((_, loss)) = found.first().filter(|(_, loss)| !loss.is_finite()) {
            return Err(Error::new(
                ErrorKind::Diverged,
                "train",
                format!("step {}", self.trainer.step_count()),
            )
            .expecting("a finite validation loss")
            .but_found(loss)
            .with_hint("a lower learning rate may help"));
        }
        let loss = loss.map_or_else(String::new, |loss| format!("  loss {loss:.4}"));
        let found: Vec<String> = found.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        let step = self.trainer.step_count();
        let line =
            format!("epoch {epoch}/{}  step {step}{loss}  validation {}", self.epochs, found.join(", "));
        output::print_line(bar, &line)
    }
}

/// Inputs as a trainer takes them.
pub(super) fn named(inputs: &Inputs) -> Vec<(&str, &HostTensor)> {
    inputs.iter().map(|(name, tensor)| (*name, tensor)).collect()
}

/// A folder that is not there until all of it is: it is written beside its place, and moved there.
struct Destination {
    out: PathBuf,
    unfinished: PathBuf,
}

impl Destination {
    /// Makes the folder beside `out`, so that a place where nothing can be written is found before the training. Fails when `out` holds
    /// anything.
    fn open(out: &Path) -> Result<Self> {
        let is_empty = fs::read_dir(out).map(|mut entries| entries.next().is_none());
        if out.exists() && !is_empty.unwrap_or(false) {
            let found = if out.is_dir() { "which holds something" } else { "which is no folder" };
            return Err(Error::new(ErrorKind::Argument, "train", "--out")
                .expecting("a new folder, or an empty one")
                .but_found(format!("{}, {found}", out.display())));
        }
        let mut name = out.file_name().unwrap_or_default().to_owned();
        if name.is_empty() {
            return Err(Error::new(ErrorKind::Argument, "train", "--out")
                .expecting("the name of a folder")
                .but_found(format!("`{}`", out.display())));
        }
        name.push(".unfinished");
        let unfinished = out.with_file_name(name);
        // What a process that was killed left there.
        let cleared = if unfinished.exists() { fs::remove_dir_all(&unfinished) } else { Ok(()) };
        cleared
            .and_then(|()| fs::create_dir_all(&unfinished))
            .map_err(|error| refused(&unfinished, "a folder that can be made", &error))?;
        Ok(Self { out: out.to_owned(), unfinished })
    }

    /// Writes the folder and puts it into its place, which it gives.
    fn finish(self, write: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        write(&self.unfinished)?;
        let cleared = if self.out.exists() { fs::remove_dir(&self.out) } else { Ok(()) };
        cleared
            .and_then(|()| fs::rename(&self.unfinished, &self.out))
            .map_err(|error| refused(&self.out, "a folder that can be put there", &error))?;
        Ok(self.out.clone())
    }
}

impl Drop for Destination {
    /// Nothing is left of a training that failed; where it was finished, there is nothing to remove.
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.unfinished);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_few_and_each_is_worth_its_program() {
        let of = |lengths: &[usize]| Sizes::of(4, lengths, lengths.iter().copied().max().unwrap());
        assert_eq!(of(&[20, 30, 50, 100, 100]).times, [32, 56, 100]);
        // One text in eleven is short.
        let mut lengths = vec![100; 10];
        lengths.push(3);
        assert_eq!(of(&lengths).times, [100]);
        assert_eq!(of(&[5, 6, 7]).times, [7]);
        let sizes = of(&[20, 30, 50, 100, 100]);
        assert_eq!([1, 32, 33, 57, 100].map(|length| sizes.time_of(length)), [32, 32, 56, 100, 100]);
    }
}
