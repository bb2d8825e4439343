//! Runs a graph through each op's reference, on the processor.

mod look;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub(crate) use look::{look, look_f32};

use crate::graph::{Graph, Step, Value};
use crate::tensor::{Array, DType, HostTensor, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

/// Weights as f32 or f64, the type that a run computes in; converted once for any number of runs.
#[derive(Clone, Debug)]
pub struct Parameters<R> {
    arrays: BTreeMap<String, (DType, Arc<Array<R>>)>,
}

impl<R> Default for Parameters<R> {
    fn default() -> Self {
        Self { arrays: BTreeMap::new() }
    }
}

impl<R: Real> Parameters<R> {
    /// The names in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.keys().map(String::as_str)
    }

    /// Names and descriptors in alphabetical order.
    pub fn descs(&self) -> impl Iterator<Item = (&str, TensorDesc)> {
        let desc = |(dtype, array): &(DType, Arc<Array<R>>)| TensorDesc::new(*dtype, array.shape().clone());
        self.arrays.iter().map(move |(name, stored)| (name.as_str(), desc(stored)))
    }

    /// A tensor, rounded to its type.
    pub fn get(&self, name: &str) -> Option<HostTensor> {
        self.arrays.get(name).map(|(dtype, array)| HostTensor::from_array(*dtype, array))
    }

    /// Tensors of zeros: what a stream's states start with.
    pub fn zeros<'d>(descs: impl IntoIterator<Item = (&'d str, &'d TensorDesc)>) -> Result<Self> {
        Self::new(descs.into_iter().map(|(name, desc)| Ok((name.to_owned(), HostTensor::zeros(desc)?))))
    }

    /// Sets all numbers to zero.
    pub(crate) fn clear(&mut self) -> Result<()> {
        for (dtype, array) in self.arrays.values_mut() {
            *array = Arc::new(HostTensor::zeros(&TensorDesc::new(*dtype, array.shape().clone()))?.to_array());
        }
        Ok(())
    }

    /// Replaces tensors by name. Fails, changing nothing, when a name is unknown or a tensor of another shape or type.
    pub(crate) fn write(&mut self, tensors: &[(&str, &HostTensor)]) -> Result<()> {
        for (name, tensor) in tensors {
            let refused = |kind| Error::new(kind, "parameters", format!("`{name}`"));
            let Some((dtype, array)) = self.arrays.get(*name) else {
                return Err(refused(ErrorKind::Binding)
                    .expecting(self.names().collect::<Vec<_>>().join(", "))
                    .but_found("an unknown name"));
            };
            let wanted = TensorDesc::new(*dtype, array.shape().clone());
            if wanted != tensor.desc() {
                return Err(refused(ErrorKind::Shape).expecting(wanted).but_found(tensor.desc()));
            }
        }
        for (name, tensor) in tensors {
            self.arrays.insert((*name).to_owned(), (tensor.dtype(), Arc::new(tensor.to_array())));
        }
        Ok(())
    }

    /// The tensors of both; those of `other` where both have a name. Nothing is copied.
    pub(crate) fn with(&self, other: &Self) -> Self {
        let mut arrays = self.arrays.clone();
        arrays.extend(other.arrays.iter().map(|(name, array)| (name.clone(), array.clone())));
        Self { arrays }
    }

    /// Takes over from `other` what it holds of the tensors that there are here. Nothing is copied.
    pub(crate) fn refresh(&mut self, other: &Self) {
        for (name, array) in &mut self.arrays {
            if let Some(new) = other.arrays.get(name) {
                *array = new.clone();
            }
        }
    }

    /// Converts tensors one by one. Fails with the first error the iterator yields.
    pub fn new(tensors: impl IntoIterator<Item = Result<(String, HostTensor)>>) -> Result<Self> {
        let convert = |named: Result<(String, HostTensor)>| {
            let (name, tensor) = named?;
            Ok((name, (tensor.dtype(), Arc::new(tensor.to_array()))))
        };
        Ok(Self { arrays: tensors.into_iter().map(convert).collect::<Result<_>>()? })
    }
}

