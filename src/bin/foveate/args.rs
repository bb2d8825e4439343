//! The flags, and the sentences that explain them. The file is long because all commands' flags and their help stand in one place.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use foveate::models::Task;
use foveate::{DType, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::output::Target;

const EXIT_CODES: &str = "\
Exit codes: 0 when all is well; 1 when a result is wrong or the device failed; 2 when a flag, a file or
the machine does not fit what was asked for.";

/// Attention kernels for efficient Transformers on any GPU that wgpu reaches.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show every adapter: its features, its limits, and which kernel each op would use on it and why.
    Info(InfoArgs),
    /// Run every op's conformance cases on an adapter against the CPU reference.
    Check(CheckArgs),
    /// Show the WGSL that runs for a case of an op, with the file and line each part came from.
    Shader(ShaderArgs),
    /// Verify and time attention methods on real activations.
    Bench(BenchArgs),
    /// Measure which kernel shapes are fastest on an adapter, and write them as a profile.
    Tune(TuneArgs),
    /// Run a trained model on texts: embeddings, hidden states, or predictions for masked tokens.
    Run(RunArgs),
    /// Run attention under a rule in JSON on the tensors of a file, with gradients, and compare with another program.
    Attend(AttendArgs),
    /// Show what a model folder holds, whether its weights are complete, and the memory a batch takes.
    Inspect(InspectArgs),
    /// Train a language model from nothing, or a folder's model for a task.
    #[command(subcommand)]
    Train(TrainCommand),
    /// Go on with a text as a trained language model would.
    Generate(GenerateArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrainCommand {
    /// A folder's model to tell labels of texts, or of pairs of texts.
    Classify(Box<ClassifyArgs>),
    /// A folder's model to predict masked words of texts.
    FillMask(Box<FillMaskArgs>),
    /// A language model of a text: a byte-level one from nothing, or a folder's.
    Lm(Box<LmArgs>),
}

#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
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

#[derive(Debug, Args)]
pub(crate) struct CacheArgs {
    /// Keep what the driver compiles in this file: it is read, if it is there, and replaced at the end. Only Vulkan has such caches; a file
    /// that is damaged, or another adapter's or driver's, is refused. The driver believes the file: keep it where nobody else can write.
    #[arg(long, value_name = "FILE")]
    pub(crate) pipeline_cache: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Only the cases of this op, by its name in `foveate info`.
    #[arg(long, value_name = "NAME")]
    pub(crate) op: Option<String>,
    /// Print one JSON document instead of a line per case.
    #[arg(long)]
    pub(crate) json: bool,
}

const SHADER_NOTES: &str = "\
Comments say which dispatch a module is for, what it binds, the numbers of its parameters, and for every part which line of which file
under `shaders/` it came from. A template's lines are its own, not those of what it wrote: a loop goes back to its first one.

Kernels are chosen for the device: --device webgpu-default shows those of the least that every WebGPU device grants, and needs no adapter.
The CPU reference runs no shaders.

Exit codes: 0 when all is well; 1 when the device failed; 2 when a flag, a file or the machine does not fit what was asked for.";

#[derive(Debug, Args)]
#[command(after_help = SHADER_NOTES)]
pub(crate) struct ShaderArgs {
    /// The op, by its name in `foveate info`.
    #[arg(value_name = "OP")]
    pub(crate) op: String,
    /// Which of the op's conformance cases; without, they are listed with their numbers.
    #[arg(long, value_name = "N")]
    pub(crate) case: Option<usize>,
    /// Only the case's dispatch of this number, where it takes several.
    #[arg(long, value_name = "N", requires = "case")]
    pub(crate) dispatch: Option<usize>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Print one JSON document in place of WGSL.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Columns of the table, as `foveate bench --help` explains them.
const COLUMNS: &str = "\
Every row is verified first: against the method's own reference in f64 on up to 512 tokens, and, at the row's
own length, in nine stretches of rows against exact attention over the keys that the method says it sees, spelled
out one by one. A row that fails shows FAILED and no timing, and the exit code is 1.

Columns:
  GPU ms, wall ms   medians; GPU by the device's own timestamps, wall from recording until the device is done
  IQR               first to third quartile, over the median
  first ms          the first call, by the wall: planning, making pipelines and buffers, upload and the first run, in which some
                    drivers compile; kernels that an earlier row has made are not made again
  GFLOP/s           only the work that the method leaves: 2 flops for every channel of every score and of every
                    weighted value
  memory, working   MiB that the plan binds and allocates, and the part that is neither input nor output; exact
  exact             what the method is compared with: full attention, causal (the own key and those before it) or
                    strictly causal (those before it), whichever its keys are a part of
  off exact         largest distance from that exact attention on a sample of queries; methods that leave keys out
                    are far off by design
  of max            the same over the largest exact value
  x unfused         time of exact-unfused at this length over the row's";

#[derive(Debug, Args)]
#[command(after_help = COLUMNS)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    /// Leave the bounds checks and loop guards that wgpu adds to shaders out of foveate's own kernels.
    #[arg(long)]
    pub(crate) unchecked: bool,
    /// Seconds that the run may take, verification included: lengths double as long as the next one is estimated to fit.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    pub(crate) budget: f64,
    /// Exactly these lengths, in tokens, whatever the budget.
    #[arg(long, value_name = "N,..", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    pub(crate) lengths: Vec<u32>,
    /// Only these methods.
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', long_help = crate::bench::methods_help())]
    pub(crate) methods: Vec<String>,
    /// How activations are stored: f32 or f16.
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    pub(crate) dtype: String,
    /// Timed runs of each row; by default as many as fit in half a second, at least 3 and at most 20.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) repeats: Option<u32>,
    /// A safetensors file with `query`, `key` and `value`, f16 or f32 [time, head, channel], in place of the built-in
    /// activations of all-MiniLM-L6-v2 on Moby-Dick. Longer inputs repeat it along time.
    #[arg(long, value_name = "FILE")]
    pub(crate) activations: Option<PathBuf>,
    /// Leave out the device's matmul rate and exact attention's fraction of it.
    #[arg(long)]
    pub(crate) no_headline: bool,
    /// Write everything as JSON; `-` is stdout, in place of the table.
    #[arg(long, value_name = "FILE|-")]
    pub(crate) json: Option<Target>,
    /// Write the rows as CSV; `-` is stdout, in place of the table.
    #[arg(long, value_name = "FILE|-")]
    pub(crate) csv: Option<Target>,
    /// Draw time against length as SVG.
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
}

const TUNE_NOTES: &str = "\
Each shape is timed in turn with the one in force, and takes its place where it is at least 3 % faster over all problems, slower
on none, and right: against the CPU reference on a small odd-sized problem. Later settings are measured with what earlier ones chose.

Nothing reads the profile by itself: give it to the other commands with --profile, or in your app to Context::tuned; `foveate check
--profile FILE` holds every kernel to the reference in its shapes. Without --out it goes to the user's cache folder (XDG_CACHE_HOME or
~/.cache, ~/Library/Caches, or LOCALAPPDATA), under `foveate`.

Exit codes: 0 when the profile is written; 1 when the device failed; 2 when a flag, a file or the machine does not fit what was asked
for.";

#[derive(Debug, Args)]
#[command(after_help = TUNE_NOTES)]
pub(crate) struct TuneArgs {
    /// The adapter: `auto` takes the best and says which, `gpu` the same without a word, any other text the first whose name contains it.
    #[arg(long, value_name = "auto|gpu|NAME", default_value = "auto")]
    pub(crate) device: String,
    /// Where the profile goes, in one move.
    #[arg(long, value_name = "FILE.json")]
    pub(crate) out: Option<PathBuf>,
    /// Seconds that the run may take: no shape but the first is begun that is estimated to take longer, and one that is begun is finished.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    pub(crate) budget: f64,
    /// Print one JSON document in place of text: every shape that was tried, and what became of it.
    #[arg(long)]
    pub(crate) json: bool,
}

const RUN_NOTES: &str = "\
The folder is as Hugging Face's libraries write it: config.json, model.safetensors (or shards and their index), and
for texts tokenizer.json or vocab.txt. Without --text, --ids and --input, texts are read from stdin, one a line.

Human-readable results go to stdout; the device, how many texts were cut, and the throughput go to stderr.";

/// What a model is asked for, as flags have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TaskName {
    /// One vector a text, pooled and normalised as the folder says.
    Embed,
    /// The last layer's state of every token.
    Hidden,
    /// The likeliest tokens behind every mask.
    FillMask,
    /// The labels of each text, or pair of texts, likeliest first.
    Classify,
    /// A label for each word.
    Label,
    /// The part of a passage (--pair) that answers a question (--text).
    Answer,
    /// How likely each text is to a causal language model: the sum of its tokens' log-probabilities but for the first.
    Score,
}

