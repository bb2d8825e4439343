//! Conformance cases.

use super::{NAME, mean_squared_error};
use crate::check::{Case, DIVISION_ULPS};
use crate::ops::loss::pair::cases::of;

pub(crate) fn cases() -> Vec<Case> {
    of(NAME, 3.0, |problem, a, b| mean_squared_error(&mut problem.graph, a, b))
        .into_iter()
        .map(|case| case.builtin_ulps(DIVISION_ULPS))
        .collect()
}
