//! Whether a graph gives the same under every plan: on the device with memory shared as usual and not at all, and on the CPU.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::gpu::{self, Context, Program, Session};
use crate::graph::Graph;
use crate::plan::Plan;
use crate::random::Random;
use crate::tensor::{Array, DType, HostTensor};
use crate::{Error, ErrorKind, Result, cpu};

/// A NaN in every float type.
const POISON: u8 = 0xFF;

/// Runs one behind the other, each on what the one before left in the parameters.
const RUNS: usize = 2;

/// What a step may lose of its largest result, in units of the last place: sums of a few dozen products, and built-in functions of
/// arguments near 0, lose less.
const STEP_ULPS: f64 = 32.0;

/// Runs in f64 whose steps are wrong by as much as they may be.
const PERTURBED_RUNS: u64 = 3;

/// The farthest of so many random runs is not the farthest possible one.
const MARGIN: f64 = 4.0;

/// Named tensors.
pub type Tensors<'t> = &'t [(&'t str, &'t HostTensor)];

/// Runs `graph` twice under its plan and under one in which no values share memory, and compares every output and every parameter after
/// each run: with each other bit for bit, and those of the first run with the CPU reference.
///
/// From the reference, an element may be as far as random errors of every step carry it, each of at most 32 units in the last place of
/// the step's largest result, four times over. Fails with the name of the output or parameter.
pub fn compare_plans(
    context: &Context,
    graph: &Graph,
    parameters: Tensors<'_>,
    inputs: Tensors<'_>,
) -> Result<()> {
    let run = |plan: Plan| run(context, &plan, parameters, inputs);
    let shared = run(Plan::new(graph, context.caps())?)?;
    let unshared = run(Plan::unshared(graph, context.caps())?)?;
    for (at, (one, other)) in shared.iter().zip(&unshared).enumerate() {
        for (name, tensor) in one {
            if tensor.bytes() != other[name].bytes() {
                let differ = |pair: &(f64, f64)| pair.0.to_bits() != pair.1.to_bits();
                let pairs = tensor.to_f64().into_iter().zip(other[name].to_f64());
                let first = pairs.enumerate().find(|(_, pair)| differ(pair));
                return Err(failed(name)
                    .expecting("the same bits whether memory is shared or not")
                    .but_found(format!("{first:?} in run {at}")));
            }
        }
    }
    for (name, bound) in bounds(graph, parameters, inputs)? {
        bound.check(&name, &shared[0][&name])?;
    }
    Ok(())
}

fn failed(name: &str) -> Error {
    Error::new(ErrorKind::Argument, "plans", format!("`{name}`"))
}

/// Outputs and parameters after each run.
fn run(
    context: &Context,
    plan: &Plan,
    parameters: Tensors<'_>,
    inputs: Tensors<'_>,
) -> Result<Vec<BTreeMap<String, HostTensor>>> {
    let program = Program::new(context, plan)?;
    let named = parameters.iter().map(|&(name, tensor)| Ok((name.to_owned(), tensor.clone())));
    let store = gpu::Parameters::upload(context, named)?;
    let mut session = Session::with_parameters(&program, &store, inputs)?;
    let mut runs = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let (_, outputs, slots) = session.buffers();
        for buffer in outputs.iter().chain(slots) {
            context.queue().write_buffer(buffer, 0, &vec![POISON; buffer.size() as usize]);
        }
        session.run()?;
        let mut found = session.read()?;
        for &(name, _) in parameters {
            found.insert(name.to_owned(), store.download(context, name)?);
        }
        runs.push(found);
    }
    Ok(runs)
}

/// What a result must be, and how far off each element may be.
struct Bound {
    exact: Arc<Array<f64>>,
    far: Vec<f64>,
    dtype: DType,
}

/// One for each output, and for each parameter that is updated.
fn bounds(graph: &Graph, parameters: Tensors<'_>, inputs: Tensors<'_>) -> Result<Vec<(String, Bound)>> {
    let named = parameters.iter().map(|&(name, tensor)| Ok((name.to_owned(), tensor.clone())));
    let parameters = cpu::Parameters::<f64>::new(named)?;
    let exact = cpu::run_stored(graph, &parameters, inputs, |_, array| array)?;
    let mut far: Vec<Vec<f64>> = exact.iter().map(|array| vec![0.0; array.shape().elements()]).collect();
    for seed in 0..PERTURBED_RUNS {
        let random = RefCell::new(Random::new(seed));
        let store = |dtype, array| perturbed(dtype, array, &mut random.borrow_mut());
        let results = cpu::run_stored(graph, &parameters, inputs, store)?;
        for ((far, result), exact) in far.iter_mut().zip(&results).zip(&exact) {
            // Integers have no reals.
            let pairs = result.reals().iter().zip(exact.reals());
            far.iter_mut().zip(pairs).for_each(|(far, (x, y))| *far = far.max((x - y).abs()));
        }
    }
    let names: BTreeMap<_, _> = graph.kept().map(|(name, value)| (value.index(), name)).collect();
    let outputs = graph.outputs().iter().map(|(name, value)| (name.clone(), *value));
    let updates =
        graph.updates().iter().map(|(parameter, value)| (names[&parameter.index()].clone(), *value));
    let results = exact.into_iter().zip(far);
    outputs
        .chain(updates)
        .zip(results)
        .map(|((name, value), (exact, far))| {
            Ok((name, Bound { exact, far, dtype: graph.desc(value)?.dtype }))
        })
        .collect()
}

impl Bound {
    fn check(&self, name: &str, found: &HostTensor) -> Result<()> {
        let found = found.to_f64();
        let integers = || self.exact.indices().iter().map(|&index| index as f64);
        if self.dtype.is_integer() {
            return match found.iter().copied().eq(integers()) {
                true => Ok(()),
                false => Err(failed(name)
                    .expecting(format!("{:?}", self.exact.indices()))
                    .but_found(format!("{found:?}"))),
            };
        }
        if found.len() != self.exact.reals().len() {
            return Err(failed(name).expecting(self.exact.reals().len()).but_found(found.len()));
        }
        // Where random errors carry one element they may carry another.
        let far = MARGIN * self.far.iter().copied().fold(0.0, f64::max);
        let pairs = found.iter().zip(self.exact.reals()).enumerate();
        let mut wrong = pairs.filter(|(_, (x, exact))| {
            let distance = (**x - **exact).abs();
            // A distance that is no number is not within the bound.
            distance.is_nan() || distance > far + round_off(self.dtype) * exact.abs()
        });
        match wrong.next() {
            None => Ok(()),
            Some((at, (x, exact))) => Err(failed(name)
                .expecting(format!("{exact:e} within {far:e}, element {at}"))
                .but_found(format!("{x:e}"))),
        }
    }
}

fn round_off(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => f64::from(half::f16::EPSILON),
        _ => f64::from(f32::EPSILON),
    }
}

/// What a step made, each element off by a random part of what a step may lose.
fn perturbed(dtype: DType, array: Array<f64>, random: &mut Random) -> Array<f64> {
    if dtype.is_integer() {
        return array;
    }
    let largest = array.reals().iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    let stored = if dtype == DType::F16 { round_off(dtype) } else { 0.0 };
    let off = (STEP_ULPS * f64::from(f32::EPSILON) + stored) * largest;
    let reals = array.reals().iter().map(|x| x + off * f64::from(random.next_f32())).collect();
    Array::real(array.shape().clone(), reals)
}