impl TaskName {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Embed => "embed",
            Self::Hidden => "hidden",
            Self::FillMask => "fill-mask",
            Self::Classify => "classify",
            Self::Label => "label",
            Self::Answer => "answer",
            Self::Score => "score",
        }
    }

    pub(crate) fn task(self) -> Task {
        match self {
            Self::Embed => Task::Embed,
            Self::Hidden => Task::Hidden,
            Self::FillMask | Self::Score => Task::Logits,
            Self::Classify => Task::Classify,
            Self::Label => Task::Label,
            Self::Answer => Task::Answer,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = RUN_NOTES)]
pub(crate) struct RunArgs {
    /// The model's folder.
    pub(crate) folder: PathBuf,
    /// A text; may be given several times.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) text: Vec<String>,
    /// The second text of a pair: one for each --text, in the same order. For --task answer, the passage.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, requires = "text")]
    pub(crate) pair: Vec<String>,
    /// Token ids with commas or blanks between them, taken as they are: no special tokens are added; may be given several times.
    #[arg(long, value_name = "\"1 2 3\"")]
    pub(crate) ids: Vec<String>,
    /// Which of two texts each of the --ids is of, 0 or 1: one list for each --ids, in the same order.
    #[arg(long, value_name = "\"0 0 1\"", requires = "ids")]
    pub(crate) types: Vec<String>,
    /// A file of texts in UTF-8, one a line, blank lines left out; `-` is stdin.
    #[arg(long, value_name = "FILE|-")]
    pub(crate) input: Option<PathBuf>,
    /// What to compute.
    #[arg(long, value_enum, default_value_t = TaskName::Embed)]
    pub(crate) task: TaskName,
    /// How weights and activations are stored: f32 or f16.
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    pub(crate) dtype: String,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    /// Cut what is longer than the model takes, in place of refusing it: texts before their closing special token, ids at
    /// their end.
    #[arg(long)]
    pub(crate) truncate: bool,
    /// Tokens that are run at once; fewer take less memory.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) batch_tokens: Option<u32>,
    /// For answer, the most tokens of one.
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) longest_answer: u32,
    /// For fill-mask and classify, how many tokens or labels to show.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) top: u32,
    /// Write everything as JSON; `-` is stdout, in place of the text.
    #[arg(long, value_name = "FILE|-")]
    pub(crate) json: Option<Target>,
    /// Write the numbers as f32. A .safetensors file holds `embeddings`, `logits` of labels, `N.hidden`, or `N.logits` (of fill-mask
    /// with `N.positions`), N counting texts from 0; a .npy file holds all embeddings or labels' logits, or the numbers of one text.
    #[arg(long, value_name = "FILE.npy|FILE.safetensors")]
    pub(crate) output: Option<PathBuf>,
}

