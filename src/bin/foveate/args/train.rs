//! Flags of `train`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{DeviceArgs, whole};

/// The exit codes of trainings.
pub(super) const TRAINING_EXIT_CODES: &str = "\
Exit codes: 0 when all steps or epochs are done or the user interrupted; 1 when the loss stopped being a number or the device failed; 2 when
a flag, a file or the machine does not fit what was asked for.";

const LM_NOTES: &str = "\
Without a folder it is a byte-level model from scratch: the last 5 % of the text are kept for validation, and losses are nats a byte.
The folder of --out holds checkpoint.safetensors (weights, optimiser and step), loss.csv and loss.svg. Ctrl-C saves and ends
cleanly; --resume goes on from the checkpoint bit for bit, with the model and settings in it, unless flags say otherwise.

With a folder its causal language model goes on to be trained on the text, cut into windows of tokens. A recurrent one (Transformer-XL) reads
the text in --batch streams, segment by segment, each with the memories of those before; gradients end at the segment. After each epoch a
line shows the validation loss, in nats a token, and the perplexity; a recurrent model reads the validation part as one stream. --out becomes a folder that `foveate generate` opens, atomically: it does not exist before
the end. Ctrl-C writes what there is.";

/// The optimiser, as the flag has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OptimizerName {
    /// Adam with decoupled weight decay.
    Adamw,
    /// Gradient descent with momentum.
    Sgd,
}

/// The course of the learning rate after the warm-up, as the flag has it.
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
#[command(after_help = format!("{LM_NOTES}\n\n{TRAINING_EXIT_CODES}"))]
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
    /// Without a folder, another mechanism in the place of softmax attention: '{"favor": {"features": 64, "causal": true}}' or another mechanism of `foveate
    /// run --help`, whose tensors become weights, '{"gated": {"decay": "channels"}}' (heads, none; "temperature": 16; "delta": true),
    /// '{"routing_transformer": {"clusters": 4, "window": 64}}' ("local_heads": half of the heads), or @FILE.
    #[arg(long, value_name = "JSON|@FILE")]
    pub(crate) attention: Option<String>,
    /// Without a folder, a model that sees all of a text and predicts masked bytes, 15 % of it, in the place of the byte that follows.
    #[arg(long)]
    pub(crate) masked: bool,
    /// Without a folder, steps between checkpoints [default: 100].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) save_every: Option<u64>,
    /// Without a folder, steps between evaluations on the validation part [default: 100].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) evaluate_every: Option<u64>,
    #[command(flatten)]
    pub(crate) learning: LearningArgs,
}

