//! The harness that the ops' modules feed.

use std::sync::OnceLock;

use foveate::check::{Outcome, conform};
use foveate::gpu::{AdapterRequest, Context};
use foveate::kernel::Caps;
use foveate::ops::CATALOGUE;

/// One device for all tests of the process. Without an adapter every test that asks for it fails, and says how to get one.
pub fn context() -> &'static Context {
    static CONTEXT: OnceLock<Context> = OnceLock::new();
    CONTEXT.get_or_init(|| Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}")))
}

/// Runs every conformance case of `op` with the kernels chosen by `caps`.
pub fn conform_with(op: &str, caps: &Caps) {
    let entry = CATALOGUE.iter().find(|entry| entry.name == op).expect("the op is in the catalogue");
    let cases = (entry.cases)();
    assert!(!cases.is_empty(), "{op} has no cases");
    let mut failures = Vec::new();
    for case in &cases {
        match conform(case, context(), caps) {
            Outcome::Passed(deviation) => {
                println!("{:.3} of the budget: {case:?}", deviation.of_budget);
            }
            Outcome::Unsupported(error) if !caps.f16 => println!("{error}: {case:?}"),
            Outcome::Unsupported(error) => failures.push(format!("{case:?}: {error}")),
            Outcome::Failed(reason) => failures.push(format!("{case:?}: {reason}")),
        }
    }
    assert!(failures.is_empty(), "{} of {} cases failed:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

#[test]
fn tmp() {
    let caps = context().caps();
    for op in ["softmax", "elementwise/add", "elementwise/multiply", "elementwise/scale", "elementwise/cast", "reshape"] {
        conform_with(op, caps);
    }
}
