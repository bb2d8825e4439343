//! One training: a graph of the loss, its gradients and the optimiser's steps, run again and again.

use std::collections::BTreeMap;
use std::path::Path;

use super::checkpoint::{self, Description, Progress};
use super::machine::{Machine, Routine};
use super::optimizer::{Optimizer, STATE_PREFIXES};
use super::schedule::Schedule;
use crate::graph::{Graph, Value};
use crate::models::Device;
use crate::ops::optimizer::{Control, GlobalNorm, accumulate, global_norm};
use crate::plan::Memory;
use crate::tensor::{DType, HostTensor, TensorDesc};
use crate::weights::{Checkpoint, Declarations};
use crate::{Error, ErrorKind, Result, ops};

const NAME: &str = "train";

/// The input that counts runs, `u32 [1]`: what [`ops::dropout`] takes as its step. Record it where it is needed, and it is filled in.
pub const STEP: &str = "train.step";
const SCHEDULE: &str = "train.schedule";
const LOSS_SCALE: &str = "train.loss_scale";
const LOSS: &str = "loss";
const NORM: &str = "norm";
const FACTOR: &str = "factor";

/// Prefix of the parameters that gradients of several batches add up in.
const GRADIENT_PREFIX: &str = "gradient.";

/// What a loss is recorded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To be differentiated: dropout drops.
    Train,
    /// To be looked at.
    Evaluate,
}

/// Records a loss: f32, one element. All its parameters are trained.
pub type RecordLoss<'a> = dyn Fn(&mut Graph, Mode) -> Result<Value> + 'a;

/// What losses are multiplied with before they are differentiated, so that small gradients do not vanish in f16.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum LossScale {
    /// Nothing.
    #[default]
    None,
    /// Always the same, at least 1; steps whose gradients overflow are skipped.
    Fixed(f32),
    /// Halved when gradients overflow, which skips the step, and doubled after `patience` steps in a row without (Micikevicius et al.,
    /// arXiv 1710.03740, section 3.2).
    Dynamic {
        /// The first scale, at least 1.
        start: f32,
        /// Steps until it is doubled.
        patience: u64,
    },
}

/// How to train.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// How parameters follow their gradients.
    pub optimizer: Optimizer,
    /// The learning rate.
    pub schedule: Schedule,
    /// The largest norm of all gradients together; longer ones are shortened to it.
    pub max_norm: Option<f32>,
    /// Batches whose gradients make one step.
    pub accumulate: usize,
    /// For layers that compute in f16.
    pub loss_scale: LossScale,
}

/// Where a training starts from.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// From these weights, by name, at step 0.
    Weights(&'a BTreeMap<String, HostTensor>),
    /// From where another process left off.
    Checkpoint(&'a Checkpoint),
}

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Which step it was, counted from 1.
    pub step: u64,
    /// The mean loss of its batches, before the step.
    pub loss: f32,
    /// The learning rate.
    pub rate: f32,
    /// The norm of all gradients before they were shortened, where it is computed: with [`Settings::max_norm`] or a loss scale.
    pub norm: Option<f32>,
    /// Whether gradients overflowed, so that nothing changed.
    pub skipped: bool,
}

/// The tensors of one batch, by the names of the loss's inputs.
pub type Batch<'a> = [(&'a str, &'a HostTensor)];

/// A training under way. Everything but the batches stays on the device.
#[derive(Debug)]
pub struct Trainer {
    settings: Settings,
    progress: Progress,
    /// Parameters that a checkpoint holds: weights and the optimiser's state.
    state: Vec<String>,
    machine: Machine,
    gradients: Routine,
    /// With accumulation, the step itself.
    apply: Option<Routine>,
    evaluation: Routine,
}

