//! One training: a graph of the loss, its gradients and the optimiser's steps, run again and again.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use super::checkpoint::{self, Description, Progress};
use super::graphs::{
    COUNT, FACTOR, LOSS, LOSS_SCALE, NORM, RecordLoss, SCHEDULE, STEP, apply_graph, evaluation_graph,
    gradient_graph,
};
use super::settings::{LossScale, Settings};
use super::start::{Start, fresh_tensors, is_state, stored_tensors};
use crate::graph::Graph;
use crate::plan::Memory;
use crate::runtime::{Device, Outputs, Runner, State, Store};
use crate::tensor::{HostTensor, TensorDesc};
use crate::weights::Declarations;
use crate::{Error, ErrorKind, Result};

const NAME: &str = "train";

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Which step it was, counted from 1.
    pub step: u64,
    /// The mean loss of its batches, before the step: of a cross-entropy over all their targets together.
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
    /// Weights that no loss depends on.
    unused: Vec<String>,
    /// One for each size of batches, and so are evaluations.
    pub(super) gradients: Vec<Arc<Graph>>,
    /// With accumulation, the step itself.
    apply: Option<Arc<Graph>>,
    pub(super) evaluations: Vec<Arc<Graph>>,
    pub(super) runner: Runner<Routine>,
}

/// Which of the graphs of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Routine {
    Gradients(usize),
    Apply,
    Evaluation(usize),
}

impl Trainer {
    /// Records the loss with its gradients and the optimiser's steps, and puts everything on `device`. `declarations` are the weights
    /// the loss uses, all f32; `description` is what [`Trainer::save`] writes beside them.
    ///
    /// Weights without influence on the loss stay as they are: [`Trainer::unused`] has their names.
    ///
    /// Fails when the loss is not one f32, depends on no weight at all or is not differentiable, when settings have no meaning, when
    /// the checkpoint is another model's or damaged, and when the device has no room.
    pub fn new(
        device: &Device,
        declarations: &Declarations,
        record: &RecordLoss<'_>,
        start: Start<'_>,
        description: Description,
        settings: Settings,
    ) -> Result<Self> {
        Self::of_sizes(device, declarations, &[record], start, description, settings)
    }

