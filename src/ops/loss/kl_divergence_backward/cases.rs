//! Conformance cases.

use super::{NAME, kl_divergence_backward};
use crate::check::{Case, DIVISION_ULPS, exp_ulps};
use crate::ops::loss::pair::cases::of_backward;

pub(crate) fn cases() -> Vec<Case> {
    of_backward(NAME, 4.0, |problem, [a, b, upstream]| {
        kl_divergence_backward(&mut problem.graph, a, b, upstream)
    })
    .into_iter()
    .map(|case| case.builtin_ulps(exp_ulps(4.0) + DIVISION_ULPS))
    .collect()
}
