//! Gradients of every op, from the cases of the catalogue: the references against central differences, devices against the references.

use std::sync::Arc;

use foveate::check::{Case, Outcome, Slopes, conform, gradient_case, slopes};
use foveate::ops::CATALOGUE;

use crate::support::{context, small_caps};

/// Ops without gradients: backward passes, which nothing here differentiates twice, what an optimiser does, what has no inputs and what is
/// there to end gradients.
const WITHOUT_GRADIENTS: &[&str] = &[
    "attention/blocked_backward",
    "elementwise/activation_backward",
    "elementwise/gate_backward",
    "embedding_backward",
    "fill",
    "log_softmax_backward",
    "loss/cross_entropy_backward",
    "loss/kl_divergence_backward",
    "loss/mean_squared_error_backward",
    "normalize/l2_normalize_backward",
    "normalize/layer_norm_backward",
    "normalize/rms_norm_backward",
    "optimizer/accumulate",
    "optimizer/adamw",
    "optimizer/global_norm",
    "optimizer/sgd",
    "pool_backward",
    "softmax_backward",
    "stop_gradient",
];

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
        if WITHOUT_GRADIENTS.contains(&name) != (agreed == 0) {
            failures.push(format!("{name}: {agreed} cases have slopes"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn devices_agree_with_references() {
    let mut failures = Vec::new();
    for (name, cases) in cases() {
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
