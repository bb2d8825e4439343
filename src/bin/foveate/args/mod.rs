//! The flags, and the sentences that explain them. What several commands take stands here, once.

mod attend;
mod ctc;
mod forecast;
mod kernels;
mod mechanisms;
mod run;
mod train;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::RangedI64ValueParser;
use clap::{Args, Parser, Subcommand};
use foveate::{DType, Error, ErrorKind, Result};

use crate::output::{InputFile, Sink, Target};

use mechanisms::mechanisms;

pub(crate) use attend::AttendArgs;
pub(crate) use ctc::CtcArgs;
pub(crate) use forecast::{ForecastArgs, TrainForecastArgs};
pub(crate) use kernels::{BenchArgs, CheckArgs, InfoArgs, ShaderArgs, TuneArgs};
pub(crate) use run::{GenerateArgs, InspectArgs, MECHANISM_FILE, RunArgs, TaskName};
pub(crate) use train::{
    ClassifyArgs, DataArgs, DecayName, FillMaskArgs, FineTuneArgs, LearningArgs, LmArgs, OptimizerName,
    Seq2SeqArgs, TrainingArgs,
};

const EXIT_CODES: &str = "\
Exit codes: 0 when all is well; 1 when a result is wrong or not finite or the device failed; 2 when a flag, a file or
the machine does not fit what was asked for; 141 when nobody reads stdout any more.";

/// Attention kernels for efficient Transformers on any GPU that wgpu reaches.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the adapters of this machine: features and limits and, with --ops, which kernel each op would use and why.
    Info(InfoArgs),
    /// Run every op's conformance cases on an adapter against the CPU reference.
    Check(CheckArgs),
    /// Show the WGSL that runs for a case of an op, with the file and line each part came from.
    Shader(ShaderArgs),
    /// Verify and time attention methods on real activations.
    Bench(BenchArgs),
    /// Measure which kernel shapes are fastest on an adapter, and write them as a profile.
    Tune(TuneArgs),
    /// Run a trained model on texts: embeddings, hidden states, or predictions for masked tokens; or transcribe recordings.
    Run(RunArgs),
    /// Run attention on tensors of a file, forward and backward: a mask with score modifiers, or another mechanism, as JSON; compare with another program's results.
    Attend(AttendArgs),
    /// Show what a model folder holds, whether its weights are complete, and the memory a batch takes.
    Inspect(InspectArgs),
    /// Train a language model, a speech model or a forecaster from scratch, or fine-tune a folder's model for a task.
    #[command(subcommand)]
    Train(TrainCommand),
    /// Generate text with a trained language model.
    Generate(GenerateArgs),
    /// Forecast a time series, with the range of likely values, by a forecaster that `train forecast` wrote.
    Forecast(ForecastArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrainCommand {
    /// Fine-tune a folder's model to classify texts, or pairs of texts.
    Classify(Box<ClassifyArgs>),
    /// Fine-tune a folder's model to predict masked words of texts.
    FillMask(Box<FillMaskArgs>),
    /// Fine-tune a folder's encoder-decoder, such as T5, to write one text from another: translations, summaries, answers.
    #[command(name = "seq2seq")]
    Seq2Seq(Box<Seq2SeqArgs>),
    /// Train a language model on a text: a byte-level one from scratch, or a folder's.
    Lm(Box<LmArgs>),
    /// Train a Conformer from scratch to transcribe speech.
    Ctc(Box<CtcArgs>),
    /// Train a forecaster of a time series from scratch.
    Forecast(Box<TrainForecastArgs>),
}

#[derive(Debug, Args)]
pub(crate) struct DeviceArgs {
    /// What to run on: `auto` takes the best adapter and says which, or the CPU reference when there is none; `gpu` takes
    /// the best adapter, software rasterizers included, and fails when there is none; `cpu` is the CPU reference; any other
    /// text takes the first adapter whose name contains it.
    #[arg(long, value_name = "auto|gpu|cpu|NAME", default_value = "auto")]
    pub(crate) device: String,
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ProfileArgs {
    /// Kernel shapes that `foveate tune` measured, in place of the built-in table's. A profile of another adapter, driver or version is
    /// ignored with a warning.
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
}

impl ProfileArgs {
    pub(crate) fn files_read(&self) -> Vec<InputFile<'_>> {
        file_read("--profile", self.profile.as_deref()).collect()
    }
}

impl DeviceArgs {
    pub(crate) fn files_read(&self) -> Vec<InputFile<'_>> {
        self.profile.files_read()
    }
}

/// The file that the value of `flag` names, where it is there.
fn file_read<'a>(flag: &'static str, path: Option<&'a Path>) -> impl Iterator<Item = InputFile<'a>> {
    path.map(|path| (flag, path.into())).into_iter()
}

#[derive(Debug, Args)]
pub(crate) struct CacheArgs {
    /// Keep what the driver compiles in this file: it is read, if it is there, and replaced at the end. Only Vulkan has such caches; a file
    /// that is damaged, or another adapter's or driver's, is refused. The driver believes the file: keep it where nobody else can write.
    #[arg(long, value_name = "FILE")]
    pub(crate) pipeline_cache: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct JsonArgs {
    /// Write everything as JSON; without a file, or with `-`, to stdout in place of the text.
    #[arg(long, value_name = "FILE|-", num_args = 0..=1, default_missing_value = "-")]
    pub(crate) json: Option<Target>,
}

impl JsonArgs {
    /// The value of `--json` of `command`, looked at.
    pub(crate) fn open(&self, command: &'static str) -> Result<Option<Sink>> {
        self.json.as_ref().map(|target| Sink::open(command, "--json", target)).transpose()
    }
}

#[derive(Debug, Args)]
pub(crate) struct StorageArgs {
    /// How weights and activations are stored: f32 or f16.
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    pub(crate) dtype: String,
}

impl StorageArgs {
    /// The type that `--dtype` of `command` names.
    pub(crate) fn dtype(&self, command: &'static str) -> Result<DType> {
        dtype(command, &self.dtype)
    }
}

/// Whole numbers from 1 to `most`.
fn whole(most: i64) -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=most)
}

/// The value of `--dtype` of `command`.
pub(crate) fn dtype(command: &'static str, name: &str) -> Result<DType> {
    name.parse().ok().filter(|dtype: &DType| dtype.is_float()).ok_or_else(|| {
        Error::new(ErrorKind::Dtype, command, "--dtype")
            .expecting("f32 or f16")
            .but_found(format!("`{name}`"))
    })
}

/// The value of `--budget` of `command`.
pub(crate) fn budget(command: &'static str, seconds: f64) -> Result<Duration> {
    let refused = || {
        Error::new(ErrorKind::Argument, command, "--budget").expecting("seconds above 0").but_found(seconds)
    };
    let budget = Duration::try_from_secs_f64(seconds).map_err(|_| refused())?;
    // A day is more than anyone waits for, and what is added to it does not overflow.
    if budget.is_zero() || budget > Duration::from_secs(86_400) { Err(refused()) } else { Ok(budget) }
}
