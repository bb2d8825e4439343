//! Conformance cases.

use super::{NAME, rms_norm_backward};
use crate::check::Case;
use crate::ops::normalize::backward::{Call, cases_of};

pub(crate) fn cases() -> Vec<Case> {
    cases_of(NAME, 2, |problem, Call { x, weight, upstream, sum_upstream, eps }| {
        let (dx, d_weight) = rms_norm_backward(&mut problem.graph, x, weight, upstream, sum_upstream, eps)?;
        Ok(vec![dx, d_weight])
    })
}
