//! What a run of attention found, as text and as the metadata of a file.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};
use foveate::ops::attention::RuleDocument;
use foveate::{Error, ErrorKind, HostTensor, Result};
use serde::Serialize;

use super::COMMAND;
use super::compare::Comparison;
use super::problem::{AttentionRun, KernelReport, Results};
use crate::device::{Device, DeviceReport};
use crate::output;

#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) device: &'a Device,
    pub(super) rule: &'a RuleDocument,
    pub(super) problem: &'a AttentionRun,
    pub(super) results: &'a Results,
}

/// What a file of results says about itself.
#[derive(Serialize)]
struct Metadata<'a> {
    version: &'static str,
    device: DeviceReport,
    kernels: &'a [KernelReport],
    rule: &'a RuleDocument,
}

impl Report<'_> {
    pub(super) fn metadata(&self) -> Result<String> {
        let metadata = Metadata {
            version: env!("CARGO_PKG_VERSION"),
            device: self.device.report(),
            kernels: &self.results.kernels,
            rule: self.rule,
        };
        serde_json::to_string(&metadata)
            .map_err(|error| Error::new(ErrorKind::Io, COMMAND, "metadata").but_found(error))
    }

    pub(super) fn text(&self, comparison: &Comparison) -> String {
        let mut text = format!("{}\n", self.device.describe());
        for KernelReport { op, tier, kernel, reason } in &self.results.kernels {
            // Writing into a text does not fail.
            let _ = writeln!(text, "{op}: {kernel}, {tier} ({reason})");
        }
        let milliseconds = |time: std::time::Duration| 1e3 * time.as_secs_f64();
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
                format!("{:.4e}", largest(tensor)),
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
    values.iter().map(|x| x.abs()).filter(|&x| x < 1e29).fold(0.0, f32::max)
}
