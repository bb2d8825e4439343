//! Whether a result is right, before anything is timed.
//!
//! Nothing here sets a tolerance of its own. [`conform`] runs a short call (few tokens, or few queries over the keys they see)
//! against the method's f64 reference with a budget derived from that very problem; the same queries' rows of the long
//! result, which is what gets timed, are then held to that budget.

use foveate::check::{Case, Deviation, Expectation, Outcome, conform, exp_ulps};
use foveate::gpu::Context;
use foveate::{Caps, Error, HostTensor};

use super::activations::{Inputs, NAMES};
use super::methods::Method;

/// Why something was not timed.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// It gave a wrong result.
    Wrong(String),
    /// It could not be run.
    Refused(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// The result of something that may also turn out wrong.
pub(super) type Checked<T> = Result<T, Failure>;

/// A case of `method` on `inputs`.
pub(super) fn case(method: &'static Method, inputs: Inputs) -> Case {
    Case::new(method.name, "real activations", move |problem| {
        let Inputs([query, key, value]) = &inputs;
        let qkv = [
            problem.input(NAMES[0], query.clone())?,
            problem.input(NAMES[1], key.clone())?,
            problem.input(NAMES[2], value.clone())?,
        ];
        Ok(vec![(method.build)(&mut problem.graph, qkv, method.mask)?])
    })
    // Once above and once below softmax's fraction bar. Scores 20 below the maximum no longer weigh anything in f32.
    .builtin_ulps(2.0 * exp_ulps(20.0))
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
    /// The exact result of a short call, which must itself conform.
    pub(super) fn of(case: &Case, context: &Context, caps: &Caps) -> Checked<Self> {
        conforms(case, context, caps)?;
        let mut outputs = Expectation::of(case, &case.problem()?)?;
        outputs.pop().map(Self).ok_or_else(|| Failure::Wrong("the case has no output".into()))
    }

    /// The worst element of `found`, the first rows of what is expected, in units of the budget.
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