/// How a model learns: from what, in which steps, and on which device.
#[derive(Debug, Args)]
pub(crate) struct LearningArgs {
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
    #[arg(long, value_name = "N", value_parser = whole(1 << 16))]
    pub(crate) batch: Option<u32>,
    /// Batches whose gradients make one step [default: 1].
    #[arg(long, value_name = "N", value_parser = whole(1 << 16))]
    pub(crate) accumulate: Option<u32>,
    /// Layers of a segment whose activations are recomputed in place of kept; 0 keeps all [default: 0].
    #[arg(long, value_name = "N")]
    pub(crate) recompute: Option<usize>,
    /// The optimiser [default: adamw].
    #[arg(long, value_enum)]
    pub(crate) optimizer: Option<OptimizerName>,
    /// The highest learning rate [default: 5e-5 for a folder's model, 2e-3 for one from scratch].
    #[arg(long, allow_negative_numbers = true, value_name = "RATE")]
    pub(crate) lr: Option<f32>,
    /// Warm-up: steps over which the rate rises to that [default: a tenth of all for a folder's model, 50 for one from scratch].
    #[arg(long, value_name = "N")]
    pub(crate) warm_up: Option<u64>,
    /// The course of the rate after that [default: linear for a folder's model, cosine for one from scratch].
    #[arg(long, value_enum)]
    pub(crate) decay: Option<DecayName>,
    /// Weight decay [default: 0.01 for a folder's model, 0.1 for one from scratch].
    #[arg(long, allow_negative_numbers = true, value_name = "X")]
    pub(crate) weight_decay: Option<f32>,
    /// Momentum of sgd [default: 0.9].
    #[arg(long, allow_negative_numbers = true, value_name = "X")]
    pub(crate) momentum: Option<f32>,
    /// The largest norm of all gradients; 0 for any [default: 1].
    #[arg(long, allow_negative_numbers = true, value_name = "NORM")]
    pub(crate) clip: Option<f32>,
    /// Dropout of what layers add to the residual stream [default: 0.1 for a folder's model, 0 for one from scratch].
    #[arg(long, allow_negative_numbers = true, value_name = "RATE")]
    pub(crate) dropout: Option<f32>,
    /// Type that layers compute in, f32 or f16; weights and sums stay f32 [default: f32].
    #[arg(long, value_name = "TYPE")]
    pub(crate) dtype: Option<String>,
    /// Seed of new weights, the choice of validation data, the order of batches, masks and dropout [default: 0].
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

/// The data that a folder's model is trained on.
#[derive(Debug, Default, PartialEq, Args)]
pub(crate) struct DataArgs {
    /// A file like the data to evaluate on after each epoch, or the fraction of the data that is kept for that [default: 0.1].
    #[arg(long, value_name = "FILE|FRACTION")]
    pub(crate) validation: Option<String>,
    /// Epochs: passes over all of the data [default: 3].
    #[arg(long, value_name = "N", value_parser = whole(1 << 20))]
    pub(crate) epochs: Option<u32>,
    /// The longest text in tokens, special ones included, at most what the model takes; of seq2seq, the longest source and the longest target;
    /// of a language model, the length of its windows or segments [default: what the model takes, of a language model at most 256].
    #[arg(long, value_name = "N", value_parser = whole(1 << 24))]
    pub(crate) max_tokens: Option<u32>,
    /// Cut longer texts in place of refusing them.
    #[arg(long)]
    pub(crate) truncate: bool,
}

const CLASSIFY_NOTES: &str = "\
The data is a .csv or .tsv file whose first line names its columns, or a .jsonl file of one object a line: `text`, `label` and, for pairs
of texts, `pair`. Labels that the folder's config.json has all of keep their numbers; else they are numbered in alphabetical order, whole
numbers by their size, and a head that does not fit them starts anew.

A text may have any number of labels: `label` of a .jsonl file is a list then, or --label-separator says what is between them, and a text
without any has an empty one. Each label is learnt by itself (`problem_type: multi_label_classification`).

After each epoch a line shows the validation loss, the accuracy (of several labels: texts all of whose labels are right), and the mean of
the labels' F1; of several labels also F1 of all together (micro). --out becomes a folder that `foveate
run --task classify` opens, atomically: it does not exist before the end. Ctrl-C writes what there is.";

#[derive(Debug, Args)]
#[command(after_help = format!("{CLASSIFY_NOTES}\n\n{TRAINING_EXIT_CODES}"))]
pub(crate) struct ClassifyArgs {
    #[command(flatten)]
    pub(crate) folders: FineTuneArgs,
    /// The separator between the labels of a text, where a text may have any number of them.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) label_separator: Option<String>,
}

const FILL_MASK_NOTES: &str = "\
The data is a file of texts in UTF-8, one a line, blank lines left out; or a .csv, .tsv or .jsonl file with a column `text`. Of a text's tokens 15 % are to be predicted, others in each epoch:
80 % of these are masked, 10 % exchanged for any other, 10 % left (arXiv 1810.04805, section 3.1). Validation masks stay the same.

After each epoch a line shows the validation loss, in nats a masked token. --out becomes a folder that `foveate run --task fill-mask`
opens, atomically: it does not exist before the end. Ctrl-C writes what there is.";

#[derive(Debug, Args)]
#[command(after_help = format!("{FILL_MASK_NOTES}\n\n{TRAINING_EXIT_CODES}"))]
pub(crate) struct FillMaskArgs {
    #[command(flatten)]
    pub(crate) folders: FineTuneArgs,
}

const SEQ2SEQ_NOTES: &str = "\
The data is a .csv or .tsv file whose first line names its columns, or a .jsonl file of one object a line: `source`, what the model reads,
and `target`, what it is to write. Both are encoded by the folder's tokenizer. The decoder reads a target's own tokens behind the model's
start token (teacher forcing); padding is neither seen nor counted.

After each epoch a line shows the validation loss, in nats a token of the targets, and the perplexity. --out becomes a folder that
`foveate generate` opens, atomically: it does not exist before the end. Ctrl-C writes what there is.";

#[derive(Debug, Args)]
#[command(after_help = format!("{SEQ2SEQ_NOTES}\n\n{TRAINING_EXIT_CODES}"))]
pub(crate) struct Seq2SeqArgs {
    #[command(flatten)]
    pub(crate) folders: FineTuneArgs,
    /// A text that is put before every source, as files of T5 were trained with (`translate English to German: `).
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) source_prefix: Option<String>,
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
    pub(crate) learning: LearningArgs,
}
