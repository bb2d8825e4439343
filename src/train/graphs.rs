//! The graphs of a training: the loss with its gradients and the optimiser's steps.

use std::collections::BTreeSet;

use super::optimizer::STATE_PREFIXES;
use super::settings::{LossScale, Settings};
use crate::graph::{Graph, Value};
use crate::nn::Training;
use crate::ops::loss::cross_entropy;
use crate::ops::optimizer::{Control, GlobalNorm, accumulate, global_norm};
use crate::tensor::{DType, TensorDesc};
use crate::weights::Declarations;
use crate::{Error, ErrorKind, Result, ops};

const NAME: &str = "train";

/// The input that counts runs, `u32 [1]`: what [`ops::dropout`] takes as its step. Record it where it is needed, and it is filled in.
pub const STEP: &str = "train.step";
pub(super) const SCHEDULE: &str = "train.schedule";
pub(super) const LOSS_SCALE: &str = "train.loss_scale";
pub(super) const LOSS: &str = "loss";
pub(super) const NORM: &str = "norm";
pub(super) const FACTOR: &str = "factor";

/// Prefix of the parameters that gradients of several batches add up in.
pub(super) const GRADIENT_PREFIX: &str = "gradient.";

/// The parameter in which the targets of several batches add up. Names of weights hold no blank.
const TARGETS: &str = "gradient.of targets";

/// The output that says how many targets a batch's loss is a mean of.
pub(super) const COUNT: &str = "count";

/// What a loss is recorded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A training step: the loss is differentiated, and dropout is on.
    Train,
    /// Validation: no gradients, and no dropout.
    Evaluate,
}

impl Mode {
    /// `training` for a graph of this mode: with dropout it records [`STEP`] as the step, and an evaluation drops and changes nothing.
    pub fn prepare(self, graph: &mut Graph, training: Training) -> Result<Training> {
        let drops = self == Self::Train && training.dropout > 0.0;
        let step = drops.then(|| graph.input(STEP, TensorDesc::new(DType::U32, [1]))).transpose()?;
        let evaluates = self == Self::Evaluate;
        Ok(Training { dropout: if drops { training.dropout } else { 0.0 }, step, evaluates, ..training })
    }
}

/// Records a loss: f32, one element. All its parameters are trained, but for those that have no influence on it, and those that it updates itself, as
/// the running averages of a batch normalisation. In [`Mode::Evaluate`] it must update none.
pub type RecordLoss<'a> = dyn Fn(&mut Graph, Mode) -> Result<Value> + 'a;

/// A graph that holds all weights in f32, whatever layers compute in.
pub(super) fn declared(declarations: &Declarations) -> Result<Graph> {
    let mut graph = Graph::new();
    for declaration in declarations.list() {
        let reserved = STATE_PREFIXES.iter().chain(&[GRADIENT_PREFIX]);
        if reserved.into_iter().any(|prefix| declaration.name.starts_with(prefix)) {
            return Err(Error::new(ErrorKind::Weights, NAME, format!("`{}`", declaration.name))
                .expecting("a name that does not begin as the optimiser's state does")
                .but_found("one that does"));
        }
        graph.parameter(&declaration.name, TensorDesc::new(DType::F32, declaration.shape.clone()))?;
    }
    Ok(graph)
}

/// The graph of a batch's gradients, and the names of weights that a training changes.
pub(super) struct Recorded {
    pub(super) graph: Graph,
    /// Those that have an influence on the loss, and follow their gradients.
    pub(super) trained: Vec<String>,
    /// Those that the loss updates itself.
    pub(super) updated: Vec<String>,
}

/// The loss of an evaluation. Fails where it would change a parameter.
pub(super) fn evaluation_graph(declarations: &Declarations, record: &RecordLoss<'_>) -> Result<Graph> {
    let mut graph = declared(declarations)?;
    let loss = record(&mut graph, Mode::Evaluate)?;
    graph.output(LOSS, loss)?;
    if let Some((name, _)) = graph.parameters().iter().find(|(_, value)| is_updated(&graph, *value)) {
        return Err(Error::new(ErrorKind::Argument, NAME, "loss")
            .expecting("one that changes nothing in an evaluation")
            .but_found(format!("an update of `{name}`")));
    }
    Ok(graph)
}