impl Trainer {
    /// Records the loss with its gradients and the optimiser's steps, and puts everything on `device`. `declarations` are the weights
    /// the loss uses, all f32; `description` is what [`Trainer::save`] writes beside them.
    ///
    /// Fails when the loss is not one f32, does not depend on a weight or is not differentiable, when settings have no meaning, when
    /// the checkpoint is another model's or damaged, and when the device has no room.
    pub fn new(
        device: &Device,
        declarations: &Declarations,
        record: &RecordLoss<'_>,
        start: Start<'_>,
        description: Description,
        settings: Settings,
    ) -> Result<Self> {
        settings.check()?;
        let gradients = gradient_graph(declarations, record, &settings)?;
        let apply = (settings.accumulate > 1).then(|| apply_graph(declarations, &settings)).transpose()?;
        let mut evaluation = declared(declarations)?;
        let loss = record(&mut evaluation, Mode::Evaluate)?;
        evaluation.output(LOSS, loss)?;

        let mut parameters: Vec<(String, TensorDesc)> = Vec::new();
        for graph in [Some(&gradients), apply.as_ref()].into_iter().flatten() {
            for (name, value) in graph.parameters() {
                if parameters.iter().all(|(known, _)| known != name) {
                    parameters.push((name.clone(), graph.desc(*value)?.clone()));
                }
            }
        }
        let state = parameters.iter().map(|(name, _)| name.clone()).filter(|name| is_state(name)).collect();
        let (tensors, progress) = match start {
            Start::Weights(weights) => {
                let progress = Progress::new(description);
                (fresh_tensors(&parameters, weights)?, progress)
            }
            Start::Checkpoint(checkpoint) => {
                let progress = Progress::of(checkpoint)?.with(description, checkpoint)?;
                (stored_tensors(&parameters, checkpoint)?, progress)
            }
        };
        Ok(Self {
            settings,
            progress,
            state,
            machine: Machine::new(device, tensors.into_iter().map(Ok))?,
            gradients: Routine::new(gradients),
            apply: apply.map(Routine::new),
            evaluation: Routine::new(evaluation),
        })
    }

    /// Steps that are done.
    pub fn step_count(&self) -> u64 {
        self.progress.step
    }