const ATTEND_NOTES: &str = r#"The tensors are q, k and v, [batch, time, head, channel] in F32 or F16, and those that the rule names. With d_out or d_lse, the
gradients of the results, there are gradients, too. Results are out, lse (natural logarithm, -1e30 for a row that sees no key), dq,
dk, dv, and d_NAME for every float that the rule names. Those that the file holds already are compared.

A rule is JSON; texts are names of tensors:
  {"version": 1, "mask": {"any": [{"window": {"left": 4, "right": 4}}, {"globals": "positions"}]},
   "scores": [{"alibi": "slopes"}], "scale": 0.25, "softcap": 3.0}

Masks:
  "full"  "causal"  {"window": {"left": 5, "right": 2}}  {"band": {"left": 5}}  {"prefix": 9}
  {"dilated_window": {"half_width": 4, "dilations": [3]}}  {"dilated": {"left": 4, "right": 0, "dilations": [3]}}
  {"lengths": NAME}  {"segments": NAME}  {"global_keys": NAME}  {"global_queries": NAME}  {"globals": NAME}  {"dense": NAME}
  {"longformer": {"half_width": 4, "globals": NAME}}  {"log_sparse": {"local": 1, "restart": 64}}
  {"blocks": {"block_size": 8, "layout": NAME}}  {"block_diagonal": 8}
  {"block_entries": {"block_size": 8, "shape": [1, 5, 5], "entries": [[0, 2, 1]]}}
  {"strided": 8}  {"fixed": {"stride": 8, "expressivity": 2}}  {"columns": {"period": 8, "from": 6}}
  {"big_bird": {"block_size": 64, "window_blocks": 3, "global_blocks": 1, "random_blocks": 3, "seed": 0}}
  {"all": [MASK, ..]}  {"any": [MASK, ..]}  {"not": MASK}  {"top_left": MASK}
