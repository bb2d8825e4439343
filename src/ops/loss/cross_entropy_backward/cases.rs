//! Conformance cases: those of the forward pass, whose log-sum-exp they take.

use super::{NAME, cross_entropy_backward};
use crate::check::Case;
use crate::ops::loss::cross_entropy::{cross_entropy_with_lse, setups};
use crate::tensor::HostTensor;

pub(crate) fn cases() -> Vec<Case> {
    setups()
        .into_iter()
        .map(|setup| {
            let ulps = setup.ulps();
            let case = Case::new(NAME, setup.label(), move |problem| {
                let (logits, targets) = setup.inputs(problem)?;
                let spec = setup.spec();
                let upstream = problem.input("upstream", HostTensor::f32([1], vec![-1.5])?)?;
                let (_, lse) = cross_entropy_with_lse(&mut problem.graph, logits, targets, &spec)?;
                Ok(vec![cross_entropy_backward(&mut problem.graph, logits, targets, lse, upstream, &spec)?])
            });
            case.builtin_ulps(ulps)
        })
        .collect()
}
