//! A graph with what its outputs must be, run on this machine's device and on the CPU references.

use std::collections::BTreeMap;

use foveate::gpu::{self, Program, Session};
use foveate::{Graph, HostTensor, Plan, Value, cpu, ops};

use crate::Result;
use crate::compare::{Bound, Deviation, Rows, compare};
use crate::devices::context;
use crate::report::Report;

/// A graph under way, its inputs, and its outputs with what they are compared with.
#[derive(Default)]
pub(crate) struct Recording {
    pub(crate) graph: Graph,
    inputs: Vec<(String, HostTensor)>,
    parameters: Vec<(String, HostTensor)>,
    expectations: Vec<Expectation>,
}

struct Expectation {
    name: String,
    tensor: HostTensor,
    rows: Rows,
    bound: Bound,
}

/// Outputs by name.
pub(crate) type Outputs = BTreeMap<String, HostTensor>;

impl Recording {
    pub(crate) fn input(&mut self, name: &str, tensor: HostTensor) -> Result<Value> {
        let value = self.graph.input(name, tensor.desc())?;
        self.inputs.push((name.to_owned(), tensor));
        Ok(value)
    }

    /// What an input that somebody else has declared holds.
    pub(crate) fn set_input(&mut self, name: &str, tensor: HostTensor) {
        self.inputs.push((name.to_owned(), tensor));
    }

    /// A weight, which layers that declare one of the same name get.
    pub(crate) fn parameter(&mut self, name: &str, tensor: HostTensor) -> Result<Value> {
        let value = self.graph.parameter(name, tensor.desc())?;
        self.parameters.push((name.to_owned(), tensor));
        Ok(value)
    }

    /// Hands `value` out, which must be `tensor` in the rows that are compared.
    pub(crate) fn expect(
        &mut self,
        name: &str,
        value: Value,
        tensor: HostTensor,
        rows: Rows,
        bound: Bound,
    ) -> Result<()> {
        self.graph.output(name, value)?;
        self.expectations.push(Expectation { name: name.to_owned(), tensor, rows, bound });
        Ok(())
    }

    /// The sum of all elements of a float value, `[1]`.
    pub(crate) fn total(&mut self, value: Value) -> Result<Value> {
        let elements = self.graph.desc(value)?.shape.elements();
        let flat = ops::reshape(&mut self.graph, value, [1, elements])?;
        Ok(ops::sum(&mut self.graph, flat, &[1])?)
    }

    /// Runs the graph on both devices and compares each.
    pub(crate) fn check(self) -> Result<Report> {
        let inputs: Vec<(&str, &HostTensor)> =
            self.inputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let mut report = Report::default();
        for (device, run) in [("gpu", on_device as Run), ("cpu", on_references)] {
            let outputs =
                run(&self.graph, &self.parameters, &inputs).map_err(|error| format!("{device}: {error}"))?;
            for Expectation { name, tensor, rows, bound } in &self.expectations {
                let found = outputs.get(name).ok_or_else(|| format!("{device}: no output `{name}`"))?;
                let deviation: Deviation = compare(name, found, tensor, rows, *bound)
                    .map_err(|error| format!("{device}: {error}"))?;
                report.add(device, name, deviation);
            }
        }
        Ok(report)
    }
}

type Run = fn(&Graph, &[(String, HostTensor)], &[(&str, &HostTensor)]) -> foveate::Result<Outputs>;

fn on_device(
    graph: &Graph,
    parameters: &[(String, HostTensor)],
    inputs: &[(&str, &HostTensor)],
) -> foveate::Result<Outputs> {
    let parameters = gpu::Parameters::upload(context(), parameters.iter().cloned().map(Ok))?;
    let program = Program::new(context(), &Plan::new(graph, context().caps())?)?;
    let mut session = Session::with_parameters(&program, &parameters, inputs)?;
    session.run()?;
    session.read()
}

fn on_references(
    graph: &Graph,
    parameters: &[(String, HostTensor)],
    inputs: &[(&str, &HostTensor)],
) -> foveate::Result<Outputs> {
    cpu::update(graph, &mut cpu::Parameters::new(parameters.iter().cloned().map(Ok))?, inputs)
}
