//! Conformance cases.

use super::{NAME, relu};
use crate::check::Case;
use crate::ops::elementwise::unary::activation_cases;

pub(crate) fn cases() -> Vec<Case> {
    activation_cases(NAME, relu, &[])
}