/// Whether a run of the graph, as it is so far, changes a parameter.
fn is_updated(graph: &Graph, parameter: Value) -> bool {
    graph.updates().iter().any(|(updated, _)| *updated == parameter)
}

/// The loss and its gradients; with one batch a step also the step, else what adds the gradients up. Weights that it neither trains nor updates stay
/// as they are.
pub(super) fn gradient_graph(
    declarations: &Declarations,
    record: &RecordLoss<'_>,
    settings: &Settings,
) -> Result<Recorded> {
    let mut graph = declared(declarations)?;
    let count = graph.parameters().len();
    let loss = record(&mut graph, Mode::Train)?;
    let (updated, weights): (Vec<_>, Vec<_>) =
        graph.parameters()[..count].iter().cloned().partition(|(_, value)| is_updated(&graph, *value));
    let updated = updated.into_iter().map(|(name, _)| name).collect();
    if let Some((name, _)) = graph.parameters().get(count) {
        return Err(Error::new(ErrorKind::Weights, NAME, format!("`{name}`"))
            .expecting("a declared weight")
            .but_found("a parameter of the loss that is none"));
    }
    let desc = graph.desc(loss)?;
    if desc.dtype != DType::F32 {
        return Err(Error::new(ErrorKind::Dtype, NAME, "loss").expecting("f32").but_found(desc));
    }
    graph.output(LOSS, loss)?;
    let target = scaled(&mut graph, loss, settings)?;
    let values: Vec<Value> = weights.iter().map(|(_, value)| *value).collect();
    let gradients = graph.gradients_where_any(target, &values)?;
    let count = weights.len();
    let (trained, gradients): (Vec<(String, Value)>, Vec<Value>) =
        weights.into_iter().zip(gradients).filter_map(|(weight, gradient)| Some((weight, gradient?))).unzip();
    if trained.is_empty() {
        return Err(Error::new(ErrorKind::Argument, NAME, "loss")
            .expecting("one that depends on a weight")
            .but_found(format!("{count} weights without influence on it")));
    }
    if settings.accumulate == 1 {
        optimise(&mut graph, &trained, &gradients, None, settings)?;
    } else {
        for ((name, weight), gradient) in trained.iter().zip(gradients) {
            let desc = graph.desc(*weight)?.clone();
            add_to(&mut graph, &format!("{GRADIENT_PREFIX}{name}"), desc, gradient)?;
        }
    }
    let trained = trained.into_iter().map(|(name, _)| name).collect();
    Ok(Recorded { graph, trained, updated })
}

/// What gradients are taken of: the loss times its scale and, of several batches, times its number of targets, so that each target counts alike,
/// however many its own batch has.
fn scaled(graph: &mut Graph, loss: Value, settings: &Settings) -> Result<Value> {
    let mut target = loss;
    if settings.loss_scale != LossScale::None {
        let scale = graph.input(LOSS_SCALE, TensorDesc::f32([1]))?;
        target = ops::multiply(graph, target, scale)?;
    }
    if settings.accumulate > 1 {
        let targets = count_targets(graph, loss)?;
        target = ops::multiply(graph, target, targets)?;
        add_to(graph, TARGETS, TensorDesc::f32([1]), targets)?;
        graph.output(COUNT, targets)?;
    }
    Ok(target)
}

/// Adds `value` to a parameter of that name, which is a sum over batches.
fn add_to(graph: &mut Graph, name: &str, desc: TensorDesc, value: Value) -> Result<()> {
    let total = graph.parameter(name, desc)?;
    let sum = accumulate(graph, total, value)?;
    graph.update(total, sum)
}