/// Runs `graph` in f64 and rounds each output once, to its own type. `inputs` are tensors by name.
///
/// This is the specification the kernels are tested against, and the way to run without an adapter.
/// Fails when an input is missing, unknown, given twice, or of another shape or type, and when a value is larger than an
/// address space holds.
pub fn run(graph: &Graph, inputs: &[(&str, &HostTensor)]) -> Result<BTreeMap<String, HostTensor>> {
    run_with(graph, &Parameters::default(), inputs)
}

/// [`run`] for a graph with parameters.
pub fn run_with(
    graph: &Graph,
    parameters: &Parameters<f64>,
    inputs: &[(&str, &HostTensor)],
) -> Result<BTreeMap<String, HostTensor>> {
    check_pure(graph)?;
    Ok(named_outputs(graph, walk_in_f64(graph, parameters, inputs)?))
}

/// Runs `graph` in f32, each step's results rounded to their storage type: the fast mode of the same references.
///
/// Fails as [`run`] does.
pub fn run_f32(
    graph: &Graph,
    parameters: &Parameters<f32>,
    inputs: &[(&str, &HostTensor)],
) -> Result<BTreeMap<String, HostTensor>> {
    check_pure(graph)?;
    Ok(named_outputs(graph, walk_in_storage_precision(graph, parameters, inputs)?))
}

/// [`run_with`] for a graph that updates parameters or states: they hold their new contents afterwards, in f64 and not rounded.
///
/// Fails as [`run`] does, and then nothing is updated.
pub fn update(
    graph: &Graph,
    parameters: &mut Parameters<f64>,
    inputs: &[(&str, &HostTensor)],
) -> Result<BTreeMap<String, HostTensor>> {
    let results = walk_in_f64(graph, parameters, inputs)?;
    Ok(kept_and_named(graph, parameters, results))
}

/// [`run_f32`] for a graph that updates parameters or states: they hold their new contents afterwards.
///
/// Fails as [`run`] does, and then nothing is updated.
pub fn update_f32(
    graph: &Graph,
    parameters: &mut Parameters<f32>,
    inputs: &[(&str, &HostTensor)],
) -> Result<BTreeMap<String, HostTensor>> {
    let results = walk_in_storage_precision(graph, parameters, inputs)?;
    Ok(kept_and_named(graph, parameters, results))
}

/// Puts the updates among `results` into `parameters`, and names the outputs.
fn kept_and_named<R: Real>(
    graph: &Graph,
    parameters: &mut Parameters<R>,
    mut results: Vec<Arc<Array<R>>>,
) -> BTreeMap<String, HostTensor> {
    let updates = results.split_off(graph.outputs().len());
    let names: HashMap<Value, &String> = graph.kept().map(|(name, value)| (*value, name)).collect();
    for ((parameter, value), array) in graph.updates().iter().zip(updates) {
        let dtype = graph.values()[value.index()].dtype;
        parameters.arrays.extend(names.get(parameter).map(|&name| (name.clone(), (dtype, array))));
    }
    named_outputs(graph, results)
}

/// Refuses a graph whose updates would be lost.
fn check_pure(graph: &Graph) -> Result<()> {
    if graph.updates().is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Argument, "run", "graph")
        .expecting("no updates of parameters, which `cpu::update` and `cpu::update_f32` are for")
        .but_found(format!("{} of them", graph.updates().len())))
}

/// Runs `graph` in f64 without rounding anything: one array per output, in order.
#[cfg(feature = "check")]
pub(crate) fn run_exact(graph: &Graph, inputs: &[(&str, &HostTensor)]) -> Result<Vec<Arc<Array<f64>>>> {
    walk_in_f64(graph, &Parameters::default(), inputs)
}