    /// One step on [`Settings::accumulate`] batches.
    ///
    /// Fails when there are more or fewer or one does not fit the loss's inputs; with [`ErrorKind::Diverged`] when the loss is not a
    /// finite number, or gradients are not and no smaller loss scale is left to try, which leaves the parameters of no use but every
    /// checkpoint as it is; and when the device fails.
    pub fn step(&mut self, batches: &[&Batch<'_>]) -> Result<StepReport> {
        if batches.len() != self.settings.accumulate {
            return Err(Error::new(ErrorKind::Argument, NAME, "batches")
                .expecting(self.settings.accumulate)
                .but_found(batches.len()));
        }
        let step = self.progress.step + 1;
        let rate = self.settings.schedule.rate(step);
        let [first, second] = self.settings.optimizer.corrections(self.progress.applied + 1);
        let schedule = HostTensor::f32([3], vec![rate, first, second])?;
        let scale = HostTensor::f32([1], vec![self.loss_scale()])?;
        let zero = HostTensor::u32([1], vec![0])?;
        for batch in batches {
            // All of them before the first adds to any sum.
            let own = [(STEP, &zero), (SCHEDULE, &schedule), (LOSS_SCALE, &scale)];
            self.gradients.graph().match_inputs(&with_own(&self.gradients, batch, &own))?;
        }
        let (mut losses, mut outputs) = (Vec::new(), Default::default());
        for (index, batch) in batches.iter().enumerate() {
            let run = self.progress.step * self.settings.accumulate as u64 + index as u64;
            // The generator's counter is 32 bits wide; a training of as many steps repeats its masks.
            let counter = HostTensor::u32([1], vec![run as u32])?;
            let own = [(STEP, &counter), (SCHEDULE, &schedule), (LOSS_SCALE, &scale)];
            let inputs = with_own(&self.gradients, batch, &own);
            outputs = self.machine.run(&mut self.gradients, &inputs)?;
            losses.push(outputs[LOSS].to_f32()[0]);
        }
        if let Some(apply) = &mut self.apply {
            let own = [(SCHEDULE, &schedule), (LOSS_SCALE, &scale)];
            let inputs = with_own(apply, &[], &own);
            outputs = self.machine.run(apply, &inputs)?;
        }
        let diverged = |expected: &str| {
            Error::new(ErrorKind::Diverged, NAME, format!("step {step}")).expecting(expected).with_hint(
                "resume from the last checkpoint with a lower learning rate or a bound on gradients",
            )
        };
        let loss = losses.iter().sum::<f32>() / losses.len() as f32;
        if !loss.is_finite() {
            return Err(diverged("a finite loss").but_found(loss));
        }
        let scalar = |name: &str| outputs.get(name).map(|tensor| tensor.to_f32()[0]);
        let skipped = scalar(FACTOR) == Some(0.0);
        if skipped && self.settings.loss_scale.is_least(self.loss_scale()) {
            return Err(diverged("finite gradients").but_found("gradients that overflowed"));
        }
        self.progress.step = step;
        self.progress.applied += u64::from(!skipped);
        self.rescale(skipped);
        let norm = scalar(NORM).filter(|_| !skipped);
        Ok(StepReport { step, loss, rate, norm, skipped })
    }

    /// The loss scale in force.
    fn loss_scale(&self) -> f32 {
        match self.settings.loss_scale {
            LossScale::Dynamic { start, .. } => self.progress.loss_scale.unwrap_or(start),
            LossScale::Fixed(scale) => scale,
            LossScale::None => 1.0,
        }
    }

    /// Adapts a dynamic loss scale to how a step went.
    fn rescale(&mut self, overflowed: bool) {
        let LossScale::Dynamic { patience, .. } = self.settings.loss_scale else {
            self.progress.loss_scale = None;
            return;
        };
        let mut scale = self.loss_scale();
        self.progress.steps_at_scale += 1;
        if overflowed {
            scale = (scale / 2.0).max(1.0);
            self.progress.steps_at_scale = 0;
        } else if self.progress.steps_at_scale >= patience {
            scale = (scale * 2.0).min(f32::MAX / 4.0);
            self.progress.steps_at_scale = 0;
        }
        self.progress.loss_scale = Some(scale);
    }

    /// The loss of a batch, without changing anything. Fails as [`Trainer::step`] does, but for a loss that is not finite.
    pub fn evaluate(&mut self, batch: &Batch<'_>) -> Result<f32> {
        let zero = HostTensor::u32([1], vec![0])?;
        let inputs = with_own(&self.evaluation, batch, &[(STEP, &zero)]);
        let outputs = self.machine.run(&mut self.evaluation, &inputs)?;
        Ok(outputs[LOSS].to_f32()[0])
    }

    /// What a weight, or the optimiser's state of one, holds now.
    pub fn read(&self, name: &str) -> Result<HostTensor> {
        self.machine.read(name)
    }

    /// The names that [`Trainer::read`] knows, weights and the optimiser's state.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.state.iter().map(String::as_str)
    }

    /// Device memory of one batch's gradients and, without accumulation, of the step. None on the CPU references.
    pub fn memory(&self) -> Result<Option<Memory>> {
        self.machine.memory(&self.gradients)
    }

    /// Writes weights, optimiser and step to the safetensors file at `path`, in one move: whenever the process ends, there is a whole
    /// checkpoint, this one or the one before. A training that starts from it goes on bit for bit as this one would.
    ///
    /// Fails with [`ErrorKind::Io`] when it cannot be written, with [`ErrorKind::Diverged`] when a weight is no longer finite, and when
    /// the device is lost; the file is then as it was.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let tensors = self
            .state
            .iter()
            .map(|name| Ok((name.clone(), self.machine.read(name)?)))
            .collect::<Result<Vec<_>>>()?;
        checkpoint::write(path.as_ref(), &tensors, &self.progress)
    }
}

