//! `foveate check`: every conformance case on one adapter, one line each.

use std::fmt;
use std::sync::Arc;

use foveate::check::{Case, Outcome, conform};
use foveate::gpu::Context;
use foveate::ops::{CATALOGUE, Entry};
use foveate::{Error, ErrorKind, Result};
use serde::Serialize;

use crate::Verdict;
use crate::args::{CheckArgs, DeviceArgs};
use crate::catalogue;
use crate::device::{Adapter, DeviceReport};
use crate::output::{self, Delivery, Lines, Sink};

#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    device: DeviceReport,
    passed: usize,
    failed: usize,
    unsupported: usize,
    cases: Vec<CaseReport>,
}

#[derive(Debug, Serialize)]
struct CaseReport {
    op: &'static str,
    case: String,
    #[serde(flatten)]
    outcome: CaseOutcome,
}

#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
enum CaseOutcome {
    Ok { error_of_budget: f64 },
    Failed { reason: String },
    Unsupported { reason: String },
}

pub(crate) fn run(args: &CheckArgs) -> Result<Verdict> {
    let entries = selected(args.op.as_deref())?;
    let json = args.output.open("check")?;
    output::check(&json, &args.device.files_read())?;
    // Before any case is made, which takes a while.
    let adapter = adapter(&args.device)?;
    let cases: Vec<Arc<Case>> =
        entries.iter().map(catalogue::cases).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    let mut lines = Lines::new(json.as_ref().is_some_and(Sink::is_stdout));
    let bar = output::progress(cases.len());
    let mut reports = Vec::with_capacity(cases.len());
    for case in &cases {
        bar.set_message(case.op());
        let report = CaseReport::of(case, &adapter.context);
        lines.print(&bar, &report);
        reports.push(report);
        bar.inc(1);
        if json.is_none() {
            // Nobody would learn of the others.
            lines.outcome()?;
        }
    }
    bar.finish_and_clear();
    let report = Report::of(&adapter, reports);
    let mut delivery = Delivery::default();
    delivery.note(lines.outcome());
    delivery.put(json.as_ref(), || output::json(&report));
    delivery.end(|| format!("{report}\n"))?;
    Ok(if report.failed == 0 { Verdict::Sound } else { Verdict::Unsound })
}

/// All ops or one.
fn selected(op: Option<&str>) -> Result<&'static [Entry]> {
    op.map_or(Ok(CATALOGUE), |op| catalogue::entry("check", "--op", op).map(std::slice::from_ref))
}

/// The adapter to check. The CPU reference is what adapters are compared with, so it cannot stand in for one.
fn adapter(args: &DeviceArgs) -> Result<Adapter> {
    if args.device != "cpu" {
        return Adapter::open(args);
    }
    Err(Error::new(ErrorKind::Argument, "check", "--device")
        .expecting("an adapter (auto, gpu or part of its name)")
        .but_found("cpu, the reference that adapters are checked against"))
}

impl CaseReport {
    fn of(case: &Case, context: &Context) -> Self {
        let outcome = match conform(case, context, context.caps()) {
            Outcome::Passed(deviation) => CaseOutcome::Ok { error_of_budget: deviation.of_budget },
            Outcome::Failed(reason) => CaseOutcome::Failed { reason },
            Outcome::Unsupported(error) => CaseOutcome::Unsupported { reason: error.to_string() },
        };
        Self { op: case.op(), case: case.label().to_owned(), outcome }
    }
}

impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { op, case, outcome } = self;
        match outcome {
            CaseOutcome::Ok { error_of_budget } => {
                write!(f, "ok           {op:<20}  {case}: {error_of_budget:.3} of the budget")
            }
            CaseOutcome::Failed { reason } => write!(f, "FAILED       {op:<20}  {case}: {reason}"),
            CaseOutcome::Unsupported { reason } => write!(f, "unsupported  {op:<20}  {case}: {reason}"),
        }
    }
}

impl Report {
    fn of(adapter: &Adapter, cases: Vec<CaseReport>) -> Self {
        let count =
            |wanted: fn(&CaseOutcome) -> bool| cases.iter().filter(|case| wanted(&case.outcome)).count();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            device: adapter.report(),
            passed: count(|outcome| matches!(outcome, CaseOutcome::Ok { .. })),
            failed: count(|outcome| matches!(outcome, CaseOutcome::Failed { .. })),
            unsupported: count(|outcome| matches!(outcome, CaseOutcome::Unsupported { .. })),
            cases,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, passed, failed, unsupported, cases, .. } = self;
        write!(
            f,
            "{} cases on {}: {passed} ok, {failed} failed, {unsupported} unsupported",
            cases.len(),
            device.name
        )
    }
}