/// The arrays of `results` for inputs in f64, in the order of the graph's inputs; no parameters.
#[cfg(feature = "check")]
pub(crate) fn run_arrays(
    graph: &Graph,
    results: &[Value],
    inputs: &[Array<f64>],
) -> Result<Vec<Arc<Array<f64>>>> {
    let given =
        graph.inputs().iter().zip(inputs).map(|((_, value), array)| (*value, Arc::new(array.clone())));
    walk_from(graph, results, given, |step, read| step.op.reference_f64(read), |_, _, array| array)
}

/// [`run_exact`] with parameters and updates: the outputs, then what parameters are updated to. What each step makes passes through
/// `store` before anything reads it.
#[cfg(feature = "check")]
pub(crate) fn run_stored(
    graph: &Graph,
    parameters: &Parameters<f64>,
    inputs: &[(&str, &HostTensor)],
    store: impl Fn(DType, Array<f64>) -> Array<f64>,
) -> Result<Vec<Arc<Array<f64>>>> {
    walk(
        graph,
        parameters,
        inputs,
        |step, read| step.op.reference_f64(read),
        |_, dtype, array| store(dtype, array),
    )
}

/// Runs `graph` in f32 and rounds every step's results to their storage type: what a careful f32 implementation loses.
#[cfg(feature = "check")]
pub(crate) fn run_in_storage_precision(
    graph: &Graph,
    inputs: &[(&str, &HostTensor)],
) -> Result<Vec<Arc<Array<f32>>>> {
    walk_in_storage_precision(graph, &Parameters::default(), inputs)
}

fn walk_in_f64(
    graph: &Graph,
    parameters: &Parameters<f64>,
    inputs: &[(&str, &HostTensor)],
) -> Result<Vec<Arc<Array<f64>>>> {
    walk(graph, parameters, inputs, |step, read| step.op.reference_f64(read), |_, _, array| array)
}

fn walk_in_storage_precision(
    graph: &Graph,
    parameters: &Parameters<f32>,
    inputs: &[(&str, &HostTensor)],
) -> Result<Vec<Arc<Array<f32>>>> {
    walk(
        graph,
        parameters,
        inputs,
        |step, read| step.op.reference_f32(read),
        |_, dtype, array| stored(dtype, array),
    )
}

/// An array rounded to what a tensor of `dtype` holds.
fn stored(dtype: DType, array: Array<f32>) -> Array<f32> {
    match dtype {
        DType::F16 => HostTensor::from_array(dtype, &array).to_array::<f32>(),
        _ => array,
    }
}

fn named_outputs<R: Real>(graph: &Graph, outputs: Vec<Arc<Array<R>>>) -> BTreeMap<String, HostTensor> {
    let round = |((name, value), array): (&(String, Value), Arc<Array<R>>)| {
        (name.clone(), HostTensor::from_array(graph.values()[value.index()].dtype, &array))
    };
    graph.outputs().iter().zip(outputs).map(round).collect()
}

/// The arrays of the outputs and then of the updates.
fn walk<R: Real>(
    graph: &Graph,
    parameters: &Parameters<R>,
    inputs: &[(&str, &HostTensor)],
    reference: impl Fn(&Step, &[&Array<R>]) -> Vec<Array<R>>,
    store: impl FnMut(Value, DType, Array<R>) -> Array<R>,
) -> Result<Vec<Arc<Array<R>>>> {
    let tensors = graph.match_inputs(inputs)?;
    let mut given = Vec::with_capacity(graph.kept().count() + tensors.len());
    for (name, value) in graph.kept() {
        given.push((*value, parameter(graph, parameters, name, *value)?));
    }
    let inputs = graph.inputs().iter().zip(tensors);
    given.extend(inputs.map(|((_, value), tensor)| (*value, Arc::new(tensor.to_array()))));
    let results: Vec<Value> = graph.results().collect();
    walk_from(graph, &results, given, reference, store)
}

