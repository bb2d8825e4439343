//! Conformance cases.

use super::{NAME, scale};
use crate::check::Case;
use crate::ops::elementwise::unary::cases_of;

pub(crate) fn cases() -> Vec<Case> {
    cases_of(NAME, |graph, x| scale(graph, x, -0.3))
}