Scores:
  {"bias": NAME}  {"alibi": NAME}  {"gaussian": NAME}  {"adaptive_span": {"span": NAME, "ramp": 8.0}}
  {"buckets": {"table": NAME, "count": 16, "max_distance": 20, "bidirectional": true}}
  {"relative_keys": {"keys": NAME, "content_bias": NAME, "position_bias": NAME, "farthest_after": 0}}
  {"disentangled": {"keys": NAME, "queries": NAME, "span": 6, "max_distance": 40}}  {"top_left": SCORE}
Where the queries of each item begin among the keys, I32 [batch], beside "mask" and "scores":
  "query_start": NAME
The documentation of foveate::ops::attention::RuleDocument explains each.

Exit codes: 0 when all is well; 1 when --compare found results beyond the tolerance or the device failed; 2 when a flag, a file or
the machine does not fit what was asked for."#;

#[derive(Debug, Args)]
#[command(after_help = ATTEND_NOTES)]
pub(crate) struct AttendArgs {
    /// The rule.
    #[arg(long, value_name = "FILE.json")]
    pub(crate) rule: PathBuf,
    /// What it is applied to.
    #[arg(long, value_name = "FILE.safetensors")]
    pub(crate) tensors: PathBuf,
    /// Write the results, in one move; the metadata under `foveate` say what made them.
    #[arg(long, value_name = "FILE.safetensors")]
    pub(crate) out: Option<PathBuf>,
    /// Fail when a result lies too far from the one that the file of tensors holds.
    #[arg(long)]
    pub(crate) compare: bool,
    /// How far is too far, of the largest element [default: 2e-5 for F32, 7.8e-3 for F16].
    #[arg(long, value_name = "X", requires = "compare", allow_negative_numbers = true)]
    pub(crate) tolerance: Option<f64>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
}

const INSPECT_NOTES: &str = "\
Exit codes: 0 when the model is complete; 2 when a file is missing or damaged, or weights do not fit the architecture.";

#[derive(Debug, Args)]
#[command(after_help = INSPECT_NOTES)]
pub(crate) struct InspectArgs {
    /// The model's folder.
    pub(crate) folder: PathBuf,
    /// What the model would be asked for: it decides which weights are needed.
    #[arg(long, value_enum, default_value_t = TaskName::Embed)]
    pub(crate) task: TaskName,
    /// Tokens of the batch whose memory is shown.
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) batch_tokens: u32,
    /// Sequences in that batch, each with one mask for fill-mask.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) count: u32,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

const LM_NOTES: &str = "\
Without a folder it is a byte-level model from nothing: the last 5 % of the text are kept for validation, and losses are nats a byte.
The folder of --out holds checkpoint.safetensors (weights, optimiser and step), loss.csv and loss.svg. Ctrl-C saves and ends
cleanly; --resume goes on from the checkpoint bit for bit, with the model and settings in it, unless flags say otherwise.

With a folder its causal language model goes on to be trained on the text, cut into windows of tokens. After each epoch a line shows the
validation loss, in nats a token, and the perplexity. --out becomes a folder that `foveate generate` opens, in one move: it is not there
before. Ctrl-C writes what there is.

Exit codes: 0 when all steps are done or the user interrupted; 1 when the loss stopped being a number or the device failed; 2 when
a flag, a file or the machine does not fit what was asked for.";

/// How parameters follow their gradients, as the flag has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OptimizerName {
    /// Adam with decoupled weight decay.
    Adamw,
    /// Gradient descent with momentum.
    Sgd,
}

/// How the learning rate goes on after the warm-up, as the flag has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DecayName {
    /// It stays.
    Constant,
    /// It falls to a tenth along half a cosine.
    Cosine,
    /// It falls to a tenth along a line.
    Linear,
}