/// How many targets `loss` is a mean of, f32 `[1]`: of a cross-entropy those of its classes, of any other loss one.
fn count_targets(graph: &mut Graph, loss: Value) -> Result<Value> {
    let made = graph.steps().iter().find(|step| step.outputs().contains(&loss));
    let Some((logits, targets)) = made
        .filter(|step| step.op_name() == cross_entropy::NAME)
        .and_then(|step| Some((*step.inputs().first()?, *step.inputs().get(1)?)))
    else {
        return ops::fill(graph, TensorDesc::f32([1]), 1.0);
    };
    let classes = graph.desc(logits)?.shape.dims().last().copied().unwrap_or(0);
    let targets = ops::cast(graph, targets, DType::F32)?;
    let shape = graph.desc(targets)?.shape.clone();
    let targets = ops::reshape(graph, targets, [shape.elements()])?;
    let (zero, classes) = (
        ops::fill(graph, TensorDesc::f32([1]), 0.0)?,
        ops::fill(graph, TensorDesc::f32([1]), classes as f32)?,
    );
    let (at_least, below) = (ops::greater_equal(graph, targets, zero)?, ops::less(graph, targets, classes)?);
    let (at_least, below) = (ops::cast(graph, at_least, DType::F32)?, ops::cast(graph, below, DType::F32)?);
    let counted = ops::multiply(graph, at_least, below)?;
    ops::sum(graph, counted, &[0])
}

/// The step on gradients of the weights called `trained` that were added up, which starts their sums anew.
pub(super) fn apply_graph(
    declarations: &Declarations,
    trained: &BTreeSet<String>,
    settings: &Settings,
) -> Result<Graph> {
    let mut graph = declared(declarations)?;
    let weights: Vec<(String, Value)> =
        graph.parameters().iter().filter(|(name, _)| trained.contains(name)).cloned().collect();
    if settings.loss_scale != LossScale::None {
        graph.input(LOSS_SCALE, TensorDesc::f32([1]))?;
    }
    let mut gradients = Vec::with_capacity(weights.len());
    for (name, weight) in &weights {
        let desc = graph.desc(*weight)?.clone();
        gradients.push(graph.parameter(&format!("{GRADIENT_PREFIX}{name}"), desc)?);
    }
    gradients.push(graph.parameter(TARGETS, TensorDesc::f32([1]))?);
    let totals = gradients.len() - 1;
    optimise(&mut graph, &weights, &gradients[..totals], Some(gradients[totals]), settings)?;
    for gradient in gradients {
        let desc = graph.desc(gradient)?.clone();
        let zeros = ops::fill(&mut graph, desc, 0.0)?;
        graph.update(gradient, zeros)?;
    }
    Ok(graph)
}

/// Appends the optimiser's step of every weight, on gradients over `count`, where they are sums of so many targets' own.
fn optimise(
    graph: &mut Graph,
    weights: &[(String, Value)],
    gradients: &[Value],
    count: Option<Value>,
    settings: &Settings,
) -> Result<()> {
    let schedule = graph.input(SCHEDULE, TensorDesc::f32([3]))?;
    let one = ops::fill(graph, TensorDesc::f32([1]), 1.0)?;
    // Where no batch had a target, gradients are 0, whatever they are divided by.
    let count = match count {
        Some(count) => ops::maximum(graph, count, one)?,
        None => one,
    };
    let factor = if settings.needs_norm() {
        let scale = graph.inputs().iter().find(|(name, _)| name == LOSS_SCALE).map(|(_, scale)| *scale);
        let scale = scale.map_or(Ok(count), |scale| ops::multiply(graph, scale, count))?;
        let bound = GlobalNorm { max_norm: settings.max_norm };
        let (norm, factor) = global_norm(graph, gradients, scale, &bound)?;
        graph.output(NORM, norm)?;
        graph.output(FACTOR, factor)?;
        factor
    } else {
        ops::divide(graph, one, count)?
    };
    let control = Control { schedule, factor };
    for ((name, weight), gradient) in weights.iter().zip(gradients) {
        settings.optimizer.record(graph, (name, *weight), *gradient, control)?;
    }
    Ok(())
}
