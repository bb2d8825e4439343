//! Conformance cases.

use super::{NAME, subtract};
use crate::check::Case;
use crate::ops::elementwise::binary::cases_of;

pub(crate) fn cases() -> Vec<Case> {
    cases_of(NAME, subtract)
}
