//! Conformance cases, some around the kink at 0.

use super::{NAME, relu};
use crate::check::Case;
use crate::ops::elementwise::unary::activation_cases;

pub(crate) fn cases() -> Vec<Case> {
    let mark = |case: Case| if case.label().ends_with("around 0") { case.kinked() } else { case };
    activation_cases(NAME, relu, &[]).into_iter().map(mark).collect()
}
