//! Flags of the commands about devices and kernels: `info`, `check`, `shader`, `bench` and `tune`.

use std::path::PathBuf;

use clap::Args;

use super::{CacheArgs, DeviceArgs, EXIT_CODES, JsonArgs, ProfileArgs, file_read, whole};
use crate::output::{InputFile, Target};

#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// Only these adapters: `auto` and `gpu` for the one that other commands take, any other text for all whose names contain it.
    #[arg(long, value_name = "auto|gpu|NAME")]
    pub(crate) device: Option<String>,
    /// Also show which kernels every op gets, and why.
    #[arg(long)]
    pub(crate) ops: bool,
    /// Also show which kernels this op gets, and why.
    #[arg(long, value_name = "NAME", conflicts_with = "ops")]
    pub(crate) op: Option<String>,
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    #[command(flatten)]
    pub(crate) output: JsonArgs,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Only the cases of this op, by its name in `foveate info --ops`.
    #[arg(long, value_name = "NAME")]
    pub(crate) op: Option<String>,
    #[command(flatten)]
    pub(crate) output: JsonArgs,
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
    /// The op, by its name in `foveate info --ops`.
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
    #[command(flatten)]
    pub(crate) output: JsonArgs,
}

/// Columns of the table, as `foveate bench --help` explains them.
const COLUMNS: &str = "\
Every row is verified first: against the method's own reference in f64 on up to 512 tokens, and, at the row's
own length, in nine ranges of rows against exact attention over the keys that the method says it sees, spelled
out one by one. A row that fails shows FAILED and no timing, and the exit code is 1.

Columns:
  GPU ms, wall ms   medians; GPU by the device's own timestamps, wall from recording until the device is done
  IQR               first to third quartile, over the median
  first ms          the first call, by the wall: planning, making pipelines and buffers, upload and the first run, in which some
                    drivers compile; kernels that an earlier row has made are not made again
  GFLOP/s           only the work that the method does: 2 flops for every channel of every score and of every
                    weighted value
  memory, working   MiB that the plan binds and allocates, and the part that is neither input nor output; exact
  exact             what the method is compared with: full attention, causal (the query's own key and those before
                    it) or strictly causal (those before it), whichever its keys are a part of
  off exact         largest distance from that exact attention on a sample of queries; methods that leave keys out
                    are far off by design
  of max            the same over the largest exact value
  mean off, cosine  mean distance from that exact attention, and mean cosine with it over rows of heads
  x unfused         time of exact-unfused at this length over the row's

The last lines say which method is fastest at the longest length in place of full, causal and strictly causal attention, how far off it
is, and by how much it is faster than the fastest that leaves no key out.";

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
    /// Seconds that the run may take, verification included: lengths double as long as the next one is estimated to fit, and a row that is
    /// estimated to end too late is left out.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    pub(crate) budget: f64,
    /// Exactly these lengths, in tokens, whatever the budget.
    #[arg(long, value_name = "N,..", value_delimiter = ',', value_parser = whole(1 << 24))]
    pub(crate) lengths: Vec<u32>,
    /// Only these methods.
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', long_help = crate::bench::methods_help())]
    pub(crate) methods: Vec<String>,
    /// How activations are stored: f32 or f16.
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    pub(crate) dtype: String,
    /// Timed runs of each row; by default as many as fit in half a second, at least 3 and at most 20.
    #[arg(long, value_name = "N", value_parser = whole(10_000))]
    pub(crate) repeats: Option<u32>,
    /// A safetensors file with `query`, `key` and `value`, f16 or f32 [time, head, channel], in place of the built-in
    /// activations of all-MiniLM-L6-v2 on Moby-Dick. Longer inputs repeat it along time.
    #[arg(long, value_name = "FILE")]
    pub(crate) activations: Option<PathBuf>,
    /// Leave out the device's matmul rate and exact attention's fraction of it.
    #[arg(long)]
    pub(crate) no_headline: bool,
    #[command(flatten)]
    pub(crate) output: JsonArgs,
    /// Write the rows as CSV; `-` is stdout, in place of the table.
    #[arg(long, value_name = "FILE|-")]
    pub(crate) csv: Option<Target>,
    /// Draw time against length as SVG.
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
}

impl BenchArgs {
    /// All files that the flags name to be read, but the pipeline cache, which is written, too.
    pub(crate) fn files_read(&self) -> Vec<InputFile<'_>> {
        let mut files = self.device.files_read();
        files.extend(file_read("--activations", self.activations.as_deref()));
        files
    }
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
    /// The adapter: `auto` takes the best and says which, `gpu` takes it without saying so, any other text takes the first whose name contains it.
    #[arg(long, value_name = "auto|gpu|NAME", default_value = "auto")]
    pub(crate) device: String,
    /// The file that the profile is written to, atomically.
    #[arg(long, value_name = "FILE.json")]
    pub(crate) out: Option<PathBuf>,
    /// Seconds that the run may take: a shape that is estimated to end later is not begun, but for the first; one that is begun is finished.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    pub(crate) budget: f64,
    #[command(flatten)]
    pub(crate) output: JsonArgs,
}
