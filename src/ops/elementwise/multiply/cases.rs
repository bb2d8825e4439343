//! Conformance cases.

use super::{NAME, multiply};
use crate::check::{Bench, Case};
use crate::ops::elementwise::binary::{benches_of, cases_of};

pub(crate) fn cases() -> Vec<Case> {
    cases_of(NAME, multiply)
}

pub(crate) fn benches() -> Vec<Bench> {
    benches_of(NAME, multiply)
}
