//! Runs a graph through each op's reference, on the processor.

use std::collections::BTreeMap;

use crate::graph::{Graph, Step, Value};
use crate::tensor::{Array, DType, HostTensor, Real};
use crate::{Error, ErrorKind, Result};

/// Runs `graph` in f64 and rounds each output once, to its own type. `inputs` are tensors by name.
///
/// This is the specification the kernels are tested against, and the way to run without an adapter.
/// Fails when an input is missing, unknown, given twice, or of another shape or type, and when a value is larger than an
/// address space holds.
pub fn run(graph: &Graph, inputs: &[(&str, &HostTensor)]) -> Result<BTreeMap<String, HostTensor>> {
    let outputs = walk(graph, inputs, |step, arguments| step.op.reference_f64(arguments), |_, array| array)?;
    let round = |((name, value), array): (&(String, Value), Array<f64>)| {
        (name.clone(), HostTensor::from_array(graph.values()[value.index()].dtype, &array))
    };
    Ok(graph.outputs().iter().zip(outputs).map(round).collect())
}

/// Runs `graph` in f64 without rounding anything: one array per output, in order.
#[cfg(feature = "check")]
pub(crate) fn run_exact(graph: &Graph, inputs: &[(&str, &HostTensor)]) -> Result<Vec<Array<f64>>> {
    walk(graph, inputs, |step, arguments| step.op.reference_f64(arguments), |_, array| array)
}

/// Runs `graph` in f32 and rounds every step's results to their storage type: what a careful f32 implementation loses.
#[cfg(feature = "check")]
pub(crate) fn run_in_storage_precision(
    graph: &Graph,
    inputs: &[(&str, &HostTensor)],
) -> Result<Vec<Array<f32>>> {
    let round = |dtype, array| HostTensor::from_array(dtype, &array).to_array::<f32>();
    walk(graph, inputs, |step, arguments| step.op.reference_f32(arguments), round)
}

/// The arrays of the outputs. Every array is passed through `store` after the step that made it, and dropped after the last
/// step that reads it.
fn walk<R: Real>(
    graph: &Graph,
    inputs: &[(&str, &HostTensor)],
    reference: impl Fn(&Step, &[&Array<R>]) -> Vec<Array<R>>,
    store: impl Fn(DType, Array<R>) -> Array<R>,
) -> Result<Vec<Array<R>>> {
    let tensors = graph.match_inputs(inputs)?;
    let needed = graph.needed_steps();
    let steps = || graph.steps().iter().zip(&needed).filter_map(|(step, &needed)| needed.then_some(step));
    let mut readers = vec![0; graph.values().len()];
    for value in steps().flat_map(|step| &step.inputs).chain(graph.outputs().iter().map(|(_, value)| value)) {
        readers[value.index()] += 1;
    }

    let mut values: Vec<Option<Array<R>>> = vec![None; graph.values().len()];
    for ((_, value), tensor) in graph.inputs().iter().zip(tensors) {
        values[value.index()] = Some(tensor.to_array());
    }
    for step in steps() {
        check_addressable(graph, step)?;
        let arguments: Vec<&Array<R>> =
            step.inputs.iter().filter_map(|value| values[value.index()].as_ref()).collect();
        let results = reference(step, &arguments);
        for value in &step.inputs {
            readers[value.index()] -= 1;
            if readers[value.index()] == 0 {
                values[value.index()] = None;
            }
        }
        for (value, result) in step.outputs.iter().zip(results) {
            if readers[value.index()] > 0 {
                values[value.index()] = Some(store(graph.values()[value.index()].dtype, result));
            }
        }
    }
    Ok(graph.outputs().iter().filter_map(|(_, value)| values[value.index()].clone()).collect())
}

/// Refuses values that no address space holds in f64.
fn check_addressable(graph: &Graph, step: &Step) -> Result<()> {
    let most = isize::MAX as usize / size_of::<f64>();
    for value in step.inputs.iter().chain(&step.outputs) {
        let desc = &graph.values()[value.index()];
        if desc.shape.span() > most {
            return Err(Error::new(ErrorKind::Limit, step.op_name(), "elements")
                .expecting(format!("at most {most} on the CPU reference"))
                .but_found(desc));
        }
    }
    Ok(())
}
