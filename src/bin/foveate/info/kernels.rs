//! Which kernels an op gets under given capabilities: found by planning its conformance cases, so the list cannot drift from
//! what really runs.

use std::fmt;

use foveate::check::Case;
use foveate::ops::Entry;
use foveate::{Caps, DType, ErrorKind, Plan, Result};
use serde::Serialize;

/// One op with elements of one type.
#[derive(Debug, Serialize)]
pub(super) struct OpReport {
    op: &'static str,
    dtype: &'static str,
    choices: Vec<ChoiceReport>,
}

/// A kernel and how many cases get it, most first.
#[derive(Debug, Serialize)]
struct ChoiceReport {
    #[serde(flatten)]
    choice: Chosen,
    cases: usize,
    example: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Chosen {
    tier: &'static str,
    kernel: String,
    reason: String,
}

/// What `ops` get: f32, f16, and those of integers.
pub(super) fn reports(ops: &[Entry], caps: &Caps) -> Result<Vec<OpReport>> {
    let mut reports = Vec::new();
    for entry in ops {
        let mut by_dtype =
            DType::ALL.map(|dtype| OpReport { op: entry.name, dtype: dtype.name(), choices: Vec::new() });
        for case in (entry.cases)() {
            let (dtype, chosen) = choose(&case, caps)?;
            if let Some(report) = by_dtype.iter_mut().find(|report| report.dtype == dtype.name()) {
                report.count(chosen, case.label());
            }
        }
        for report in &mut by_dtype {
            report.choices.sort_by_key(|choice| std::cmp::Reverse(choice.cases));
        }
        reports.extend(by_dtype.into_iter().filter(|report| !report.choices.is_empty()));
    }
    Ok(reports)
}

/// The type of the case's first input, and what its op becomes.
fn choose(case: &Case, caps: &Caps) -> Result<(DType, Chosen)> {
    let problem = case.problem()?;
    let dtype = match problem.graph.inputs().first() {
        Some((_, value)) => problem.desc(*value)?.dtype,
        None => DType::F32,
    };
    let plan = match Plan::new(&problem.graph, caps) {
        Ok(plan) => plan,
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Limit) => {
            return Ok((
                dtype,
                Chosen { tier: "unsupported", kernel: "none".into(), reason: error.to_string() },
            ));
        }
        Err(error) => return Err(error),
    };
    let step = plan.report().iter().find(|step| step.op == case.op());
    let chosen = match step.and_then(|step| step.choice.as_ref()) {
        Some(choice) => Chosen {
            tier: choice.tier.name(),
            kernel: choice.kernel.to_string(),
            reason: choice.reason.to_string(),
        },
        None => Chosen {
            tier: "view",
            kernel: "none".into(),
            reason: "the result shares its input's memory".into(),
        },
    };
    Ok((dtype, chosen))
}

impl OpReport {
    fn count(&mut self, chosen: Chosen, label: &str) {
        match self.choices.iter_mut().find(|report| report.choice == chosen) {
            Some(report) => report.cases += 1,
            None => self.choices.push(ChoiceReport { choice: chosen, cases: 1, example: label.to_owned() }),
        }
    }
}

impl fmt::Display for OpReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { op, dtype, choices } = self;
        writeln!(f, "  {op}, {dtype}")?;
        for ChoiceReport { choice: Chosen { tier, kernel, reason }, cases, example } in choices {
            let cases = if *cases == 1 { "one case".into() } else { format!("{cases} cases, such as") };
            writeln!(f, "    {tier}: {kernel} ({reason}); {cases} {example}")?;
        }
        Ok(())
    }
}
