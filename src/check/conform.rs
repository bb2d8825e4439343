//! Runs one case on one device.

use std::collections::BTreeMap;

use super::budget::{Deviation, Expectation};
use super::case::{Case, Problem};
use crate::gpu::{Context, Program, Session};
use crate::kernel::Caps;
use crate::plan::Plan;
use crate::tensor::HostTensor;
use crate::{Error, ErrorKind, Result};

/// Bytes behind every buffer that nothing may touch.
const GUARD_BYTES: u64 = 256;

/// A NaN in every float type, and a length or id that means nothing.
const POISON: u8 = 0xFF;

/// The result of a case.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It holds; the worst element is within its budget.
    Passed(Deviation),
    /// It does not hold: one sentence that says what differs.
    Failed(String),
    /// The device lacks a feature the case needs, and said so with a typed error.
    Unsupported(Error),
}

/// Runs `case` on `context` with kernels chosen by `caps` (the context's own, or a less capable device's).
pub fn conform(case: &Case, context: &Context, caps: &Caps) -> Outcome {
    match try_conform(case, context, caps) {
        Ok(outcome) => outcome,
        Err(error) if error.kind() == ErrorKind::Unsupported => Outcome::Unsupported(error),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

fn try_conform(case: &Case, context: &Context, caps: &Caps) -> Result<Outcome> {
    let problem = case.problem()?;
    let plan = Plan::new(&problem.graph, caps)?;
    let program = Program::with_guard(context, &plan, GUARD_BYTES)?;
    let mut session = Session::with_guard(&program, &problem.inputs(), GUARD_BYTES)?;

    let first = poisoned_run(&mut session)?;
    if let Some(touched) = touched_guard(&session)? {
        return Ok(Outcome::Failed(format!("wrote behind the end of {touched}")));
    }
    let second = poisoned_run(&mut session)?;
    if let Some(name) = first.keys().find(|name| first[*name].bytes() != second[*name].bytes()) {
        return Ok(Outcome::Failed(format!("output {name} differs between two runs")));
    }
    compare(case, &problem, &first)
}

fn compare(case: &Case, problem: &Problem, outputs: &BTreeMap<String, HostTensor>) -> Result<Outcome> {
    let mut worst: Option<Deviation> = None;
    for (i, expectation) in Expectation::of(case, problem)?.iter().enumerate() {
        let found = &outputs[&i.to_string()];
        if found.shape().elements() != expectation.elements() {
            return Ok(Outcome::Failed(format!(
                "output {i}: the reference has {} elements",
                expectation.elements()
            )));
        }
        let deviation = expectation.deviation(found);
        if deviation.of_budget > 1.0 {
            let Deviation { of_budget, index, found, exact, .. } = deviation;
            return Ok(Outcome::Failed(format!(
                "output {i}, element {index}: expected {exact:e}, found {found:e}, {of_budget:.2} times the budget"
            )));
        }
        if worst.is_none_or(|worst| worst.of_budget < deviation.of_budget) {
            worst = Some(deviation);
        }
    }
    Ok(worst.map_or_else(|| Outcome::Failed("the case has no outputs".into()), Outcome::Passed))
}

/// Fills everything the program may write, and every guard, with poison; runs; reads back.
fn poisoned_run(session: &mut Session) -> Result<BTreeMap<String, HostTensor>> {
    let (inputs, outputs, slots) = session.buffers();
    let queue = session.context().queue();
    for buffer in outputs.iter().chain(slots) {
        queue.write_buffer(buffer, 0, &vec![POISON; buffer.size() as usize]);
    }
    for buffer in inputs {
        queue.write_buffer(buffer, buffer.size() - GUARD_BYTES, &[POISON; GUARD_BYTES as usize]);
    }
    session.run()?;
    session.read()
}

/// The first buffer whose guard is no longer poison.
fn touched_guard(session: &Session) -> Result<Option<String>> {
    let (inputs, outputs, slots) = session.buffers();
    for (kind, buffers) in [("input", inputs), ("output", outputs), ("slot", slots)] {
        for (i, buffer) in buffers.iter().enumerate() {
            let guard = session.download(buffer, buffer.size() - GUARD_BYTES, GUARD_BYTES)?;
            if guard.iter().any(|&byte| byte != POISON) {
                return Ok(Some(format!("{kind} {i}")));
            }
        }
    }
    Ok(None)
}
