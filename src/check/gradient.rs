//! Gradients of a case: as a case of its own, for devices, and against central differences, for the references.

use std::sync::Arc;

use super::case::{Case, Problem};
use crate::graph::Value;
use crate::random::Random;
use crate::tensor::{Array, TensorDesc};
use crate::{Error, ErrorKind, Result, cpu};

/// How the gradient of a case compares with central differences.
#[derive(Clone, Debug, PartialEq)]
pub enum Differences {
    /// They agree; the largest distance over what was allowed.
    Agree(f64),
    /// They do not, in one sentence.
    Differ(String),
    /// Nothing to compare: the op has no gradients by design, or the case lies on a kink or where steps vanish by rounding.
    None,
}

/// Inputs beyond this leave no room for a step that is small and yet survives rounding.
const LARGEST_INPUT: f64 = 100.0;

/// Elements from which on a graph is too large to be run many times.
const MOST_ELEMENTS: usize = 1 << 16;

/// The gradients of a forward case: random upstream gradients of its outputs are further inputs, and the outcome is the gradient of
/// every float input that has one.
///
/// None where no float output depends on a float input, for an op that has no gradients, and where gradients overflow the element type. An output that is only there for the
/// backward pass, and refuses an upstream gradient, gets none.
pub fn gradient_case(case: &Arc<Case>) -> Result<Option<Case>> {
    if case.is_without_gradients() || differentiated(case)?.is_none() {
        return Ok(None);
    }
    let inner = case.clone();
    let build = move |problem: &mut Problem| {
        let differentiated = differentiated(&inner)?.ok_or_else(|| {
            Error::new(ErrorKind::NotDifferentiable, inner.op(), "case")
                .expecting("gradients")
                .but_found("none")
        })?;
        *problem = differentiated.problem;
        Ok(differentiated.gradients.into_iter().filter_map(|(_, gradient)| gradient).collect())
    };
    // Backward passes evaluate the built-in functions of the forward pass again.
    let label = format!("gradients: {}", case.label());
    Ok(Some(Case::new(case.op(), label, build).builtin_ulps(2.0 * case.allowed_ulps())))
}

/// A case with the gradients of its inputs.
struct Differentiated {
    problem: Problem,
    /// Outputs of the case, each with its upstream gradient, an input.
    seeds: Vec<(Value, Value)>,
    /// Float inputs of the case, each with its gradient, if it has one.
    gradients: Vec<(Value, Option<Value>)>,
}

/// The case with upstream gradients for every output that takes one.
fn differentiated(case: &Case) -> Result<Option<Differentiated>> {
    let outputs = case.build(&mut Problem::default())?.len();
    let all = seeded(case, &vec![true; outputs])?;
    if all.is_some() || outputs < 2 {
        return Ok(all);
    }
    let takes = (0..outputs).map(|output| {
        let alone: Vec<bool> = (0..outputs).map(|other| other == output).collect();
        Ok(seeded(case, &alone)?.is_some())
    });
    seeded(case, &takes.collect::<Result<Vec<bool>>>()?)
}

