//! Flags of the commands that use trained models: `run`, `inspect` and `generate`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use foveate::models::Task;
use foveate::train::COPIED_FILES;

use super::{CacheArgs, DeviceArgs, EXIT_CODES, JsonArgs, StorageArgs, file_read, mechanisms, whole};
use crate::output::InputFile;

const RUN_NOTES: &str = "\
The folder is as Hugging Face's libraries write it: config.json, model.safetensors (or shards and their index), and
for texts tokenizer.json, vocab.txt, vocab.json with merges.txt, or a SentencePiece model. Without --text, --ids and --input,
texts are read from stdin, one a line. Recurrent models (Transformer-XL) read each text in segments of 128 tokens.

    foveate run FOLDER --task transcribe a.wav b.wav

prints what is said in recordings, and when each word is, by a model that was trained with CTC.

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
    /// How likely each text is to a causal language model: the sum of its tokens' log-probabilities but for the first. To an
    /// encoder-decoder, how likely a target (--pair) is, given a source text (--text): of all its tokens.
    Score,
    /// What is said in recordings, and when.
    Transcribe,
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
            Self::Transcribe => "transcribe",
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
            Self::Transcribe => Task::Transcribe,
        }
    }
}

/// The help of `--attention`.
fn attention_help() -> String {
    format!(
        "Put another mechanism in the place of the model's attention, in all layers or in those named, and print how far the results are from exact \
         ones, and the time: '{{\"nystrom\": {{\"landmarks\": 64}}}}', '{{\"window\": {{\"left\": 64, \"right\": 64}}, \"layers\": [0, 1]}}', or @FILE. Given \
         several times, a table of all, beside the model's own results. Those that name tensors are for `foveate attend` alone; the docs of \
         `foveate::nn::Mechanism` say more:\n{}",
        mechanisms()
    )
}

#[derive(Debug, Args)]
#[command(after_help = RUN_NOTES)]
pub(crate) struct RunArgs {
    /// The model's folder.
    pub(crate) folder: PathBuf,
    /// For transcribe, recordings: WAV files of one or two channels, at any rate.
    #[arg(value_name = "WAV", conflicts_with_all = ["text", "ids", "input", "prompt", "truncate", "batch_tokens", "attention", "sweep", "output"])]
    pub(crate) sounds: Vec<PathBuf>,
    /// For transcribe, beams of the prefix search; with 1 the likeliest symbol of every frame is taken.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole(1 << 12))]
    pub(crate) beams: u32,
    /// A text; may be given several times.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) text: Vec<String>,
    /// The second text of a pair: one for each --text, in the same order. For --task answer, the passage; for --task score by an
    /// encoder-decoder, the target.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, requires = "text")]
    pub(crate) pair: Vec<String>,
    /// Token ids with commas or spaces between them, taken as they are: no special tokens are added; may be given several times.
    #[arg(long, value_name = "\"1 2 3\"", allow_hyphen_values = true)]
    pub(crate) ids: Vec<String>,
    /// Which of two texts each of the --ids is of, 0 or 1: one list for each --ids, in the same order. For --task score by an
    /// encoder-decoder, 0 is the source text and 1 the target behind it, without a start token.
    #[arg(long, value_name = "\"0 0 1\"", requires = "ids", allow_hyphen_values = true)]
    pub(crate) types: Vec<String>,
    /// A file of texts in UTF-8, one a line, blank lines left out; `-` is stdin.
    #[arg(long, value_name = "FILE|-")]
    pub(crate) input: Option<PathBuf>,
    /// The task.
    #[arg(long, value_enum, default_value_t = TaskName::Embed)]
    pub(crate) task: TaskName,
    /// For embed, the name of a prompt that the folder has for queries, documents and the like; it is put before each text. Where nothing is
    /// said, the folder's own default.
    #[arg(long, value_name = "NAME")]
    pub(crate) prompt: Option<String>,
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    /// Cut texts that are longer than the model takes, in place of refusing them: before their closing special token; ids at
    /// their end.
    #[arg(long)]
    pub(crate) truncate: bool,
    /// Tokens that are run at once; fewer take less memory. Of an encoder-decoder that scores, each pair is run by itself.
    #[arg(long, value_name = "N", value_parser = whole(1 << 20))]
    pub(crate) batch_tokens: Option<u32>,
    /// For answer, the most tokens of one.
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = whole(1 << 20))]
    pub(crate) longest_answer: u32,
    /// For fill-mask and classify, how many tokens or labels to show.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = whole(1000))]
    pub(crate) top: u32,
    /// Put another mechanism in the place of the model's attention, and compare. The long help has a list of them.
    #[arg(long, value_name = "JSON|@FILE", long_help = attention_help())]
    pub(crate) attention: Vec<String>,
    /// The same for a family of settings, all of whose members are tried: lists in the place of settings, '{"nystrom": {"landmarks": [16, 32, 64]}}', or
    /// @FILE; of several lists every combination. May be given several times.
    #[arg(long, value_name = "JSON|@FILE")]
    pub(crate) sweep: Vec<String>,
    /// A chart of the families: mean distance from exact results against time.
    #[arg(long, value_name = "FILE.svg", requires = "sweep")]
    pub(crate) plot: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
    /// Write the numbers as f32. A .safetensors file holds `embeddings`, `logits` of labels, `N.hidden`, or `N.logits` (of fill-mask
    /// with `N.positions`; of score what follows each token, of an encoder-decoder first what follows its start token), N counting texts from 0; a .npy file holds all embeddings or labels' logits, or the numbers of one text.
    #[arg(long, value_name = "FILE.npy|FILE.safetensors")]
    pub(crate) output: Option<PathBuf>,
}