impl LossScale {
    /// Whether nothing smaller than `scale` will be tried when gradients overflow.
    fn is_least(self, scale: f32) -> bool {
        match self {
            Self::None => true,
            Self::Fixed(_) => false,
            Self::Dynamic { .. } => scale <= 1.0,
        }
    }
}

impl Settings {
    /// AdamW at a constant rate, nothing else.
    pub fn new(optimizer: Optimizer, schedule: Schedule) -> Self {
        Self { optimizer, schedule, max_norm: None, accumulate: 1, loss_scale: LossScale::None }
    }

    /// Whether steps need the norm of all gradients.
    fn needs_norm(&self) -> bool {
        self.max_norm.is_some() || self.loss_scale != LossScale::None
    }

    fn check(&self) -> Result<()> {
        self.schedule.check()?;
        if self.accumulate == 0 {
            return Err(Error::new(ErrorKind::Argument, NAME, "accumulate")
                .expecting("at least 1")
                .but_found(0));
        }
        let (scale, patience) = match self.loss_scale {
            LossScale::None => (1.0, 1),
            LossScale::Fixed(scale) => (scale, 1),
            LossScale::Dynamic { start, patience } => (start, patience),
        };
        if !(scale.is_finite() && scale >= 1.0 && patience > 0) {
            return Err(Error::new(ErrorKind::Argument, NAME, "loss_scale")
                .expecting("a number of at least 1, and patience for at least one step")
                .but_found(format!("{scale}, {patience}")));
        }
        Ok(())
    }
}

/// A graph that holds all weights in f32, whatever layers compute in.
fn declared(declarations: &Declarations) -> Result<Graph> {
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

/// The loss and its gradients; with one batch a step also the step, else what adds the gradients up.
fn gradient_graph(
    declarations: &Declarations,
    record: &RecordLoss<'_>,
    settings: &Settings,
) -> Result<Graph> {
    let mut graph = declared(declarations)?;
    let weights = graph.parameters().to_vec();
    let loss = record(&mut graph, Mode::Train)?;
    if let Some((name, _)) = graph.parameters().get(weights.len()) {
        return Err(Error::new(ErrorKind::Weights, NAME, format!("`{name}`"))
            .expecting("a declared weight")
            .but_found("a parameter of the loss that is none"));
    }
    let desc = graph.desc(loss)?;
    if desc.dtype != DType::F32 {
        return Err(Error::new(ErrorKind::Dtype, NAME, "loss").expecting("f32").but_found(desc));
    }
    graph.output(LOSS, loss)?;
    let mut target = loss;
    if settings.loss_scale != LossScale::None {
        let scale = graph.input(LOSS_SCALE, TensorDesc::f32([1]))?;
        target = ops::multiply(&mut graph, target, scale)?;
    }
    if settings.accumulate > 1 {
        target = ops::scale(&mut graph, target, 1.0 / settings.accumulate as f32)?;
    }
    let values: Vec<Value> = weights.iter().map(|(_, value)| *value).collect();
    let gradients = graph.gradients(target, &values)?;
    if settings.accumulate == 1 {
        optimise(&mut graph, &weights, &gradients, settings)?;
        return Ok(graph);
    }
    for ((name, weight), gradient) in weights.iter().zip(gradients) {
        let desc = graph.desc(*weight)?.clone();
        let total = graph.parameter(&format!("{GRADIENT_PREFIX}{name}"), desc)?;
        let sum = accumulate(&mut graph, total, gradient)?;
        graph.update(total, sum)?;
    }
    Ok(graph)
}

/// The step on gradients that were added up, which starts their sums anew.
fn apply_graph(declarations: &Declarations, settings: &Settings) -> Result<Graph> {
    let mut graph = declared(declarations)?;
    let weights = graph.parameters().to_vec();
    if settings.loss_scale != LossScale::None {
        graph.input(LOSS_SCALE, TensorDesc::f32([1]))?;
    }
    let mut gradients = Vec::with_capacity(weights.len());
    for (name, weight) in &weights {
        let desc = graph.desc(*weight)?.clone();
        gradients.push(graph.parameter(&format!("{GRADIENT_PREFIX}{name}"), desc)?);
    }
    optimise(&mut graph, &weights, &gradients, settings)?;
    for gradient in gradients {
        let desc = graph.desc(gradient)?.clone();
        let zeros = ops::fill(&mut graph, desc, 0.0)?;
        graph.update(gradient, zeros)?;
    }
    Ok(graph)
}

/// Appends the optimiser's step of every weight.
fn optimise(
    graph: &mut Graph,
    weights: &[(String, Value)],
    gradients: &[Value],
    settings: &Settings,
) -> Result<()> {
    let schedule = graph.input(SCHEDULE, TensorDesc::f32([3]))?;
    let one = ops::fill(graph, TensorDesc::f32([1]), 1.0)?;
    let factor = if settings.needs_norm() {
        let scale =
            graph.inputs().iter().find(|(name, _)| name == LOSS_SCALE).map_or(one, |(_, scale)| *scale);
        let bound = GlobalNorm { max_norm: settings.max_norm };
        let (norm, factor) = global_norm(graph, gradients, scale, &bound)?;
        graph.output(NORM, norm)?;
        graph.output(FACTOR, factor)?;
        factor
    } else {
        one
    };
    let control = Control { schedule, factor };
    for ((name, weight), gradient) in weights.iter().zip(gradients) {
        settings.optimizer.record(graph, (name, *weight), *gradient, control)?;
    }
    Ok(())
}

/// `batch` with those of the trainer's own inputs that the graph has.
fn with_own<'a>(
    routine: &Routine,
    batch: &Batch<'a>,
    own: &[(&'a str, &'a HostTensor)],
) -> Vec<(&'a str, &'a HostTensor)> {
    let has = |name: &str| routine.graph().inputs().iter().any(|(known, _)| known == name);
    batch.iter().chain(own.iter().filter(|(name, _)| has(name))).copied().collect()
}

