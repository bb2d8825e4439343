//! A folder's model trained for a task: epochs over the data, a look at the validation part after each, and a new folder at the end.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use foveate::nn::Training;
use foveate::runtime::State;
use foveate::train::{Description, Epochs, Folder, Inputs, Mode, RecordLoss, Start, Trainer};
use foveate::{DType, Error, ErrorKind, Graph, HostTensor, Result, Value, runtime};

use super::destination::Destination;
use super::settings::RunSettings;
use super::sizes::Sizes;
use super::{signals, tell_of_compiling};
use crate::args::{FineTuneArgs, LearningArgs, LmArgs};
use crate::device::Device;
use crate::memory;
use crate::output;

/// How often all of the data is gone through.
const EPOCHS: u32 = 3;

/// Characters of a list of weights that are shown.
const SHOWN: usize = 400;

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

    /// Of a task whose batches are the next pieces of streams, how many streams there are: examples are in order, those of a batch together.
    fn streams(&self) -> Option<usize> {
        None
    }

    /// Records the loss of a batch `[batch, time]`; of streams, one is looked at.
    fn record(&self, graph: &mut Graph, size: [usize; 2], recording: Recording) -> Result<Value>;

    /// The inputs of that loss for examples by their numbers, as they are in `epoch`, with `time` tokens each.
    fn inputs(&self, examples: &[usize], epoch: u64, time: usize) -> Result<Inputs>;

    /// The validation part's loss, and what else tells how good the model is, by name.
    fn evaluate(&self, trainer: &mut Trainer, sizes: &Sizes) -> Result<Vec<(&'static str, f64)>>;
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
            ("--attention", args.attention.is_some()),
            ("--masked", args.masked),
            ("--save-every", args.save_every.is_some()),
            ("--evaluate-every", args.evaluate_every.is_some()),
        ];
        if let Some((flag, _)) = foreign.iter().find(|(_, given)| *given) {
            return Err(Error::new(ErrorKind::Argument, "train", *flag)
                .expecting("a text alone, as the flag is for models from scratch")
                .but_found("a folder before it"));
        }
        if args.learning.data.truncate {
            return Err(Error::new(ErrorKind::Argument, "train", "--truncate")
                .expecting("none, as a text is cut into windows, however long it is")
                .but_found("a text to train a language model on"));
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
    let interrupted = signals::watch()?;
    let destination = Destination::open(job.out)?;
    memory::check_files("train", job.folder)?;
    let task = open(job)?;
    let Planned { lengths, order, sizes, settings, epochs } = Planned::of(job, &*task)?;
    let device = Device::open(&job.learning.device, runtime::Device::Cpu)?;

    let folder = task.folder();
    let fresh: Vec<&str> = folder.fresh().collect();
    if !fresh.is_empty() {
        output::note(format!("fresh weights, as the folder has none that fit: {}", fresh.join(", ")));
    }
    let (dtype, training) = settings.recording()?;
    let record = |&time: &usize| {
        let (task, batch) = (&*task, sizes.batch);
        move |graph: &mut Graph, mode: Mode| {
            let training = mode.prepare(graph, training)?;
            let batch = if mode == Mode::Evaluate && task.streams().is_some() { 1 } else { batch };
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
    tell_of_compiling(device);
    let unused: Vec<&str> = trainer.unused().iter().map(String::as_str).collect();
    tell_kept("without influence on the loss", &unused);
    tell_kept("that the task has no use for", &folder.passed_over().collect::<Vec<_>>());
    let streams = task.streams().map(|_| trainer.streams(Mode::Train)).transpose()?;
    Run { task: &*task, lengths, trainer, streams, order, sizes: &sizes, settings, epochs }
        .train(&interrupted, destination)
}

/// How a training goes through its examples.
struct Planned {
    /// Tokens of each example.
    lengths: Vec<usize>,
    order: Epochs,
    sizes: Sizes,
    settings: RunSettings,
    epochs: u32,
}

impl Planned {
    fn of(job: &Job<'_>, task: &dyn Task) -> Result<Self> {
        let epochs = job.learning.data.epochs.unwrap_or(EPOCHS);
        let settings = RunSettings::of_folder(&job.learning.training, 1)?;
        let lengths = task.lengths();
        let mut order = match task.streams() {
            Some(streams) => Epochs::in_order(lengths.len(), streams),
            None => Epochs::new(lengths.len(), settings.batch, settings.seed),
        };
        let sizes = match task.folder().model().network().signature().padded_to {
            Some(_) => Sizes::one(order.batch_size(), task.longest()),
            None => Sizes::of(order.batch_size(), &lengths, task.longest()),
        };
        if sizes.times.len() > 1 {
            order = order.grouped(lengths.iter().map(|&length| sizes.number_of(length)).collect());
        }
        let steps = (u64::from(epochs) * order.batches()).div_ceil(settings.accumulate as u64);
        let settings = RunSettings::of_folder(&job.learning.training, steps)?;
        Ok(Self { lengths, order, sizes, settings, epochs })
    }
}

/// Says which weights the training does not change, where there are some, and why.
fn tell_kept(why: &str, names: &[&str]) {
    if !names.is_empty() {
        let shown = output::one_line(&names.join(", "), SHOWN);
        output::note(format!("kept as they are, {why}: {} weights: {shown}", names.len()));
    }
}

/// A training under way.
struct Run<'a> {
    task: &'a dyn Task,
    lengths: Vec<usize>,
    trainer: Trainer,
    /// What layers keep of the pieces of streams that they have read.
    streams: Option<State>,
    order: Epochs,
    sizes: &'a Sizes,
    settings: RunSettings,
    epochs: u32,
}

impl Run<'_> {
    /// Steps until all are done or the user has had enough, and the folder.
    fn train(mut self, interrupted: &AtomicBool, destination: Destination) -> Result<()> {
        output::note(format!(
            "{} examples, {} batches an epoch, {} steps",
            self.lengths.len(),
            self.order.batches(),
            self.settings.steps
        ));
        let bar = output::progress(self.settings.steps as usize);
        output::print_line(&bar, &self.look(0, None)?)?;
        let mut printed = Ok(());
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
                printed = output::print_line(&bar, &self.look(epoch, Some(loss))?);
                if printed.is_err() {
                    break;
                }
            }
        }
        bar.finish_and_clear();
        // Whether anybody is there to read of it or not.
        let out = destination.finish(|folder| self.task.folder().write(folder, &self.trainer))?;
        printed?;
        let step = self.trainer.step_count();
        if step < self.settings.steps {
            output::note(format!("interrupted: the model after step {step} is in {}", out.display()));
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
        let Some(streams) = &mut self.streams else { return Ok(self.trainer.step(&named)?.loss) };
        if first.is_multiple_of(self.order.batches()) {
            streams.reset()?;
        }
        Ok(self.trainer.step_on(streams, &named)?.loss)
    }

    /// What the validation part says, and the mean training `loss` since the last time, as a line.
    fn look(&mut self, epoch: u64, loss: Option<f32>) -> Result<String> {
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
        Ok(format!("epoch {epoch}/{}  step {step}{loss}  validation {}", self.epochs, found.join(", ")))
    }
}

/// Inputs as a trainer takes them.
pub(super) fn named(inputs: &Inputs) -> Vec<(&str, &HostTensor)> {
    inputs.iter().map(|(name, tensor)| (*name, tensor)).collect()
}
