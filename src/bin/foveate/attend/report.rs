//! What a run of attention found, as text and as the metadata of a file.

use std::fmt::Write;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use foveate::{Error, ErrorKind, HostTensor, Result, TensorDesc};
use serde::Serialize;

use super::COMMAND;
use super::compare::{Comparison, NOTHING};
use super::document::AttendDocument;
use super::problem::{AttentionRun, KernelReport, Results};
use crate::device::{Device, DeviceReport};
use crate::output;

#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) device: &'a Device,
    pub(super) rule: &'a AttendDocument,
    pub(super) problem: &'a AttentionRun,
    pub(super) results: &'a Results,
}

/// What a file of results says about itself.
#[derive(Serialize)]
struct Metadata<'a> {
    version: &'static str,
    device: DeviceReport,
    kernels: &'a [KernelReport],
    rule: &'a AttendDocument,
}

/// A run as JSON.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    #[serde(flatten)]
    made_by: Metadata<'a>,
    wall_ms: f64,
    /// By the device's own timestamps, where it has them.
    gpu_ms: Option<f64>,
    inputs: Vec<TensorReport<'a>>,
    results: Vec<ResultReport<'a>>,
    /// With `--compare`.
    tolerance: Option<f64>,
    all_within: Option<bool>,
}

#[derive(Serialize)]
struct TensorReport<'a> {
    name: &'a str,
    dtype: &'static str,
    shape: Vec<usize>,
}

#[derive(Serialize)]
struct ResultReport<'a> {
    #[serde(flatten)]
    tensor: TensorReport<'a>,
    /// The largest magnitude, but for rows that see no key.
    largest: f32,
    rows_without_keys: usize,
    /// Of the largest element that the file holds under this name; null where it holds none.
    error: Option<f64>,
}

impl<'a> TensorReport<'a> {
    fn of(name: &'a str, desc: &TensorDesc) -> Self {
        Self { name, dtype: desc.dtype.name(), shape: desc.shape.dims().to_vec() }
    }
}

impl<'a> Report<'a> {
    pub(super) fn document(&self, comparison: &Comparison) -> Document<'a> {
        let results = self.results.tensors.iter().map(|(name, tensor)| ResultReport {
            tensor: TensorReport::of(name, &tensor.desc()),
            largest: largest(tensor),
            rows_without_keys: rows_without_keys(tensor),
            error: comparison.error(name),
        });
        let timing = &self.results.timing;
        Document {
            made_by: self.made_by(),
            wall_ms: milliseconds(timing.wall),
            gpu_ms: timing.gpu.map(milliseconds),
            inputs: self.problem.inputs().map(|(name, desc)| TensorReport::of(name, &desc)).collect(),
            results: results.collect(),
            tolerance: comparison.tolerance(),
            all_within: comparison.tolerance().map(|_| comparison.holds()),
        }
    }

    fn made_by(&self) -> Metadata<'a> {
        Metadata {
            version: env!("CARGO_PKG_VERSION"),
            device: self.device.report(),
            kernels: &self.results.kernels,
            rule: self.rule,
        }
    }

    pub(super) fn metadata(&self) -> Result<String> {
        serde_json::to_string(&self.made_by())
            .map_err(|error| Error::new(ErrorKind::Io, COMMAND, "metadata").but_found(error))
    }

    pub(super) fn text(&self, comparison: &Comparison) -> String {
        let mut text = format!("{}\n", self.device.describe());
        for KernelReport { op, tier, kernel, reason } in &self.results.kernels {
            // Writing into a text does not fail.
            let _ = writeln!(text, "{op}: {kernel}, {tier} ({reason})");
        }
        let timing = &self.results.timing;
        let gpu =
            timing.gpu.map_or(String::new(), |gpu| format!(", {:.3} ms on the device", milliseconds(gpu)));
        let _ = writeln!(text, "one run: {:.3} ms{gpu}", milliseconds(timing.wall));
        let _ = writeln!(text, "{}", self.table(comparison));
        if let Some(tolerance) = comparison.tolerance() {
            let verdict = if comparison.holds() { "all within" } else { "FAILED: beyond" };
            let _ = writeln!(text, "{verdict} {tolerance:.1e} of the largest element");
        }
        text
    }

    fn table(&self, comparison: &Comparison) -> Table {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_header([
            "tensor",
            "shape",
            "largest",
            "error, of largest",
        ]);
        for (name, desc) in self.problem.inputs() {
            table.add_row([output::one_line(name, 40), desc.to_string(), "given".into(), String::new()]);
        }
        for (name, tensor) in &self.results.tensors {
            let error = comparison.error(name).map_or_else(|| "-".into(), |error| format!("{error:.1e}"));
            table.add_row([
                output::one_line(name, 40),
                tensor.desc().to_string(),
                match rows_without_keys(tensor) {
                    0 => format!("{:.4e}", largest(tensor)),
                    1 => format!("{:.4e}, and 1 row sees no key", largest(tensor)),
                    rows => format!("{:.4e}, and {rows} rows see no key", largest(tensor)),
                },
                error,
            ]);
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

/// The largest magnitude, but for rows that see no key.
fn largest(tensor: &HostTensor) -> f32 {
    let values = tensor.to_f32();
    values.iter().filter(|x| !is_nothing(x)).map(|x| x.abs()).fold(0.0, f32::max)
}

/// Log-sum-exps of rows that see no key.
fn rows_without_keys(tensor: &HostTensor) -> usize {
    tensor.to_f32().iter().filter(|x| is_nothing(x)).count()
}

fn is_nothing(x: &f32) -> bool {
    f64::from(*x) <= NOTHING
}

fn milliseconds(time: Duration) -> f64 {
    1e3 * time.as_secs_f64()
}
