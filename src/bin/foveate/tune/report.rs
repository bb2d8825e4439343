//! What was found, as a table and as JSON.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use foveate::gpu::Rate;
use serde::Serialize;

use super::trial::{Choice, Fate, Timed, Trial};
use crate::device::DeviceReport;

/// One run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) version: &'static str,
    /// With the kernel shapes that the profile holds.
    pub(super) device: DeviceReport,
    pub(super) settings: Vec<Choice>,
}

const HEADER: [&str; 7] = ["setting", "problem", "default", "best", "ratio", "rate", "default's"];

impl Report {
    /// The winners, and the defaults that stay.
    pub(super) fn text(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_header(HEADER);
        let mut notes = String::new();
        for choice in &self.settings {
            choice.rows().into_iter().for_each(|row| {
                table.add_row(row);
            });
            for trial in choice.trials.iter().filter(|trial| matches!(trial.fate, Fate::Wrong { .. })) {
                notes += &format!("{}\n", Line(choice.setting, trial));
            }
            if let Some(note) = &choice.note {
                notes += &format!("{}: {note}\n", choice.setting);
            }
        }
        for column in table.column_iter_mut().skip(4) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if !self.settings.iter().any(Choice::is_measured) {
            notes += "nothing was measured: the profile holds the shapes that are in force without it; a higher --budget, or a look at the \
                      notes above, may help\n";
        }
        format!("\n{table}\n{notes}")
    }
}

impl Choice {
    /// Whether any shape was timed.
    fn is_measured(&self) -> bool {
        self.trials.iter().any(|trial| trial.problems().is_some())
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let measured = self.trials.iter().filter_map(Trial::problems).max_by_key(|problems| problems.len());
        match (self.best.as_ref().and_then(|best| Some((&best.candidate, best.problems()?))), measured) {
            (Some((best, problems)), _) => {
                problems.iter().map(|timed| self.row(best, timed, timed.ratio, timed.rate)).collect()
            }
            (None, Some(problems)) => {
                problems.iter().map(|timed| self.row("default", timed, 1.0, timed.default_rate)).collect()
            }
            (None, None) => vec![vec![self.setting.into(), "-".into(), self.default.clone(), "-".into()]],
        }
    }

    fn row(&self, best: &str, timed: &Timed, ratio: f64, rate: Rate) -> Vec<String> {
        vec![
            self.setting.into(),
            timed.problem.clone(),
            self.default.clone(),
            best.into(),
            format!("{ratio:.2}"),
            shown(rate),
            shown(timed.default_rate),
        ]
    }
}

/// A trial as one line, behind the setting's name.
pub(super) struct Line<'a>(pub(super) &'static str, pub(super) &'a Trial);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(setting, Trial { candidate, fate, .. }) = self;
        write!(f, "{setting} {candidate}: ")?;
        match fate {
            Fate::Measured { problems } => {
                let words: Vec<String> = problems
                    .iter()
                    .map(|timed| format!("{:.2} ({}, {})", timed.ratio, timed.problem, shown(timed.rate)))
                    .collect();
                f.write_str(&words.join(", "))
            }
            Fate::Skipped { reason } => write!(f, "skipped: {reason}"),
            Fate::Wrong { reason } => write!(f, "WRONG: {reason}"),
        }
    }
}

fn shown(rate: Rate) -> String {
    match rate {
        Rate::GflopPerSecond(rate) => format!("{rate:.1} GFLOP/s"),
        Rate::GbPerSecond(rate) => format!("{rate:.1} GB/s"),
    }
}

#[cfg(test)]
mod tests {
    use foveate::runtime;

    use super::*;
    use crate::device::Device;

    #[test]
    fn a_run_that_measured_nothing_says_so() {
        let choice = Choice {
            setting: "matmul",
            default: "8x8".into(),
            best: None,
            trials: Vec::new(),
            note: Some("no memory".into()),
        };
        let device = Device::from(runtime::Device::CpuF64).report();
        let text = Report { version: "0", device, settings: vec![choice] }.text();
        assert!(text.contains("matmul: no memory\n") && text.contains("nothing was measured: "), "{text}");
    }
}
