//! What the benchmark found, as JSON, CSV and a table.

use comfy_table::{CellAlignment, Table, presets};
use foveate::{Error, ErrorKind, Result};
use serde::Serialize;

use crate::device::DeviceReport;
use crate::measure::Quartiles;
use crate::output;

use super::answer::Answer;
use super::headline::{ATTENTION, Headline};
use super::row::Measurement;
use super::subject::Distance;

/// One run of the benchmark.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) version: &'static str,
    pub(super) device: DeviceReport,
    pub(super) dtype: &'static str,
    pub(super) activations: Source,
    pub(super) headline: Option<HeadlineOutcome>,
    pub(super) rows: Vec<Row>,
    /// What the rows say of the longest length that was timed.
    pub(super) answers: Vec<Answer>,
}

/// What the rows were run on.
#[derive(Debug, Serialize)]
pub(super) struct Source {
    pub(super) source: String,
    pub(super) time: usize,
    pub(super) heads: usize,
    pub(super) channels: usize,
}

/// The headline rates, or why there are none.
#[derive(Debug, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(super) enum HeadlineOutcome {
    Measured(Headline),
    Failed { reason: String },
    NotRun { reason: String },
}

/// A method at a length.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) method: &'static str,
    pub(super) length: usize,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
}

/// What became of a row.
#[derive(Debug, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(super) enum Outcome {
    Measured(Measurement),
    /// It gave a wrong result, so it was not timed.
    Failed {
        reason: String,
    },
    /// It exceeds what the device offers.
    NotRun {
        reason: String,
    },
}

impl Row {
    pub(super) fn measurement(&self) -> Option<&Measurement> {
        if let Outcome::Measured(measurement) = &self.outcome { Some(measurement) } else { None }
    }

    /// Length and the best clock's milliseconds, when it was timed.
    pub(super) fn point(&self) -> Option<(f64, f64)> {
        self.measurement().map(|measurement| (self.length as f64, measurement.times.best().median))
    }
}

/// The interquartile range, over the median, from which on a time is not to be relied on.
const WIDE: f64 = 0.2;

/// Rows of wide spread that are named.
const SHOWN: usize = 4;

const MIB: f64 = (1 << 20) as f64;

/// What a cell without a value shows.
const ABSENT: &str = "-";

const HEADER: [&str; 15] = [
    "method",
    "length",
    "GPU ms",
    "wall ms",
    "IQR",
    "first ms",
    "GFLOP/s",
    "memory",
    "working",
    "exact",
    "off exact",
    "of max",
    "mean off",
    "cosine",
    "x unfused",
];

impl Report {
    pub(super) fn failed(&self) -> bool {
        matches!(self.headline, Some(HeadlineOutcome::Failed { .. }))
            || self.rows.iter().any(|row| matches!(row.outcome, Outcome::Failed { .. }))
    }

    /// Fills in how each row of `length` compares with the row of `baseline`.
    pub(super) fn compare_with(&mut self, baseline: &str, length: usize) {
        let best = |row: &Row| row.measurement().map(|measurement| measurement.times.best().median);
        let of_length = |row: &&Row| row.length == length;
        let unfused = self.rows.iter().filter(of_length).find(|row| row.method == baseline).and_then(best);
        for row in self.rows.iter_mut().filter(|row| row.length == length) {
            if let Outcome::Measured(measurement) = &mut row.outcome {
                measurement.times_unfused = unfused.map(|time| time / measurement.times.best().median);
            }
        }
    }

    /// The report as people read it.
    pub(super) fn text(&self) -> String {
        let Source { source, time, heads, channels } = &self.activations;
        let mut text = format!("foveate {} on {} ({})\n", self.version, self.device.name, self.device.kind);
        text += &format!(
            "{source}: {time} tokens, repeated where more are needed; {heads} heads of {channels}, {}\n",
            self.dtype
        );
        if let Some(tuning) = &self.device.tuning {
            text += &format!("{tuning}\n");
        }
        if let Some(checks) = self.device.runtime_checks {
            text += &format!("checked at run time: {checks}\n");
        }
        if let Some(headline) = &self.headline {
            text += &headline.text();
        }
        text += &format!("\n{}\n", self.table());
        for row in &self.rows {
            if let Outcome::Failed { reason } = &row.outcome {
                text += &format!("{} at {} FAILED: {reason}\n", row.method, row.length);
            }
        }
        text += &self.not_run();
        text += &self.spread_note();
        for answer in &self.answers {
            text += &format!("{}\n", answer.text());
        }
        text
    }

