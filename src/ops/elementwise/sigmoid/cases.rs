//! Conformance cases, and the function's far ends.

use super::{NAME, sigmoid};
use crate::check::{Case, DIVISION_ULPS, exp_ulps};
use crate::ops::elementwise::unary::activation_cases;

pub(crate) fn cases() -> Vec<Case> {
    // A result that stands alone has an exponent of at most 4; beside larger results, exponentials of more weigh less.
    let ulps = exp_ulps(4.0) + DIVISION_ULPS;
    activation_cases(NAME, sigmoid, &[]).into_iter().map(|case| case.builtin_ulps(ulps)).collect()
}
