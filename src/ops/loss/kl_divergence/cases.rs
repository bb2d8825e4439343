//! Conformance cases.

use super::{NAME, kl_divergence};
use crate::check::{Case, DIVISION_ULPS, exp_ulps};
use crate::ops::loss::pair::cases::of;

pub(crate) fn cases() -> Vec<Case> {
    of(NAME, 4.0, |problem, a, b| kl_divergence(&mut problem.graph, a, b))
        .into_iter()
        .map(|case| case.builtin_ulps(exp_ulps(4.0) + DIVISION_ULPS))
        .collect()
}
