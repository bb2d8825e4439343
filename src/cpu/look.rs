//! Looks for numbers that are not finite in a run of the references.

use std::collections::HashMap;

use super::{Parameters, stored, walk};
use crate::Result;
use crate::finite::{Finding, Watch, verdict, watched};
use crate::graph::{Graph, Step, Value};
use crate::tensor::{Array, DType, HostTensor, Real};

impl<R: Real> Parameters<R> {
    /// What a tensor holds; nothing of one that is not there.
    pub(crate) fn finding(&self, name: &str) -> Finding {
        self.arrays.get(name).map_or_else(Finding::default, |(_, array)| Finding::of(array.reals()))
    }
}

/// Runs `graph` in f64, looking at every step as [`Watch::Steps`] says, and fails with the one that is at fault. Nothing is updated.
pub(crate) fn look(
    graph: &Graph,
    parameters: &Parameters<f64>,
    inputs: &[(&str, &HostTensor)],
) -> Result<()> {
    look_with(graph, parameters, inputs, |step, read| step.op.reference_f64(read), |_, array| array)
}

/// [`look`] in f32, where results are rounded to their storage type.
pub(crate) fn look_f32(
    graph: &Graph,
    parameters: &Parameters<f32>,
    inputs: &[(&str, &HostTensor)],
) -> Result<()> {
    look_with(graph, parameters, inputs, |step, read| step.op.reference_f32(read), stored)
}

fn look_with<R: Real>(
    graph: &Graph,
    parameters: &Parameters<R>,
    inputs: &[(&str, &HostTensor)],
    reference: impl Fn(&Step, &[&Array<R>]) -> Vec<Array<R>>,
    round: impl Fn(DType, Array<R>) -> Array<R>,
) -> Result<()> {
    let mut seen: HashMap<Value, Finding> = HashMap::new();
    for (name, value) in graph.kept() {
        seen.insert(*value, parameters.finding(name));
    }
    for ((_, value), tensor) in graph.inputs().iter().zip(graph.match_inputs(inputs)?) {
        seen.insert(*value, Finding::of_tensor(tensor));
    }
    walk(graph, parameters, inputs, reference, |value, dtype, array| {
        let array = round(dtype, array);
        seen.insert(value, Finding::of(array.reals()));
        array
    })?;
    let list = watched(graph, Watch::Steps);
    let findings: Vec<Finding> =
        list.iter().map(|watched| seen.get(&watched.value).copied().unwrap_or_default()).collect();
    verdict(&list, &findings)
}
