//! Conformance cases.

use super::{NAME, layer_norm_backward};
use crate::check::Case;
use crate::ops::normalize::backward::{Call, cases_of};

pub(crate) fn cases() -> Vec<Case> {
    cases_of(NAME, 3, |problem, Call { x, weight, upstream, sum_upstream, eps }| {
        let (dx, d_weight, d_bias) =
            layer_norm_backward(&mut problem.graph, x, weight, upstream, sum_upstream, eps)?;
        Ok(vec![dx, d_weight, d_bias])
    })
}