impl RunArgs {
    /// All files that the flags name to be read, but the pipeline cache, which is written, too.
    pub(crate) fn files_read(&self) -> Vec<InputFile<'_>> {
        let mut files = self.device.files_read();
        files.extend(model_files(&self.folder));
        let input = self.input.as_deref().filter(|path| *path != Path::new("-"));
        files.extend(file_read("--input", input));
        for (flag, texts) in [("--attention", &self.attention), ("--sweep", &self.sweep)] {
            let paths = texts.iter().map(|text| text.strip_prefix(MECHANISM_FILE).map(Path::new));
            files.extend(paths.flat_map(|path| file_read(flag, path)));
        }
        files.extend(self.sounds.iter().flat_map(|path| file_read("WAV", Some(path))));
        files
    }
}

/// What stands before the name of a file in the place of a mechanism.
pub(crate) const MECHANISM_FILE: char = '@';

/// Files that `folder` holds of a model.
fn model_files(folder: &Path) -> impl Iterator<Item = InputFile<'_>> {
    let is_of_model = |name: &str| {
        name == "config.json"
            || COPIED_FILES.contains(&name)
            || (name.starts_with("model") && name.contains(".safetensors"))
    };
    let paths = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let of_model =
        paths.filter(move |path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_of_model));
    of_model.map(|path| ("FOLDER", path.into()))
}

const INSPECT_NOTES: &str = "\
Exit codes: 0 when the model is complete; 2 when a file is missing or damaged, or weights do not fit the architecture.";

#[derive(Debug, Args)]
#[command(after_help = INSPECT_NOTES)]
pub(crate) struct InspectArgs {
    /// The model's folder.
    pub(crate) folder: PathBuf,
    /// The task, which decides which weights are needed [default: embed, or hidden of families without embeddings].
    #[arg(long, value_enum)]
    pub(crate) task: Option<TaskName>,
    /// Tokens of the batch whose memory is shown.
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = whole(1 << 20))]
    pub(crate) batch_tokens: u32,
    /// Sequences in that batch, each with one mask for fill-mask.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = whole(1 << 20))]
    pub(crate) count: u32,
    #[command(flatten)]
    pub(crate) output: JsonArgs,
}

impl InspectArgs {
    /// All files that the flags name to be read.
    pub(crate) fn files_read(&self) -> Vec<InputFile<'_>> {
        model_files(&self.folder).collect()
    }
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct GenerateArgs {
    /// A model's folder; or the checkpoint of `foveate train lm`, or the folder that it is in.
    pub(crate) model: PathBuf,
    /// What the text starts with.
    #[arg(long, value_name = "TEXT", default_value = "\n", allow_hyphen_values = true)]
    pub(crate) prompt: String,
    /// Tokens to add at most; of a byte-level model, bytes. A text longer than the model reads goes on from the last half of that; with
    /// --beams it is refused.
    #[arg(long, alias = "bytes", value_name = "N", default_value_t = 400)]
    pub(crate) tokens: usize,
    /// Below 1 likely tokens get likelier; 0 takes the likeliest.
    #[arg(long, allow_negative_numbers = true, value_name = "X", default_value_t = 0.8)]
    pub(crate) temperature: f32,
    /// Draw from this many of the likeliest tokens; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) top_k: usize,
    /// Draw from the likeliest tokens that together have this probability; 1 for all.
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    pub(crate) top_p: f32,
    /// Divide the scores of tokens that are in the text already by this; 1 changes nothing.
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub(crate) repetition_penalty: f32,
    /// Beam search for the likeliest text with this many beams, in place of drawing; the text is printed at the end.
    #[arg(long, value_name = "N", conflicts_with_all = ["temperature", "top_k", "top_p", "repetition_penalty"])]
    pub(crate) beams: Option<usize>,
    /// With beams, divide a text's log-probability by its length to this power.
    #[arg(long, value_name = "X", default_value_t = 1.0, requires = "beams", allow_negative_numbers = true)]
    pub(crate) length_penalty: f32,
    /// A token that ends the text, by its id; may be given several times. Without it, the `eos_token_id` of the folder's
    /// generation_config.json, or else of its config.json.
    #[arg(long, value_name = "ID")]
    pub(crate) stop: Vec<u32>,
    /// Seed of the random draws.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
}
