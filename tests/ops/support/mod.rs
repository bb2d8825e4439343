//! What the ops' modules share.

pub(crate) mod compare;
mod sentences;

use std::collections::BTreeMap;

use foveate::gpu::Program;
use foveate::{Caps, Error, ErrorKind, Graph, HostTensor, Plan, Result, TensorDesc, Value};

pub(crate) use crate::devices::context;

/// The kernels that this device gets.
pub(crate) fn own_caps() -> Caps {
    context().caps().clone()
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

/// Asserts kind, op and argument of an error, and that its sentence is one of those in `tests/ops/sentences.txt`.
pub(crate) fn assert_refused(error: &Error, kind: ErrorKind, op: &str, argument: &str) {
    assert_eq!((error.kind(), error.op(), error.argument()), (kind, op, argument), "{error}");
    sentences::assert_known(error);
}

/// [`assert_refused`] of a place that is written as the error writes it: `op: argument`.
pub(crate) fn assert_error(error: &Error, kind: ErrorKind, place: &str) {
    let (op, argument) = place.split_once(": ").expect("an op and an argument");
    assert_refused(error, kind, op, argument);
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
