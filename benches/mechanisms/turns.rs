//! Rows that are timed in turn, for comparisons that a noisy machine leaves valid.

use std::collections::BTreeMap;

use foveate::check::Problem;
use foveate::gpu::{Context, Program, Session};
use foveate::{HostTensor, Plan, Result, Value};

/// A graph that is timed.
pub(crate) struct Row {
    name: String,
    session: Session,
    seconds: Vec<f64>,
}

impl Row {
    /// What `build` gives is computed.
    pub(crate) fn new(
        context: &Context,
        name: impl Into<String>,
        build: impl FnOnce(&mut Problem) -> Result<Vec<Value>>,
    ) -> Result<Self> {
        let mut problem = Problem::default();
        for (i, value) in build(&mut problem)?.into_iter().enumerate() {
            problem.graph.output(&i.to_string(), value)?;
        }
        let plan = Plan::new(&problem.graph, context.caps())?;
        let session = Session::new(&Program::new(context, &plan)?, &problem.inputs())?;
        Ok(Self { name: name.into(), session, seconds: Vec::new() })
    }

    /// What a run of it gives, by number.
    pub(crate) fn outputs(&mut self) -> Result<BTreeMap<String, HostTensor>> {
        self.session.run()?;
        self.session.read()
    }

    pub(crate) fn median(&self) -> f64 {
        median(self.seconds.clone())
    }

    /// The median of this row's time over that of `other` in the same turn.
    pub(crate) fn over(&self, other: &Self) -> f64 {
        median(self.seconds.iter().zip(&other.seconds).map(|(own, other)| own / other).collect())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Runs all rows `turns` times in turn, and once before, which makes pipelines and pages.
pub(crate) fn time(rows: &mut [Row], turns: usize) -> Result<()> {
    for turn in 0..=turns {
        for row in &mut *rows {
            let timing = row.session.run()?;
            if turn > 0 {
                row.seconds.push(timing.gpu.unwrap_or(timing.wall).as_secs_f64());
            }
        }
    }
    for row in rows {
        println!("  {:<58}{:>11.3} ms", row.name, 1e3 * row.median());
    }
    Ok(())
}