    /// [`Trainer::new`] for batches of a few sizes, the loss of each recorded by one of `records`: a batch is of the first size whose inputs
    /// it fits. Each size that is met takes device memory of its own.
    ///
    /// Fails as [`Trainer::new`] does, and without a size.
    pub fn of_sizes(
        device: &Device,
        declarations: &Declarations,
        records: &[&RecordLoss<'_>],
        start: Start<'_>,
        description: Description,
        settings: Settings,
    ) -> Result<Self> {
        settings.check()?;
        if records.is_empty() {
            return Err(Error::new(ErrorKind::Argument, NAME, "records")
                .expecting("at least one")
                .but_found(0));
        }
        let gradient = |record: &&RecordLoss<'_>| gradient_graph(declarations, record, &settings);
        let recorded = records.iter().map(gradient).collect::<Result<Vec<_>>>()?;
        let trained: BTreeSet<String> = recorded.iter().flat_map(|graph| graph.trained.clone()).collect();
        let updated: BTreeSet<String> = recorded.iter().flat_map(|graph| graph.updated.clone()).collect();
        let gradients: Vec<Graph> = recorded.into_iter().map(|recorded| recorded.graph).collect();
        let accumulates = settings.accumulate > 1;
        let apply = accumulates.then(|| apply_graph(declarations, &trained, &settings)).transpose()?;
        let evaluation = |record: &&RecordLoss<'_>| evaluation_graph(declarations, record).map(Arc::new);
        let evaluations = records.iter().map(evaluation).collect::<Result<Vec<_>>>()?;

        let mut parameters: Vec<(String, TensorDesc)> = Vec::new();
        for graph in gradients.iter().chain(&apply) {
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
        let declared = declarations.list().iter().map(|weight| weight.name.clone());
        Ok(Self {
            settings,
            progress,
            state,
            unused: declared.filter(|name| !trained.contains(name) && !updated.contains(name)).collect(),
            gradients: gradients.into_iter().map(Arc::new).collect(),
            apply: apply.map(Arc::new),
            evaluations,
            runner: Runner::new(&Store::upload(device, tensors.into_iter().map(Ok))?),
        })
    }

    /// Steps that are done.
    pub fn step_count(&self) -> u64 {
        self.progress.step
    }

    /// Names of the weights that have no influence on the loss of any size: they stay as they are, and have no optimiser's state. A mistake
    /// in a loss shows here.
    pub fn unused(&self) -> &[String] {
        &self.unused
    }

    /// One step on [`Settings::accumulate`] batches.
    ///
    /// Fails when there are more or fewer or one does not fit the loss's inputs; with [`ErrorKind::Diverged`] when the loss is not a
    /// finite number, or gradients are not and no smaller loss scale is left to try, which leaves the parameters of no use but every
    /// checkpoint as it is; and when the device fails.
    pub fn step(&mut self, batches: &[&Batch<'_>]) -> Result<StepReport> {
        self.step_with(None, batches)
    }

    pub(super) fn step_with(
        &mut self,
        mut streams: Option<&mut State>,
        batches: &[&Batch<'_>],
    ) -> Result<StepReport> {
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
        // All of them before the first adds to any sum.
        let own = [(STEP, &zero), (SCHEDULE, &schedule), (LOSS_SCALE, &scale)];
        let sizes =
            batches.iter().map(|batch| size_of(&self.gradients, batch, &own)).collect::<Result<Vec<_>>>()?;
        let (mut losses, mut outputs) = (Vec::new(), Default::default());
        for (index, (batch, &size)) in batches.iter().zip(&sizes).enumerate() {
            let counter = self.counter(index)?;
            let own = [(STEP, &counter), (SCHEDULE, &schedule), (LOSS_SCALE, &scale)];
            let graph = self.gradients[size].clone();
            let inputs = with_own(&graph, batch, &own);
            outputs = self.run(Routine::Gradients(size), graph.clone(), streams.as_deref_mut(), &inputs)?;
            let count = outputs.get(COUNT).map_or(1.0, |count| count.to_f32()[0]);
            losses.push((outputs[LOSS].to_f32()[0], count));
        }
        if let Some(apply) = self.apply.clone() {
            let own = [(SCHEDULE, &schedule), (LOSS_SCALE, &scale)];
            let inputs = with_own(&apply, &[], &own);
            outputs = self.run(Routine::Apply, apply.clone(), None, &inputs)?;
        }
        let diverged = |expected: &str, found: &dyn Display, cause: Option<Error>| {
            Error::new(ErrorKind::Diverged, NAME, format!("step {step}"))
                .expecting(expected)
                .but_found(cause.map_or_else(|| found.to_string(), |cause| format!("{found}; {cause}")))
                .with_hint(
                    "resume from the last checkpoint with a lower learning rate or a bound on gradients",
                )
        };
        let counted = losses.iter().map(|(_, count)| count).sum::<f32>().max(1.0);
        let loss = losses.iter().map(|(loss, count)| loss * count).sum::<f32>() / counted;
        if !loss.is_finite() {
            return Err(diverged("a finite loss", &loss, self.cause(batches, &sizes, [&schedule, &scale])));
        }
        let is_least = self.settings.loss_scale.is_least(self.loss_scale());
        let scalar = |name: &str| outputs.get(name).map(|tensor| tensor.to_f32()[0]);
        let skipped = scalar(FACTOR) == Some(0.0);
        if skipped && is_least {
            let cause = self.cause(batches, &sizes, [&schedule, &scale]);
            return Err(diverged("finite gradients", &"gradients that overflowed", cause));
        }
        self.progress.step = step;
        self.progress.applied += u64::from(!skipped);
        self.rescale(skipped);
        let norm = scalar(NORM).filter(|_| !skipped);
        Ok(StepReport { step, loss, rate, norm, skipped })
    }

    /// The number of the run on a batch of the step to come: what random numbers are made of.
    fn counter(&self, index: usize) -> Result<HostTensor> {
        let run = self.progress.step * self.settings.accumulate as u64 + index as u64;
        // The generator's counter is 32 bits wide; a training of as many steps repeats its masks.
        HostTensor::u32([1], vec![run as u32])
    }

    /// Which step of the graph went wrong, where the batches of a step gave a number that is not finite.
    fn cause(
        &mut self,
        batches: &[&Batch<'_>],
        sizes: &[usize],
        [schedule, scale]: [&HostTensor; 2],
    ) -> Option<Error> {
        batches.iter().zip(sizes).enumerate().find_map(|(index, (batch, size))| {
            let counter = self.counter(index).ok()?;
            let own = [(STEP, &counter), (SCHEDULE, schedule), (LOSS_SCALE, scale)];
            self.found(Routine::Gradients(*size), batch, &own)
        })
    }

    /// What [`Trainer::look`] finds; nothing where the graph reads streams, which have gone on.
    fn found(&mut self, routine: Routine, batch: &Batch<'_>, own: &Batch<'_>) -> Option<Error> {
        self.look(routine, batch, own).err().filter(|error| error.kind() == ErrorKind::NotFinite)
    }

    /// Runs the graph of a batch with every step looked at, on the weights as they are by now, and changes nothing. A step that overflowed
    /// where gradients' norm is computed has left them as they were.
    ///
    /// Fails with [`ErrorKind::NotFinite`], and the step of the graph, where a number is not finite.
    fn look(&mut self, routine: Routine, batch: &Batch<'_>, own: &Batch<'_>) -> Result<()> {
        let graph = match routine {
            Routine::Gradients(size) => self.gradients[size].clone(),
            Routine::Evaluation(size) => self.evaluations[size].clone(),
            Routine::Apply => return Ok(()),
        };
        self.runner.explain(routine, &with_own(&graph, batch, own), || Ok(graph.clone()))
    }

    fn run(
        &mut self,
        routine: Routine,
        graph: Arc<Graph>,
        streams: Option<&mut State>,
        inputs: &Batch<'_>,
    ) -> Result<Outputs> {
        match streams {
            None => self.runner.run(routine, inputs, || Ok(graph)),
            Some(streams) => self.runner.run_stream(routine, streams, inputs, || Ok(graph)),
        }
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

    /// The loss of a batch, without changing anything. Fails as [`Trainer::step`] does.
    pub fn evaluate(&mut self, batch: &Batch<'_>) -> Result<f32> {
        self.evaluate_with(None, batch)
    }

    pub(super) fn evaluate_with(&mut self, streams: Option<&mut State>, batch: &Batch<'_>) -> Result<f32> {
        let zero = HostTensor::u32([1], vec![0])?;
        let own = [(STEP, &zero)];
        let size = size_of(&self.evaluations, batch, &own)?;
        let graph = self.evaluations[size].clone();
        let inputs = with_own(&graph, batch, &own);
        let outputs = self.run(Routine::Evaluation(size), graph.clone(), streams, &inputs)?;
        let loss = outputs[LOSS].to_f32()[0];
        if loss.is_finite() {
            return Ok(loss);
        }
        let first = self.found(Routine::Evaluation(size), batch, &own);
        let found = first.map_or_else(|| loss.to_string(), |first| format!("{loss}; {first}"));
        Err(Error::new(ErrorKind::Diverged, NAME, "evaluation").expecting("a finite loss").but_found(found))
    }

    /// Weights and the optimiser's state where they are, as the steps so far have left them: an
    /// [`Encoder::with_store`](crate::models::Encoder::with_store) runs on them.
    pub fn weights(&self) -> &Store {
        self.runner.weights()
    }

    /// What a weight, or the optimiser's state of one, holds now.
    pub fn read(&self, name: &str) -> Result<HostTensor> {
        self.runner.weights().read(name)
    }

    /// What the weights of `declarations` hold now, by their names, which [`write_model`](crate::weights::write_model) takes.
    pub fn read_all(&self, declarations: &Declarations) -> Result<Vec<(String, HostTensor)>> {
        let names = declarations.list().iter().map(|weight| &weight.name);
        names.map(|name| Ok((name.clone(), self.read(name)?))).collect()
    }

    /// The names that [`Trainer::read`] knows, weights and the optimiser's state.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.state.iter().map(String::as_str)
    }

    /// Device memory of one batch's gradients and, without accumulation, of the step; of several sizes, the last one's. None on the CPU
    /// references.
    pub fn memory(&mut self) -> Result<Option<Memory>> {
        let last = self.gradients.len() - 1;
        let graph = self.gradients[last].clone();
        self.runner.memory(Routine::Gradients(last), || Ok(graph))
    }

    /// Bytes that a step takes beside weights and the optimiser's state: of several sizes of batches, the last one's.
    ///
    /// Fails when the gradients of such a batch exceed a limit of the device.
    pub fn bytes(&mut self) -> Result<u64> {
        let last = self.gradients.len() - 1;
        let graph = self.gradients[last].clone();
        self.runner.bytes(Routine::Gradients(last), || Ok(graph))
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
            .map(|name| Ok((name.clone(), self.runner.weights().read(name)?)))
            .collect::<Result<Vec<_>>>()?;
        checkpoint::write(path.as_ref(), &tensors, &self.progress)
    }
}

/// Which of `graphs` a batch fits: the first of them.
fn size_of(graphs: &[Arc<Graph>], batch: &Batch<'_>, own: &Batch<'_>) -> Result<usize> {
    let mut refused = Ok(());
    for (size, graph) in graphs.iter().enumerate() {
        refused = graph.match_inputs(&with_own(graph, batch, own)).map(|_| ());
        if refused.is_ok() {
            return Ok(size);
        }
    }
    refused.map(|()| 0)
}

/// `batch` with those of the trainer's own inputs that the graph has.
fn with_own<'a>(
    graph: &Graph,
    batch: &Batch<'a>,
    own: &[(&'a str, &'a HostTensor)],
) -> Vec<(&'a str, &'a HostTensor)> {
    let has = |name: &str| graph.inputs().iter().any(|(known, _)| known == name);
    batch.iter().chain(own.iter().filter(|(name, _)| has(name))).copied().collect()
}
