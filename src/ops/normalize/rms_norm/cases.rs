//! Conformance cases.

use super::{NAME, RmsNorm, rms_norm, rms_norm_with_sum};
use crate::check::Case;
use crate::ops::normalize::cases::{Call, cases_of};

pub(crate) fn cases() -> Vec<Case> {
    cases_of(NAME, false, |problem, x, weight, Call { eps, residual, sum, .. }| {
        let mut spec = RmsNorm::new(eps);
        if let Some(residual) = residual {
            spec = spec.residual(residual);
        }
        if !sum {
            return Ok(vec![rms_norm(&mut problem.graph, x, weight, &spec)?]);
        }
        let (y, sum) = rms_norm_with_sum(&mut problem.graph, x, weight, &spec)?;
        Ok(vec![y, sum])
    })
}