#[derive(Debug, Args)]
#[command(after_help = LM_NOTES)]
pub(crate) struct LmArgs {
    /// The text; or a model's folder, whose language model goes on to be trained on the text that follows.
    #[arg(value_name = "FOLDER|TEXT")]
    pub(crate) first: PathBuf,
    /// The text, behind a folder.
    #[arg(value_name = "TEXT")]
    pub(crate) second: Option<PathBuf>,
    /// The folder for what is trained; of a folder's model, a new one [default, without a folder: foveate-lm].
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// Without a folder, go on from the checkpoint in --out.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Without a folder, steps of the whole training [default: 1000].
    #[arg(long, value_name = "N")]
    pub(crate) steps: Option<u64>,
    /// Without a folder, bytes of a sequence [default: 128].
    #[arg(long, value_name = "N")]
    pub(crate) length: Option<usize>,
    /// Without a folder, channels [default: 128].
    #[arg(long, value_name = "N")]
    pub(crate) width: Option<usize>,
    /// Without a folder, layers [default: 4].
    #[arg(long, value_name = "N")]
    pub(crate) depth: Option<usize>,
    /// Without a folder, attention heads of a layer [default: 4].
    #[arg(long, value_name = "N")]
    pub(crate) heads: Option<usize>,
    /// Without a folder, channels between the two dense layers [default: 4 times the width].
    #[arg(long, value_name = "N")]
    pub(crate) feed_forward: Option<usize>,
    /// Without a folder, reversible layers: activations take the memory of one layer, whatever the depth.
    #[arg(long)]
    pub(crate) reversible: bool,
    /// Without a folder, steps between checkpoints [default: 100].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) save_every: Option<u64>,
    /// Without a folder, steps between looks at the validation part [default: 100].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) evaluate_every: Option<u64>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) training: TrainingArgs,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
}

