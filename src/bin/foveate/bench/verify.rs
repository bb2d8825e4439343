//! Whether a result is right, before anything is timed.
//!
//! Nothing here sets a tolerance of its own. [`conform`] runs a short call of few tokens against the method's f64 reference. Of the
//! long result, which is what gets timed, some rows are held to the f64 reference of an excerpt: those queries over the keys they
//! see, where a dense mask says pair by pair what is seen, as it is spelled out beside the method's rule. A mechanism has no excerpts, as
//! each row knows all of the text: up to [`MOST_WHOLE`] tokens its result is held to the reference as a whole. Either way the budget is
//! derived from that very problem.

use std::time::Instant;

use foveate::check::{Case, Deviation, Expectation, Outcome, Problem, conform, exp_ulps};
use foveate::gpu::Context;
use foveate::ops::attention::{Blocked, Mask, Score};
use foveate::{Caps, Error, HostTensor};

use super::activations::{Inputs, NAMES};
use super::methods::{Build, Method, Qkv};
use super::subject::Excerpt;

/// The longest text over which a mechanism's result is held to its reference, which takes seconds there.
pub(super) const MOST_WHOLE: usize = 2048;

/// Why something was not timed.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// It gave a wrong result.
    Wrong(String),
    /// It could not be run.
    Refused(Error),
    /// The time for it was over.
    Late,
}

/// When the time for something is over; never where there is no such time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(pub(super) Option<Instant>);

impl Deadline {
    /// Fails where the time is over.
    pub(super) fn check(self) -> Checked<()> {
        match self.0 {
            Some(end) if Instant::now() > end => Err(Failure::Late),
            _ => Ok(()),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// The result of something that may also turn out wrong.
pub(super) type Checked<T> = Result<T, Failure>;

/// Once above and once below softmax's fraction bar. Scores 20 below the maximum no longer weigh anything in f32.
fn builtin_ulps() -> f64 {
    2.0 * exp_ulps(20.0)
}

/// A case of `method` on `inputs`, under its own rule.
pub(super) fn case(method: &'static Method, inputs: Inputs) -> Case {
    Case::new(method.name, "real activations", move |problem| {
        let qkv = append(problem, &inputs)?;
        Ok(vec![method.append(&mut problem.graph, qkv)?])
    })
    .builtin_ulps(builtin_ulps())
}

/// A case of the method `name` on an excerpt, pair by pair.
pub(super) fn excerpt_case(name: &'static str, build: Build, excerpt: Excerpt) -> Case {
    Case::new(name, "an excerpt", move |problem| {
        let qkv = append(problem, &excerpt.inputs)?;
        let mut rule = Blocked::new().mask(Mask::dense(problem.input("seen", excerpt.seen.clone())?));
        if let Some(bias) = &excerpt.bias {
            rule = rule.score(Score::bias(problem.input("bias", bias.clone())?));
        }
        Ok(vec![build(&mut problem.graph, qkv, &rule)?])
    })
    .builtin_ulps(builtin_ulps())
}

fn append(problem: &mut Problem, Inputs([query, key, value]): &Inputs) -> foveate::Result<Qkv> {
    Ok([
        problem.input(NAMES[0], query.clone())?,
        problem.input(NAMES[1], key.clone())?,
        problem.input(NAMES[2], value.clone())?,
    ])
}

/// Runs `case` and demands that it holds.
pub(super) fn conforms(case: &Case, context: &Context, caps: &Caps) -> Checked<Deviation> {
    match conform(case, context, caps) {
        Outcome::Passed(deviation) => Ok(deviation),
        Outcome::Failed(reason) => Err(Failure::Wrong(reason)),
        Outcome::Unsupported(error) => Err(Failure::Refused(error)),
    }
}

/// What rows of a longer result must be, and how far off they may be.
#[derive(Clone, Debug)]
pub(super) struct Expected(Expectation);

impl Expected {
    /// The exact result of `case`.
    pub(super) fn of(case: &Case) -> Checked<Self> {
        let mut outputs = Expectation::of(case, &case.problem()?)?;
        outputs.pop().map(Self).ok_or_else(|| Failure::Wrong("the case has no output".into()))
    }

    /// The worst element of `found`, all rows of what is expected, in units of the budget.
    pub(super) fn compare(&self, found: &HostTensor) -> Checked<f64> {
        let Deviation { of_budget, index, found, exact, .. } = self.0.deviation(found);
        if of_budget > 1.0 {
            return Err(Failure::Wrong(format!(
                "element {index} of the compared rows: expected {exact:e}, found {found:e}, {of_budget:.2} times the budget"
            )));
        }
        Ok(of_budget)
    }
}
