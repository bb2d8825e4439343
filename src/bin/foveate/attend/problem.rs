//! The graph of a run: attention, and gradients where there are upstream ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use foveate::gpu::Timing;
use foveate::plan::Watch;
use foveate::runtime::{Device, Outputs, Planned, Store};
use foveate::{DType, Error, ErrorKind, Graph, HostTensor, Plan, Result, TensorDesc, Value, ops};

use super::COMMAND;
use super::document::AttendDocument;
use crate::memory;

/// What every file holds.
pub(super) const GIVEN: [&str; 3] = ["q", "k", "v"];
/// Gradients of the results, in their order, where gradients are wanted.
pub(super) const UPSTREAM: [&str; 2] = ["d_out", "d_lse"];
/// Results that every rule has, and every mechanism but for `lse`; further ones are called `d_` and the name of a tensor.
pub(super) const RESULTS: [&str; 5] = ["out", "lse", "dq", "dk", "dv"];

/// The graph and what goes into it.
#[derive(Debug)]
pub(super) struct AttentionRun {
    graph: Arc<Graph>,
    inputs: Vec<(String, HostTensor)>,
}

/// What came out.
#[derive(Debug)]
pub(super) struct Results {
    pub(super) tensors: Outputs,
    pub(super) timing: Timing,
    /// The attention steps' kernels, on a GPU.
    pub(super) kernels: Vec<KernelReport>,
}

/// Which kernel a step got, and why.
#[derive(Debug, serde::Serialize)]
pub(super) struct KernelReport {
    pub(super) op: &'static str,
    pub(super) tier: &'static str,
    pub(super) kernel: String,
    pub(super) reason: String,
}

impl AttentionRun {
    /// Fails when tensors or settings do not fit, or values have no meaning.
    pub(super) fn new(document: &AttendDocument, mut tensors: BTreeMap<String, HostTensor>) -> Result<Self> {
        let resolved = document.resolve(&tensors)?;
        let mut names = resolved.inputs();
        let mut graph = Graph::new();
        let mut values = BTreeMap::new();
        for name in &names {
            // Names that are not there were refused when the file was read.
            let desc = tensors.get(name).map(HostTensor::desc).ok_or_else(|| missing(name))?;
            values.insert(name.clone(), graph.input(name, desc)?);
        }
        let results = resolved.record(&mut graph, &values, &tensors)?;
        let is_given = |name: &str| tensors.contains_key(name);
        if let Some(name) = UPSTREAM.iter().skip(results.len()).find(|name| is_given(name)) {
            return Err(Error::new(ErrorKind::Argument, COMMAND, format!("tensor `{name}`"))
                .expecting("none, as a mechanism has no log-sum-exp")
                .but_found("one"));
        }
        let upstream: Vec<(&str, Value)> = UPSTREAM
            .into_iter()
            .zip(results.iter().map(|(_, value)| *value))
            .filter(|(name, _)| is_given(name))
            .collect();
        let gradients = record_gradients(&mut graph, &upstream, &tensors, &names, &values)?;
        for (name, value) in results {
            graph.output(name, value)?;
        }
        for (name, gradient) in gradients {
            graph.output(&name, gradient)?;
        }
        names.extend(upstream.iter().map(|(name, _)| (*name).to_owned()));
        let inputs = names.into_iter().filter_map(|name| tensors.remove_entry(&name)).collect();
        Ok(Self { graph: graph.into(), inputs })
    }

    /// The type of the queries.
    pub(super) fn dtype(&self) -> DType {
        self.inputs.first().map_or(DType::F32, |(_, tensor)| tensor.dtype())
    }

    /// Names, types and shapes of what goes in.
    pub(super) fn inputs(&self) -> impl Iterator<Item = (&str, TensorDesc)> {
        self.inputs.iter().map(|(name, tensor)| (name.as_str(), tensor.desc()))
    }

    /// Names, types and shapes of the results.
    pub(super) fn outputs(&self) -> Vec<(String, TensorDesc)> {
        let named = self.graph.outputs().iter();
        named
            .filter_map(|(name, value)| Some((name.clone(), self.graph.desc(*value).ok()?.clone())))
            .collect()
    }

    /// Runs on `device`, timed without what is made on first use.
    pub(super) fn run(&self, device: &Device) -> Result<Results> {
        let inputs: Vec<(&str, &HostTensor)> =
            self.inputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let planned = Planned::watching(&Store::empty(device), self.graph.clone(), Watch::Outputs)?;
        memory::check(COMMAND, device, "the run", planned.bytes())?;
        let mut running = planned.start(&inputs)?;
        let timing = running.time_one()?;
        let report = planned.plan().map_or(&[][..], Plan::report);
        let attention = report.iter().filter(|step| step.op.starts_with("attention/"));
        let kernels = attention.filter_map(|step| {
            let choice = step.choice.as_ref()?;
            Some(KernelReport {
                op: step.op,
                tier: choice.tier.name(),
                kernel: choice.kernel.to_string(),
                reason: choice.reason.to_string(),
            })
        });
        Ok(Results { tensors: running.read()?, timing, kernels: kernels.collect() })
    }
}

pub(super) fn missing(name: &str) -> Error {
    Error::new(ErrorKind::Argument, COMMAND, format!("tensor `{name}`"))
        .expecting("it in the file")
        .but_found("none")
}

/// The gradients of all floats among `names`, under the names that results have; none without upstream gradients.
fn record_gradients(
    graph: &mut Graph,
    upstream: &[(&str, Value)],
    tensors: &BTreeMap<String, HostTensor>,
    names: &[String],
    values: &BTreeMap<String, Value>,
) -> Result<Vec<(String, Value)>> {
    let mut loss = None;
    for &(name, result) in upstream {
        let desc = tensors.get(name).map(HostTensor::desc).ok_or_else(|| missing(name))?;
        let wanted = graph.desc(result)?;
        if desc != *wanted {
            let kind = if desc.dtype == wanted.dtype { ErrorKind::Shape } else { ErrorKind::Dtype };
            return Err(Error::new(kind, COMMAND, format!("tensor `{name}`"))
                .expecting(format!("{wanted}, as the result it is the gradient of"))
                .but_found(desc));
        }
        let weights = graph.input(name, desc)?;
        let sum = weighted_sum(graph, result, weights)?;
        loss = Some(match loss {
            Some(other) => ops::add(graph, other, sum)?,
            None => sum,
        });
    }
    let Some(loss) = loss else { return Ok(Vec::new()) };
    let is_float = |name: &&String| tensors.get(*name).is_some_and(|tensor| tensor.dtype().is_float());
    let floats: Vec<&String> = names.iter().filter(is_float).collect();
    let wrt: Vec<Value> = floats.iter().map(|name| values[name.as_str()]).collect();
    let gradients = graph.gradients(loss, &wrt)?;
    let named = |name: &str| if GIVEN.contains(&name) { format!("d{name}") } else { format!("d_{name}") };
    Ok(floats.into_iter().map(|name| named(name)).zip(gradients).collect())
}

/// A number whose gradient with respect to `result` is `weights`.
fn weighted_sum(graph: &mut Graph, result: Value, weights: Value) -> Result<Value> {
    let mut products = ops::multiply(graph, result, weights)?;
    let desc = graph.desc(products)?.clone();
    if desc.dtype != DType::F32 {
        products = ops::cast(graph, products, DType::F32)?;
    }
    let axes: Vec<usize> = (0..desc.shape.rank()).collect();
    let sum = ops::sum(graph, products, &axes)?;
    ops::reshape(graph, sum, [1])
}