    /// A sentence for each length and reason for which rows were not run.
    fn not_run(&self) -> String {
        let mut groups: Vec<((usize, &str), Vec<&str>)> = Vec::new();
        for row in &self.rows {
            let Outcome::NotRun { reason } = &row.outcome else { continue };
            let key = (row.length, reason.as_str());
            match groups.iter_mut().find(|(found, _)| *found == key) {
                Some((_, methods)) => methods.push(row.method),
                None => groups.push((key, vec![row.method])),
            }
        }
        let sentence = |((length, reason), methods): ((usize, &str), Vec<&str>)| {
            output::wrapped(&format!("{} at {length} not run: {reason}", methods.join(", "))) + "\n"
        };
        groups.into_iter().map(sentence).collect()
    }

    /// A warning where times of one row lie far apart.
    fn spread_note(&self) -> String {
        let wide: Vec<String> = self
            .rows
            .iter()
            .filter_map(|row| Some((row, row.measurement()?.times.best().spread())))
            .filter(|(_, spread)| *spread > WIDE)
            .map(|(row, spread)| format!("{} at {} ({:.0}%)", row.method, row.length, 100.0 * spread))
            .collect();
        if wide.is_empty() {
            return String::new();
        }
        let shown = wide.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more =
            if wide.len() > SHOWN { format!(" and {} more", wide.len() - SHOWN) } else { String::new() };
        format!(
            "warning: times vary by more than {:.0}% (IQR) in {shown}{more}: something else may have been at work; a quieter machine or more \
             --repeats tell more\n",
            100.0 * WIDE
        )
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_header(HEADER);
        for row in &self.rows {
            table.add_row(row.cells());
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    /// One line per row, numbers unrounded, times in milliseconds, sizes in bytes.
    pub(super) fn csv(&self) -> Result<String> {
        let refused =
            |error: &dyn std::fmt::Display| Error::new(ErrorKind::Io, "output", "csv").but_found(error);
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(CSV_HEADER).map_err(|error| refused(&error))?;
        for row in &self.rows {
            writer.write_record(row.csv_fields()).map_err(|error| refused(&error))?;
        }
        let bytes = writer.into_inner().map_err(|error| refused(&error))?;
        String::from_utf8(bytes).map_err(|error| refused(&error))
    }
}

impl HeadlineOutcome {
    fn text(&self) -> String {
        match self {
            Self::Measured(headline) => {
                let [time, heads, channels] = ATTENTION;
                format!(
                    "matmul 1024 x 1024 x 1024 f32: {:.1} GFLOP/s, {:.2} times the unchecked classic kernel's {:.1}\n\
                     exact attention {time} tokens, {heads} heads of {channels}, f32: {:.1} GFLOP/s, {:.2} of the \
                     matmul's rate\n",
                    headline.matmul_gflops,
                    headline.matmul_times_classic,
                    headline.classic_matmul_gflops,
                    headline.attention_gflops,
                    headline.attention_of_matmul,
                )
            }
            Self::Failed { reason } => format!("matmul and attention rates FAILED: {reason}\n"),
            Self::NotRun { reason } => format!("matmul and attention rates not run: {reason}\n"),
        }
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let mut cells = vec![self.method.to_owned(), self.length.to_string()];
        match &self.outcome {
            Outcome::Measured(measurement) => cells.extend(measurement.cells()),
            Outcome::Failed { .. } => cells.push("FAILED".into()),
            Outcome::NotRun { .. } => cells.push("not run".into()),
        }
        cells.resize(HEADER.len(), ABSENT.into());
        cells
    }

    fn csv_fields(&self) -> Vec<String> {
        let (status, reason) = match &self.outcome {
            Outcome::Measured(_) => ("measured", ""),
            Outcome::Failed { reason } => ("failed", reason.as_str()),
            Outcome::NotRun { reason } => ("not_run", reason.as_str()),
        };
        let mut fields = vec![self.method.to_owned(), self.length.to_string(), status.into()];
        fields.extend(self.measurement().map(Measurement::csv_fields).unwrap_or_default());
        fields.resize(CSV_HEADER.len() - 1, String::new());
        fields.push(reason.to_owned());
        fields
    }
}

const CSV_HEADER: [&str; 23] = [
    "method",
    "length",
    "status",
    "gpu_ms",
    "gpu_ms_first_quartile",
    "gpu_ms_third_quartile",
    "wall_ms",
    "wall_ms_first_quartile",
    "wall_ms_third_quartile",
    "runs",
    "first_call_ms",
    "gflops",
    "total_bytes",
    "working_bytes",
    "error_of_budget",
    "exact",
    "off_exact",
    "off_exact_relative",
    "off_exact_mean",
    "cosine",
    "is_exact",
    "times_unfused",
    "reason",
];

impl Measurement {
    /// The columns of the table after the length.
    fn cells(&self) -> Vec<String> {
        let Self { times, first_call_ms, gflops, memory, off_exact, times_unfused, .. } = self;
        let mib = |bytes: u64| format!("{:.2}", bytes as f64 / MIB);
        vec![
            times.gpu_ms.map_or(ABSENT.into(), |gpu| milliseconds(gpu.median)),
            milliseconds(times.wall_ms.median),
            format!("{:.0}%", 100.0 * times.best().spread()),
            milliseconds(*first_call_ms),
            gflops.map_or(ABSENT.into(), |gflops| format!("{gflops:.1}")),
            memory.map_or(ABSENT.into(), |memory| mib(memory.total_bytes)),
            memory.map_or(ABSENT.into(), |memory| mib(memory.working_bytes)),
            off_exact.exact.name().into(),
            format!("{:.1e}", off_exact.max_abs),
            format!("{:.1e}", off_exact.relative),
            format!("{:.1e}", off_exact.mean_abs),
            format!("{:.5}", off_exact.cosine),
            times_unfused.map_or(ABSENT.into(), |times| format!("{times:.2}")),
        ]
    }

    /// The columns of the CSV from `gpu_ms` to `times_unfused`.
    fn csv_fields(&self) -> Vec<String> {
        let quartiles = |times: Option<Quartiles>| {
            times.map_or([const { String::new() }; 3], |times| {
                [times.median, times.first, times.third].map(|time| time.to_string())
            })
        };
        let mut fields = quartiles(self.times.gpu_ms).to_vec();
        fields.extend(quartiles(Some(self.times.wall_ms)));
        fields.extend([
            self.times.runs.to_string(),
            self.first_call_ms.to_string(),
            self.gflops.map(|gflops| gflops.to_string()).unwrap_or_default(),
        ]);
        let bytes = self
            .memory
            .map(|memory| [memory.total_bytes, memory.working_bytes].map(|bytes| bytes.to_string()));
        fields.extend(bytes.unwrap_or_default());
        fields.extend([self.error_of_budget.to_string(), self.off_exact.exact.name().into()]);
        let Distance { max_abs, relative, mean_abs, cosine, .. } = self.off_exact;
        fields.extend([max_abs, relative, mean_abs, cosine].map(|x| x.to_string()));
        fields.push(self.is_exact.to_string());
        fields.push(self.times_unfused.map(|times| times.to_string()).unwrap_or_default());
        fields
    }
}

/// Three digits or more.
fn milliseconds(time: f64) -> String {
    match time {
        t if t >= 100.0 => format!("{t:.0}"),
        t if t >= 10.0 => format!("{t:.1}"),
        t if t >= 1.0 => format!("{t:.2}"),
        t => format!("{t:.3}"),
    }
}
