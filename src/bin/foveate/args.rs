//! The flags, and the sentences that explain them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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
    /// Verify and time attention methods on real activations.
    Bench(BenchArgs),
}

#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
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

/// Columns of the table, as `foveate bench --help` explains them.
const COLUMNS: &str = "\
Every row is verified first: against the method's own reference in f64 on up to 512 tokens, and in three
blocks of rows at the row's own length. A row that fails shows FAILED and no timing, and the exit code is 1.

Columns:
  GPU ms, wall ms   medians; GPU by the device's own timestamps, wall from recording until the device is done
  IQR               first to third quartile, over the median
  GFLOP/s           only the work that the mask leaves: 2 flops for every channel of every score and of every
                    weighted value
  memory, working   MiB that the plan binds and allocates, and the part that is neither input nor output; exact
  off exact         largest distance from exact full attention on a sample of queries; methods that hide keys
                    are far off by design
  of max            the same over the largest exact value
  x unfused         time of exact-unfused at this length over the row's";

#[derive(Debug, Args)]
#[command(after_help = COLUMNS)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
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
