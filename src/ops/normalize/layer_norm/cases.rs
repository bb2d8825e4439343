//! Conformance cases.

use super::{LayerNorm, NAME, layer_norm, layer_norm_with_sum};
use crate::check::Case;
use crate::ops::normalize::cases::{Call, cases_of};

pub(crate) fn cases() -> Vec<Case> {
    cases_of(NAME, true, |problem, x, weight, Call { eps, bias, residual, sum }| {
        let mut spec = LayerNorm::new(eps);
        if let Some(residual) = residual {
            spec = spec.residual(residual);
        }
        if !sum {
            return Ok(vec![layer_norm(&mut problem.graph, x, weight, bias, &spec)?]);
        }
        let (y, sum) = layer_norm_with_sum(&mut problem.graph, x, weight, bias, &spec)?;
        Ok(vec![y, sum])
    })
}
