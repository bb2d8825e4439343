//! Gradients of every op, from the cases of the catalogue: the references against central differences, devices against the references.

use std::sync::Arc;

use foveate::check::{Case, Outcome, Slopes, conform, gradient_case, slopes};
use foveate::ops::CATALOGUE;

use crate::support::{context, small_caps};

/// Ops that have no gradients: backward passes, which nothing here differentiates twice, what an optimiser does, what has no inputs and
/// what is there to end gradients.
fn has_gradients(name: &str) -> bool {
    !name.ends_with("_backward")
        && !name.starts_with("optimizer/")
        && !matches!(name, "fill" | "stop_gradient")
}

/// Of the cases of an op, how many lie between two whose gradients are run on the device.
const STRIDE: usize = 4;

fn cases() -> impl Iterator<Item = (&'static str, Vec<Case>)> {
    CATALOGUE.iter().map(|entry| (entry.name, (entry.cases)()))
}

#[test]
fn references_agree_with_central_differences() {
    let mut failures = Vec::new();
    for (name, cases) in cases() {
        let mut agreed = 0;
        for case in &cases {
            match slopes(case).unwrap_or_else(|error| panic!("{case:?}: {error}")) {
                Slopes::Agree(_) => agreed += 1,
                Slopes::Differ(reason) => failures.push(format!("{case:?}: {reason}")),
                Slopes::None => {}
            }
        }
        println!("{name}: {agreed} of {} cases agree", cases.len());
        if has_gradients(name) != (agreed > 0) {
            failures.push(format!("{name}: {agreed} cases have slopes"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn devices_agree_with_references() {
    let mut failures = Vec::new();
    for (name, cases) in cases().filter(|(name, _)| has_gradients(name)) {
        let mut ran = 0;
        for case in cases.into_iter().step_by(STRIDE).map(Arc::new) {
            let gradients = gradient_case(&case).unwrap_or_else(|error| panic!("{case:?}: {error}"));
            let Some(gradients) = gradients else { continue };
            match conform(&gradients, context(), &small_caps()) {
                Outcome::Passed(_) => ran += 1,
                Outcome::Failed(reason) => failures.push(format!("{case:?}: {reason}")),
                Outcome::Unsupported(error) => println!("{case:?}: {error}"),
            }
        }
        println!("{name}: {ran} cases");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