/// The case with upstream gradients for the outputs marked in `takes`.
fn seeded(case: &Case, takes: &[bool]) -> Result<Option<Differentiated>> {
    let mut problem = Problem::default();
    let outputs = case.build(&mut problem)?;
    let is_float = |problem: &Problem, value: Value| problem.desc(value).map(|desc| desc.dtype.is_float());
    let mut wrt = Vec::new();
    for (_, value) in problem.graph.inputs().to_vec() {
        if is_float(&problem, value)? {
            wrt.push(value);
        }
    }
    let mut seeds = Vec::new();
    for (i, output) in outputs.into_iter().enumerate() {
        if takes[i] && is_float(&problem, output)? {
            let TensorDesc { dtype, shape } = problem.desc(output)?.clone();
            seeds.push((output, problem.random(&format!("upstream {i}"), dtype, shape, 1.0)?));
        }
    }
    match problem.graph.gradients_from(&seeds, &wrt) {
        Ok(found) => {
            let any = found.iter().any(Option::is_some);
            let gradients = wrt.into_iter().zip(found).collect();
            Ok(any.then_some(Differentiated { problem, seeds, gradients }))
        }
        Err(error) if error.kind() == ErrorKind::NotDifferentiable => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether [`central_differences`] has anything to compare.
pub fn has_central_differences(case: &Case) -> Result<bool> {
    Ok(comparable(case)?.is_some())
}

/// The gradients of a case, and its inputs in f64, where differences around the inputs tell derivatives.
fn comparable(case: &Case) -> Result<Option<(Differentiated, Vec<Array<f64>>)>> {
    let Some(differentiated) = differentiated(case)?.filter(|_| !case.is_kinked()) else { return Ok(None) };
    let Differentiated { problem, gradients, .. } = &differentiated;
    let values = problem.graph.values();
    let too_large = values.iter().any(|desc| desc.elements() > MOST_ELEMENTS);
    let empty = gradients.iter().all(|(input, _)| values[input.index()].elements() == 0);
    if too_large || empty {
        return Ok(None);
    }
    let start: Vec<Array<f64>> = problem.inputs().iter().map(|(_, tensor)| tensor.to_array()).collect();
    let far = start.iter().flat_map(|array| array.reals()).any(|x| x.abs() > LARGEST_INPUT);
    Ok((!far).then_some((differentiated, start)))
}

/// Holds the references' gradients of `case` to central differences of `sum(output * upstream)` in f64, along random directions
/// through each input.
pub fn central_differences(case: &Case) -> Result<Differences> {
    let Some((Differentiated { problem, seeds, gradients }, start)) = comparable(case)? else {
        return Ok(Differences::None);
    };
    let graph = &problem.graph;
    let (outputs, upstreams): (Vec<Value>, Vec<Value>) = seeds.into_iter().unzip();
    let upstreams = cpu::run_arrays(graph, &upstreams, &start)?;
    let loss_at = |inputs: &[Array<f64>]| -> Result<f64> {
        let outputs = cpu::run_arrays(graph, &outputs, inputs)?;
        let products = outputs.iter().zip(&upstreams).flat_map(|(output, upstream)| {
            output.reals().iter().zip(upstream.reals()).map(|(output, upstream)| output * upstream)
        });
        Ok(products.sum())
    };
    let place_of = |value| graph.inputs().iter().position(|(_, input)| *input == value);
    let mut worst = 0.0f64;
    for (value, gradient) in gradients {
        let Some(place) = place_of(value).filter(|&place| !start[place].reals().is_empty()) else { continue };
        let gradient = match gradient {
            Some(gradient) => cpu::run_arrays(graph, &[gradient], &start)?.remove(0),
            // The ops say that this input has no influence, which the difference quotient shows.
            None => {
                Arc::new(Array::real(start[place].shape().clone(), vec![0.0; start[place].reals().len()]))
            }
        };
        match along_a_direction(place, &gradient, &start, &loss_at)? {
            Differences::Agree(of_allowed) => worst = worst.max(of_allowed),
            other => return Ok(other),
        }
    }
    Ok(Differences::Agree(worst))
}

/// Holds the gradient of the input at `place` to the difference quotient of the loss along a random direction.
fn along_a_direction(
    place: usize,
    gradient: &Array<f64>,
    start: &[Array<f64>],
    loss_at: &dyn Fn(&[Array<f64>]) -> Result<f64>,
) -> Result<Differences> {
    let mut random = Random::new(1 + place as u64);
    let direction: Vec<f64> = gradient.reals().iter().map(|_| random.next_f32().into()).collect();
    let along = |step: f64| -> Result<f64> {
        let mut moved = start.to_vec();
        let reals = start[place].reals().iter().zip(&direction).map(|(x, d)| x + step * d).collect();
        moved[place] = Array::real(start[place].shape().clone(), reals);
        loss_at(&moved)
    };
    let difference = |step: f64| -> Result<f64> { Ok((along(step)? - along(-step)?) / (2.0 * step)) };
    // Richardson's extrapolation: what is left of the step falls with its fourth power.
    let step = 1e-4;
    let expected = (4.0 * difference(step / 2.0)? - difference(step)?) / 3.0;
    let products = || gradient.reals().iter().zip(&direction).map(|(g, d)| g * d);
    let found: f64 = products().sum();
    let size = loss_at(start)?.abs();
    let allowed = 1e-6 * (products().map(f64::abs).sum::<f64>() + 1e-3 * size + 1e-6);
    let of_allowed = (found - expected).abs() / allowed;
    if of_allowed.is_nan() || of_allowed > 1.0 {
        return Ok(Differences::Differ(format!(
            "input {place}: gradient {found:e}, but difference quotient {expected:e}"
        )));
    }
    Ok(Differences::Agree(of_allowed))
}
