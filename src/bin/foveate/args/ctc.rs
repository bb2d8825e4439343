//! Flags of `train ctc`.

use std::path::PathBuf;

use clap::Args;

use super::train::{TRAINING_EXIT_CODES, TrainingArgs};
use super::{DeviceArgs, whole};

const NOTES: &str = "\
The folder holds recordings, NAME.wav, and beside each what is said in it, NAME.txt. The model reads log-mel features and scores the letters that the
texts are written with; it is a Conformer (arXiv 2005.08100), by default a small one.

A line at each evaluation shows the loss, the word error rate and the character error rate, of the folder of --validation where there is one, else of the
recordings themselves: how many words or letters must be exchanged, put in or left out, for each of the text. --out becomes a folder that
`foveate run --task transcribe` opens, atomically: it does not exist before the end. Ctrl-C writes what there is.";

#[derive(Debug, Args)]
#[command(after_help = format!("{NOTES}\n\n{TRAINING_EXIT_CODES}"))]
pub(crate) struct CtcArgs {
    /// The folder of recordings and texts.
    pub(crate) folder: PathBuf,
    /// The folder that the trained model is written to: a new or an empty one.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: PathBuf,
    /// A folder like the first to evaluate on; its texts may have only letters that the first has.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) validation: Option<PathBuf>,
    /// Steps of the training.
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..=1 << 32))]
    pub(crate) steps: u64,
    /// Steps between evaluations.
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) evaluate_every: u64,
    /// End when the word error rate is no higher than this.
    #[arg(long, value_name = "RATE")]
    pub(crate) stop_at: Option<f64>,
    /// Channels of a hidden state.
    #[arg(long, value_name = "N", default_value_t = 96, value_parser = whole(1 << 16))]
    pub(crate) width: u32,
    /// Layers.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = whole(1 << 10))]
    pub(crate) depth: u32,
    /// Attention heads of a layer.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = whole(1 << 16))]
    pub(crate) heads: u32,
    /// Channels between the two dense layers of a feed-forward network [default: 4 times the width].
    #[arg(long, value_name = "N", value_parser = whole(1 << 20))]
    pub(crate) feed_forward: Option<u32>,
    /// Taps of a layer's convolution, an odd number.
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = whole(1 << 12))]
    pub(crate) kernel: u32,
    /// Channels of the convolutions that take every fourth frame.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = whole(1 << 16))]
    pub(crate) subsampling: u32,
    /// Log-mel features of a frame.
    #[arg(long, value_name = "N", default_value_t = 80, value_parser = whole(1 << 12))]
    pub(crate) mels: u32,
    /// Samples a second that recordings are brought to.
    #[arg(long, value_name = "HZ", default_value_t = 16_000, value_parser = whole(384_000))]
    pub(crate) rate: u32,
    /// Train a causal model: attention sees this many frames of 40 ms before its own and none behind, and convolutions see none behind.
    #[arg(long, value_name = "FRAMES")]
    pub(crate) left_context: Option<u32>,
    #[command(flatten)]
    pub(crate) training: TrainingArgs,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
}