/// How a model is trained, whatever it is.
#[derive(Debug, Args)]
pub(crate) struct TrainingArgs {
    /// Sequences of a batch [default: 16].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 16))]
    pub(crate) batch: Option<u32>,
    /// Batches whose gradients make one step [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 16))]
    pub(crate) accumulate: Option<u32>,
    /// Layers of a segment whose activations are recomputed in place of kept; 0 keeps all [default: 0].
    #[arg(long, value_name = "N")]
    pub(crate) recompute: Option<usize>,
    /// The optimiser [default: adamw].
    #[arg(long, value_enum)]
    pub(crate) optimizer: Option<OptimizerName>,
    /// The highest learning rate [default: 5e-5 for a folder's model, 2e-3 for one from nothing].
    #[arg(long, allow_negative_numbers = true, value_name = "RATE")]
    pub(crate) lr: Option<f32>,
    /// Steps over which the rate rises to that [default: a tenth of all for a folder's model, 50 for one from nothing].
    #[arg(long, value_name = "N")]
    pub(crate) warm_up: Option<u64>,
    /// How the rate goes on [default: linear for a folder's model, cosine for one from nothing].
    #[arg(long, value_enum)]
    pub(crate) decay: Option<DecayName>,
    /// Weight decay [default: 0.01 for a folder's model, 0.1 for one from nothing].
    #[arg(long, allow_negative_numbers = true, value_name = "X")]
    pub(crate) weight_decay: Option<f32>,
    /// Momentum of sgd [default: 0.9].
    #[arg(long, allow_negative_numbers = true, value_name = "X")]
    pub(crate) momentum: Option<f32>,
    /// The largest norm of all gradients; 0 for any [default: 1].
    #[arg(long, allow_negative_numbers = true, value_name = "NORM")]
    pub(crate) clip: Option<f32>,
    /// Dropout of what layers add [default: 0.1 for a folder's model, 0 for one from nothing].
    #[arg(long, allow_negative_numbers = true, value_name = "RATE")]
    pub(crate) dropout: Option<f32>,
    /// What layers compute in, f32 or f16; weights and sums stay f32 [default: f32].
    #[arg(long, value_name = "TYPE")]
    pub(crate) dtype: Option<String>,
    /// Decides fresh weights, what is kept for validation, the order of batches, masks and dropout [default: 0].
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

/// What a folder's model is trained on.
#[derive(Debug, Default, PartialEq, Args)]
pub(crate) struct DataArgs {
    /// A file like the data to look at after each epoch, or the fraction of the data that is kept for it [default: 0.1].
    #[arg(long, value_name = "FILE|FRACTION")]
    pub(crate) validation: Option<String>,
    /// How often all of the data is gone through [default: 3].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) epochs: Option<u32>,
    /// The longest text in tokens, special ones included, at most what the model takes; of a language model, the length of its windows
    /// [default: what the model takes, of a language model at most 256].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    pub(crate) max_tokens: Option<u32>,
    /// Cut longer texts in place of refusing them.
    #[arg(long)]
    pub(crate) truncate: bool,
}

const CLASSIFY_NOTES: &str = "\
The data is a .csv or .tsv file whose first line names its columns, or a .jsonl file of one object a line: `text`, `label` and, for pairs
of texts, `pair`. Labels that the folder's config.json has all of keep their numbers; else they are numbered in alphabetical order, and
a head that does not fit them starts anew.

After each epoch a line shows the validation loss, the accuracy, and the mean of the labels' F1. --out becomes a folder that `foveate
run --task classify` opens, in one move: it is not there before. Ctrl-C writes what there is.

Exit codes: 0 when all epochs are done or the user interrupted; 1 when the loss stopped being a number or the device failed; 2 when
a flag, a file or the machine does not fit what was asked for.";

#[derive(Debug, Args)]
#[command(after_help = CLASSIFY_NOTES)]
pub(crate) struct ClassifyArgs {
    #[command(flatten)]
    pub(crate) folders: FineTuneArgs,
}

const FILL_MASK_NOTES: &str = "\
The data is a file of texts in UTF-8, one a line, blank lines left out; or a .csv, .tsv or .jsonl file with a column `text`. Of a text's tokens 15 % are to be predicted, others in each epoch:
80 % of these are masked, 10 % exchanged for any other, 10 % left (arXiv 1810.04805, section 3.1). Validation masks stay the same.

After each epoch a line shows the validation loss, in nats a masked token. --out becomes a folder that `foveate run --task fill-mask`
opens, in one move: it is not there before. Ctrl-C writes what there is.

Exit codes: 0 when all epochs are done or the user interrupted; 1 when the loss stopped being a number or the device failed; 2 when
a flag, a file or the machine does not fit what was asked for.";

#[derive(Debug, Args)]
#[command(after_help = FILL_MASK_NOTES)]
pub(crate) struct FillMaskArgs {
    #[command(flatten)]
    pub(crate) folders: FineTuneArgs,
}

/// A folder's model, its data, and where it goes.
#[derive(Debug, Args)]
pub(crate) struct FineTuneArgs {
    /// The model's folder.
    pub(crate) folder: PathBuf,
    /// The data.
    #[arg(value_name = "DATA")]
    pub(crate) data_file: PathBuf,
    /// The folder that the trained model is written to: a new or an empty one.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) training: TrainingArgs,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct GenerateArgs {
    /// A model's folder; or the checkpoint of `foveate train lm`, or the folder that it is in.
    pub(crate) model: PathBuf,
    /// What the text starts with.
    #[arg(long, value_name = "TEXT", default_value = "\n", allow_hyphen_values = true)]
    pub(crate) prompt: String,
    /// Tokens to add at most; of a byte-level model, bytes.
    #[arg(long, alias = "bytes", value_name = "N", default_value_t = 400)]
    pub(crate) tokens: usize,
    /// Below 1 likely tokens get likelier; 0 takes the likeliest.
    #[arg(long, allow_negative_numbers = true, value_name = "X", default_value_t = 0.8)]
    pub(crate) temperature: f32,
    /// How many of the likeliest tokens are drawn from; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) top_k: usize,
    /// Draw from the likeliest tokens that together have this probability; 1 for all.
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    pub(crate) top_p: f32,
    /// What scores of tokens that are in the text already are divided by; 1 changes nothing.
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub(crate) repetition_penalty: f32,
    /// Search for the likeliest text with so many beams, in place of drawing; it is printed when it is found.
    #[arg(long, value_name = "N", conflicts_with_all = ["temperature", "top_k", "top_p", "repetition_penalty"])]
    pub(crate) beams: Option<usize>,
    /// With beams, what a text's length is raised to before its log-probability is divided by it.
    #[arg(long, value_name = "X", default_value_t = 1.0, requires = "beams", allow_negative_numbers = true)]
    pub(crate) length_penalty: f32,
    /// A token that ends the text, by its id; may be given several times. Without it, the `eos_token_id` of the folder's config.json.
    #[arg(long, value_name = "ID")]
    pub(crate) stop: Vec<u32>,
    /// Decides the draws.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// How weights and activations are stored: f32 or f16.
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    pub(crate) dtype: String,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
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
