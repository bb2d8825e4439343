//! Gradients of a case: as a case of its own, for devices, and against central differences, for the references.

use std::sync::Arc;

use super::case::{Case, Problem};
use crate::graph::Value;
use crate::random::Random;
use crate::tensor::{Array, DType};
use crate::{Error, ErrorKind, Result, cpu, ops};

/// How the gradient of a case compares with central differences.
#[derive(Clone, Debug, PartialEq)]
pub enum Slopes {
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

/// The case's op in mid-graph: a random gradient comes from above, and the outcome is the gradient of every float input. None for an op
/// without gradients, and where no output depends on a float input.
pub fn gradient_case(case: &Arc<Case>) -> Result<Option<Case>> {
    if differentiated(case)?.is_none() {
        return Ok(None);
    }
    let inner = case.clone();
    let build = move |problem: &mut Problem| {
        let differentiated = differentiated(&inner)?.ok_or_else(|| {
            Error::new(ErrorKind::NotDifferentiable, inner.op(), "case")
                .expecting("gradients")
                .but_found("none")
        })?;
        let gradients = differentiated.gradients;
        *problem = differentiated.problem;
        Ok(gradients)
    };
    // Backward passes evaluate the built-in functions of the forward pass again.
    Ok(Some(Case::new(case.op(), case.label(), build).builtin_ulps(2.0 * case.allowed_ulps())))
}

/// A case with a loss on top, and the gradients of its inputs.
struct Differentiated {
    problem: Problem,
    loss: Value,
    wrt: Vec<Value>,
    gradients: Vec<Value>,
}

/// `sum(output * upstream)` over all float outputs, with random upstreams, differentiated.
fn differentiated(case: &Case) -> Result<Option<Differentiated>> {
    let mut problem = Problem::default();
    let outputs = case.build(&mut problem)?;
    let is_float = |problem: &Problem, value: Value| problem.desc(value).map(|desc| desc.dtype.is_float());
    let mut wrt = Vec::new();
    for (_, value) in problem.graph.inputs().to_vec() {
        if is_float(&problem, value)? {
            wrt.push(value);
        }
    }
    let mut loss = None;
    for (i, output) in outputs.into_iter().enumerate() {
        let desc = problem.desc(output)?.clone();
        if !desc.dtype.is_float() || desc.elements() == 0 {
            continue;
        }
        let upstream = problem.random(&format!("upstream {i}"), desc.dtype, desc.shape.clone(), 1.0)?;
        let graph = &mut problem.graph;
        let mut weighted = ops::multiply(graph, output, upstream)?;
        if desc.dtype == DType::F16 {
            weighted = ops::cast(graph, weighted, DType::F32)?;
        }
        let flat = ops::reshape(graph, weighted, [desc.elements()])?;
        let part = ops::sum(graph, flat, &[0])?;
        loss = Some(match loss {
            None => part,
            Some(loss) => ops::add(graph, loss, part)?,
        });
    }
    let Some(loss) = loss else { return Ok(None) };
    let mut depending = Vec::with_capacity(wrt.len());
    for value in wrt {
        if problem.graph.depends(loss, value) {
            depending.push(value);
        }
    }
    if depending.is_empty() {
        return Ok(None);
    }
    match problem.graph.gradients(loss, &depending) {
        Ok(gradients) => Ok(Some(Differentiated { problem, loss, wrt: depending, gradients })),
        Err(error) if error.kind() == ErrorKind::NotDifferentiable => Ok(None),
        Err(error) => Err(error),
    }
}

/// Holds the references' gradients of `case` to central differences in f64, along random directions through each input.
pub fn slopes(case: &Case) -> Result<Slopes> {
    let Some(Differentiated { problem, loss, wrt, gradients }) = differentiated(case)? else {
        return Ok(Slopes::None);
    };
    let too_large = problem.graph.values().iter().any(|desc| desc.elements() > MOST_ELEMENTS);
    let start: Vec<Array<f64>> = problem.inputs().iter().map(|(_, tensor)| tensor.to_array()).collect();
    let far = start.iter().flat_map(|array| array.reals()).any(|x| x.abs() > LARGEST_INPUT);
    if case.is_kinked() || too_large || far {
        return Ok(Slopes::None);
    }
    let place_of = |value| problem.graph.inputs().iter().position(|(_, input)| input == value);
    let places: Vec<usize> = wrt.iter().filter_map(place_of).collect();
    let computed = cpu::run_arrays(&problem.graph, &gradients, &start)?;
    let (mut worst, mut random) = (0.0f64, Random::new(1));
    let loss_at = |inputs: &[Array<f64>]| -> Result<f64> {
        Ok(cpu::run_arrays(&problem.graph, &[loss], inputs)?[0].reals()[0])
    };
    let size = loss_at(&start)?.abs();
    for (i, &place) in places.iter().enumerate() {
        let direction: Vec<f64> = (0..start[place].reals().len()).map(|_| random.next_f32().into()).collect();
        let along = |step: f64| -> Result<f64> {
            let mut moved = start.clone();
            let reals = start[place].reals().iter().zip(&direction).map(|(x, d)| x + step * d).collect();
            moved[place] = Array::real(start[place].shape().clone(), reals);
            loss_at(&moved)
        };
        let difference = |step: f64| -> Result<f64> { Ok((along(step)? - along(-step)?) / (2.0 * step)) };
        // Richardson's extrapolation: what is left of the step falls with its fourth power.
        let step = 1e-4;
        let expected = (4.0 * difference(step / 2.0)? - difference(step)?) / 3.0;
        let products = || computed[i].reals().iter().zip(&direction).map(|(g, d)| g * d);
        let found: f64 = products().sum();
        let allowed = 1e-6 * (products().map(f64::abs).sum::<f64>() + 1e-3 * size + 1e-6);
        let of_allowed = (found - expected).abs() / allowed;
        if of_allowed.is_nan() || of_allowed > 1.0 {
            return Ok(Slopes::Differ(format!("input {place}: gradient {found:e}, but slope {expected:e}")));
        }
        worst = worst.max(of_allowed);
    }
    Ok(Slopes::Agree(worst))
}