fn zeros(desc: &TensorDesc) -> Result<HostTensor> {
    HostTensor::f32(desc.shape.clone(), vec![0.0; desc.elements()])
}

/// Whether a checkpoint holds a parameter: sums of gradients are empty between steps.
fn is_state(name: &str) -> bool {
    !name.starts_with(GRADIENT_PREFIX)
}

/// Parameters before the first step: `weights`, and nothing in the optimiser's memory.
fn fresh_tensors(
    parameters: &[(String, TensorDesc)],
    weights: &BTreeMap<String, HostTensor>,
) -> Result<Vec<(String, HostTensor)>> {
    let fresh = |(name, desc): &(String, TensorDesc)| {
        let is_weight = is_state(name) && STATE_PREFIXES.iter().all(|prefix| !name.starts_with(prefix));
        if !is_weight {
            return Ok((name.clone(), zeros(desc)?));
        }
        let weight = weights.get(name).filter(|weight| weight.desc() == *desc).ok_or_else(|| {
            let found = weights.get(name).map_or("none".into(), |weight| weight.desc().to_string());
            Error::new(ErrorKind::Weights, NAME, format!("`{name}`")).expecting(desc).but_found(found)
        })?;
        Ok((name.clone(), weight.clone()))
    };
    parameters.iter().map(fresh).collect()
}

/// Parameters as another process left them.
fn stored_tensors(
    parameters: &[(String, TensorDesc)],
    checkpoint: &Checkpoint,
) -> Result<Vec<(String, HostTensor)>> {
    let mut wanted = Declarations::new();
    for (name, desc) in parameters.iter().filter(|(name, _)| is_state(name)) {
        wanted.root().weight(name, desc.shape.clone())?;
    }
    let stored = checkpoint.load(&wanted, DType::F32)?;
    let tensor = |(name, desc): &(String, TensorDesc)| {
        Ok((name.clone(), if is_state(name) { stored.get(name)? } else { zeros(desc)? }))
    };
    parameters.iter().map(tensor).collect()
}
