//! Runs a graph through each op's reference, on the processor.

use std::collections::BTreeMap;

use crate::Result;
use crate::graph::{Graph, Step};
use crate::tensor::{Array, HostTensor, Real};

/// Runs `graph` in f64 and rounds each output once, to its own type. `inputs` are tensors by name.
///
/// This is the specification the kernels are tested against, and the way to run without an adapter.
/// Fails when an input is missing, unknown, given twice, or of another shape or type.
pub fn run(graph: &Graph, inputs: &[(&str, &HostTensor)]) -> Result<BTreeMap<String, HostTensor>> {
    let values = walk(graph, inputs, |step, arguments| step.op.reference_f64(arguments), |_, array| array)?;
    Ok(graph
        .outputs()
        .iter()
        .map(|(name, value)| {
            let index = value.index();
            (name.clone(), HostTensor::from_array(graph.values()[index].dtype, &values[index]))
        })
        .collect())
}

/// Runs `graph` in f64 without rounding anything: one array per output, in order.
#[cfg(feature = "check")]
pub(crate) fn run_exact(graph: &Graph, inputs: &[(&str, &HostTensor)]) -> Result<Vec<Array<f64>>> {
    let values = walk(graph, inputs, |step, arguments| step.op.reference_f64(arguments), |_, array| array)?;
    Ok(graph.outputs().iter().map(|(_, value)| values[value.index()].clone()).collect())
}

/// Runs `graph` in f32 and rounds every step's results to their storage type: what a careful f32 implementation loses.
#[cfg(feature = "check")]
pub(crate) fn run_in_storage_precision(
    graph: &Graph,
    inputs: &[(&str, &HostTensor)],
) -> Result<Vec<Array<f32>>> {
    let round = |dtype, array| HostTensor::from_array(dtype, &array).to_array::<f32>();
    let values = walk(graph, inputs, |step, arguments| step.op.reference_f32(arguments), round)?;
    Ok(graph.outputs().iter().map(|(_, value)| values[value.index()].clone()).collect())
}

/// The arrays of all values of the graph, each passed through `store` after the step that made it.
fn walk<R: Real>(
    graph: &Graph,
    inputs: &[(&str, &HostTensor)],
    reference: impl Fn(&Step, &[&Array<R>]) -> Vec<Array<R>>,
    store: impl Fn(crate::DType, Array<R>) -> Array<R>,
) -> Result<Vec<Array<R>>> {
    let tensors = graph.match_inputs(inputs)?;
    let mut values: Vec<Array<R>> = vec![Array::real([0], Vec::new()); graph.values().len()];
    for ((_, value), tensor) in graph.inputs().iter().zip(tensors) {
        values[value.index()] = tensor.to_array();
    }
    for step in graph.steps() {
        let arguments: Vec<&Array<R>> = step.inputs.iter().map(|value| &values[value.index()]).collect();
        let results = reference(step, &arguments);
        for (value, result) in step.outputs.iter().zip(results) {
            let index = value.index();
            values[index] = store(graph.values()[index].dtype, result);
        }
    }
    Ok(values)
}
