//! The harness that the ops' modules feed.

pub(crate) mod fixture;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use foveate::check::{Outcome, conform};
use foveate::gpu::{AdapterRequest, Context, Program};
use foveate::kernel::{AdapterKind, Tuning};
use foveate::ops::CATALOGUE;
use foveate::{Caps, Error, ErrorKind, Graph, HostTensor, Plan, Result, TensorDesc, Value};

/// One device for all tests of the process. Without an adapter every test that asks for it fails, and says how to get one.
pub(crate) fn context() -> &'static Context {
    static CONTEXT: OnceLock<Context> = OnceLock::new();
    CONTEXT.get_or_init(|| Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}")))
}

/// The kernels that this device gets.
pub(crate) fn own_caps() -> Caps {
    context().caps().clone()
}

/// The kernels of the other kinds of adapter, on this device: a GPU's on a software rasterizer and the other way round.
pub(crate) fn foreign_caps() -> Caps {
    let mut caps = own_caps();
    let other = if caps.adapter == AdapterKind::Cpu { AdapterKind::Discrete } else { AdapterKind::Cpu };
    caps.tuning = Tuning::for_adapter(other, None);
    caps
}

/// Runs every conformance case of `op` with the kernels chosen by `caps`. On a device without f16, f16 cases must end in a
/// typed error.
pub(crate) fn conform_with(op: &str, caps: &Caps) {
    let entry = CATALOGUE.iter().find(|entry| entry.name == op).expect("the op is in the catalogue");
    let cases = (entry.cases)();
    assert!(!cases.is_empty(), "{op} has no cases");
    let mut failures = Vec::new();
    for case in &cases {
        match conform(case, context(), caps) {
            Outcome::Passed(deviation) => println!("{:.3} of the budget: {case:?}", deviation.of_budget),
            Outcome::Unsupported(error) if !caps.f16 && case.label().contains("f16") => {
                println!("{case:?}: {error}")
            }
            Outcome::Unsupported(error) => failures.push(format!("{case:?}: {error}")),
            Outcome::Failed(reason) => failures.push(format!("{case:?}: {reason}")),
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases failed:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

/// [`conform_with`] this device's own kernels, the kernels of other adapters, and those of a least WebGPU device.
pub(crate) fn conform_everywhere(op: &str) {
    conform_with(op, &own_caps());
    conform_with(op, &foreign_caps());
    conform_with(op, &Caps::webgpu_default());
}

/// The error of appending a step to inputs of the given descriptors.
pub(crate) fn refused(descs: &[TensorDesc], append: impl Fn(&mut Graph, &[Value]) -> Result<Value>) -> Error {
    let mut graph = Graph::new();
    let values: Vec<Value> = descs
        .iter()
        .enumerate()
        .map(|(i, desc)| {
            graph.input(&format!("in {i}"), desc.clone()).expect("the descriptor is fine by itself")
        })
        .collect();
    append(&mut graph, &values).expect_err("the step must be refused")
}

/// Asserts kind and sentence of an error.
pub(crate) fn assert_error(error: &Error, kind: ErrorKind, sentence: &str) {
    assert_eq!((error.kind(), error.to_string().as_str()), (kind, sentence));
}

/// A plan for this device.
pub(crate) fn plan(graph: &Graph) -> Plan {
    Plan::new(graph, context().caps()).expect("the graph can be planned")
}

/// Runs `graph` on this device.
pub(crate) fn run(graph: &Graph, inputs: &[(&str, &HostTensor)]) -> BTreeMap<String, HostTensor> {
    let program = Program::new(context(), &plan(graph)).expect("the program can be made");
    program.run(inputs).expect("the program runs")
}