/// The arrays of `results`, from those of parameters and inputs. Every array is passed through `store` after the step that made it, and
/// dropped after the last step that reads it.
fn walk_from<R: Real>(
    graph: &Graph,
    results: &[Value],
    given: impl IntoIterator<Item = (Value, Arc<Array<R>>)>,
    reference: impl Fn(&Step, &[&Array<R>]) -> Vec<Array<R>>,
    mut store: impl FnMut(Value, DType, Array<R>) -> Array<R>,
) -> Result<Vec<Arc<Array<R>>>> {
    let needed = graph.needed_for(results);
    let steps = || graph.steps().iter().zip(&needed).filter_map(|(step, &needed)| needed.then_some(step));
    let mut readers = vec![0; graph.values().len()];
    for value in steps().flat_map(|step| &step.inputs).chain(results) {
        readers[value.index()] += 1;
    }

    let mut values: Vec<Option<Arc<Array<R>>>> = vec![None; graph.values().len()];
    for (value, array) in given {
        values[value.index()] = Some(array);
    }
    for step in steps() {
        check_addressable(graph, step)?;
        let arguments: Vec<&Array<R>> =
            step.inputs.iter().filter_map(|value| values[value.index()].as_deref()).collect();
        let results = reference(step, &arguments);
        for value in &step.inputs {
            readers[value.index()] -= 1;
            if readers[value.index()] == 0 {
                values[value.index()] = None;
            }
        }
        for (value, result) in step.outputs.iter().zip(results) {
            if readers[value.index()] > 0 {
                let dtype = graph.values()[value.index()].dtype;
                values[value.index()] = Some(Arc::new(store(*value, dtype, result)));
            }
        }
    }
    Ok(results.iter().filter_map(|value| values[value.index()].clone()).collect())
}

/// Bytes of the arrays that live at once where they are most, when `graph` runs in numbers of `size` bytes; parameters and states, which
/// are there anyway, left out. What references take within a step is not counted.
pub(crate) fn peak_bytes(graph: &Graph, size: usize) -> u64 {
    let needed = graph.needed_steps();
    let steps = || graph.steps().iter().zip(&needed).filter_map(|(step, &needed)| needed.then_some(step));
    let mut readers = vec![0_u32; graph.values().len()];
    for value in steps().flat_map(|step| step.inputs.iter().copied()).chain(graph.results()) {
        readers[value.index()] += 1;
    }
    let bytes = |value: &Value| {
        let desc = &graph.values()[value.index()];
        let size = if desc.dtype.is_float() { size } else { size_of::<i64>() };
        (desc.elements() as u64).saturating_mul(size as u64)
    };
    let kept: std::collections::HashSet<Value> = graph.kept().map(|(_, value)| *value).collect();
    let mut live = graph.inputs().iter().fold(0_u64, |sum, (_, value)| sum.saturating_add(bytes(value)));
    let mut peak = live;
    for step in steps() {
        live = step.outputs.iter().fold(live, |sum, value| sum.saturating_add(bytes(value)));
        peak = peak.max(live);
        for value in &step.inputs {
            readers[value.index()] -= 1;
            if readers[value.index()] == 0 && !kept.contains(value) {
                live = live.saturating_sub(bytes(value));
            }
        }
        for value in step.outputs.iter().filter(|value| readers[value.index()] == 0) {
            live = live.saturating_sub(bytes(value));
        }
    }
    peak
}

/// The array of a parameter, checked against what the graph says of it.
fn parameter<R: Real>(
    graph: &Graph,
    parameters: &Parameters<R>,
    name: &str,
    value: Value,
) -> Result<Arc<Array<R>>> {
    let desc = &graph.values()[value.index()];
    let refused = |kind, found: String| {
        Error::new(kind, "run", format!("parameter `{name}`")).expecting(desc).but_found(found)
    };
    match parameters.arrays.get(name) {
        None => Err(refused(ErrorKind::Binding, "nothing".into())),
        Some((dtype, array)) if *dtype != desc.dtype || *array.shape() != desc.shape => {
            Err(refused(ErrorKind::Shape, format!("{dtype} {}", array.shape())))
        }
        Some((_, array)) => Ok(array.clone()),
    }
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
