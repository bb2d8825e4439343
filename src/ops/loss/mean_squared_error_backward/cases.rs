//! Conformance cases.

use super::{NAME, mean_squared_error_backward};
use crate::check::{Case, DIVISION_ULPS};
use crate::ops::loss::pair::cases::of_backward;

pub(crate) fn cases() -> Vec<Case> {
    of_backward(NAME, 3.0, |problem, [a, b, upstream]| {
        mean_squared_error_backward(&mut problem.graph, a, b, upstream)
    })
    .into_iter()
    .map(|case| case.builtin_ulps(DIVISION_ULPS))
    .collect()
}
