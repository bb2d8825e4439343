//! Flags of `train forecast`, and of `forecast`, which opens what it writes.

use std::path::PathBuf;

use clap::Args;

use super::train::{TRAINING_EXIT_CODES, TrainingArgs};
use super::{DeviceArgs, EXIT_CODES, JsonArgs, file_read, whole};
use crate::output::InputFile;

const NOTES: &str = "\
The file has two columns, timestamp,value, whose first line names them; timestamps are one interval apart. Beside the values the model reads their age
and the time of the day, of the week and of the year. It is a LogSparse Transformer (arXiv 1907.00235): causal attention over exponentially
growing distances, whose queries and keys are convolutions, and a normal distribution of each next value.

The last --windows windows of --horizon values are kept out of the training. Each is forecast from the --context values before it, by --samples paths
that are drawn value by value. Printed are R0.5 and R0.9, the quantile losses of the paper, of the model and of the values one day and one week
before, where intervals add up to these. The folder of --out, which `foveate forecast` opens, gets config.json, model.safetensors, forecasts.csv
and forecasts.svg, atomically: it does not exist before the end.";

#[derive(Debug, Args)]
#[command(after_help = format!("{NOTES}\n\n{TRAINING_EXIT_CODES}"))]
pub(crate) struct TrainForecastArgs {
    /// The series.
    pub(crate) series: PathBuf,
    /// The folder that the model and its forecasts are written to: a new or an empty one.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: PathBuf,
    /// Steps of the training.
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..=1 << 32))]
    pub(crate) steps: u64,
    /// Values that a forecast is made from [default: those of a week].
    #[arg(long, value_name = "N", value_parser = whole(1 << 15))]
    pub(crate) context: Option<u32>,
    /// Values that are forecast at once [default: those of a day].
    #[arg(long, value_name = "N", value_parser = whole(1 << 15))]
    pub(crate) horizon: Option<u32>,
    /// Windows at the end of the series that are forecast, one behind another.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = whole(1 << 12))]
    pub(crate) windows: u32,
    /// Paths that a forecast is made of, 2 to 4096.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=1 << 12))]
    pub(crate) samples: u32,
    /// See all values before, in place of those at exponentially growing distances.
    #[arg(long, conflicts_with = "local")]
    pub(crate) full: bool,
    /// Values before that are seen without gaps [default: those of half a day].
    #[arg(long, value_name = "N", value_parser = whole(1 << 15))]
    pub(crate) local: Option<u32>,
    /// Values that queries and keys are made of.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = whole(1 << 12))]
    pub(crate) kernel: u32,
    /// Channels of a hidden state.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = whole(1 << 16))]
    pub(crate) width: u32,
    /// Layers.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = whole(1 << 10))]
    pub(crate) depth: u32,
    /// Attention heads of a layer.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = whole(1 << 16))]
    pub(crate) heads: u32,
    #[command(flatten)]
    pub(crate) training: TrainingArgs,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
}

const FORECAST_NOTES: &str = "\
The values behind the last one of the series, as many as the model was trained to forecast (`foveate train forecast`, --horizon): of each the median of
the paths that are drawn, and the range that holds 80 of 100. Of the series the last values are read, as many as --context of the training and one.";

#[derive(Debug, Args)]
#[command(after_help = format!("{FORECAST_NOTES}\n\n{EXIT_CODES}"))]
pub(crate) struct ForecastArgs {
    /// A folder that `foveate train forecast` wrote.
    pub(crate) folder: PathBuf,
    /// The series: a CSV file of two columns, timestamp,value, as in the training.
    pub(crate) series: PathBuf,
    /// Paths that a forecast is made of, 2 to 4096.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=1 << 12))]
    pub(crate) samples: u32,
    /// Seed of the random draws.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    #[command(flatten)]
    pub(crate) output: JsonArgs,
}

impl ForecastArgs {
    /// All files that the flags name to be read.
    pub(crate) fn files_read(&self) -> Vec<InputFile<'_>> {
        let mut files = self.device.files_read();
        files.extend(file_read("SERIES", Some(&self.series)));
        let of_model = ["config.json", "model.safetensors"];
        files.extend(of_model.map(|name| ("FOLDER", self.folder.join(name).into())));
        files
    }
}
