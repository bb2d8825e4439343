//! One training: a graph of the loss, its gradients and the optimiser's steps, run again and again.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::checkpoint::{self, Description, Progress};
use super::graphs::{RecordLoss, apply_graph, evaluation_graph, gradient_graph};
use super::settings::Settings;
use super::start::{Start, is_state};
use crate::graph::Graph;
use crate::plan::Memory;
use crate::runtime::{Device, Runner, Store};
use crate::tensor::{HostTensor, TensorDesc};
use crate::weights::Declarations;
use crate::{Error, ErrorKind, Result};

pub(super) const NAME: &str = "train";

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
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
    pub(super) settings: Settings,
    pub(super) progress: Progress,
    /// Parameters that a checkpoint holds: weights and the optimiser's state.
    state: Vec<String>,
    /// Weights that no loss depends on.
    unused: Vec<String>,
    /// One for each size of batches, and so are evaluations.
    pub(super) gradients: Vec<Arc<Graph>>,
    /// With accumulation, the step itself.
    pub(super) apply: Option<Arc<Graph>>,
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
        let touched: BTreeSet<String> =
            recorded.iter().flat_map(|graph| graph.trained.iter().chain(&graph.updated)).cloned().collect();
        let gradients: Vec<Graph> = recorded.into_iter().map(|recorded| recorded.graph).collect();
        let accumulates = settings.accumulate > 1;
        let apply = accumulates.then(|| apply_graph(declarations, &trained, &settings)).transpose()?;
        let evaluation = |record: &&RecordLoss<'_>| evaluation_graph(declarations, record).map(Arc::new);
        let evaluations = records.iter().map(evaluation).collect::<Result<Vec<_>>>()?;

        let parameters = parameters(gradients.iter().chain(&apply))?;
        let state = parameters.iter().map(|(name, _)| name.clone()).filter(|name| is_state(name)).collect();
        let (tensors, progress) = start.begin(&parameters, description)?;
        let declared = declarations.list().iter().map(|weight| weight.name.clone());
        Ok(Self {
            settings,
            progress,
            state,
            unused: declared.filter(|name| !touched.contains(name)).collect(),
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

    /// The loss of a batch, without changing anything. Fails as [`Trainer::step`] does.
    pub fn evaluate(&mut self, batch: &Batch<'_>) -> Result<f32> {
        self.evaluate_with(None, batch)
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

    /// Writes weights, optimiser and step to the safetensors file at `path` atomically: whenever the process ends, there is a whole checkpoint, this
    /// one or the one before. A training that starts from it goes on bit for bit as this one would.
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

/// The parameters of all `graphs`, each once.
fn parameters<'g>(graphs: impl Iterator<Item = &'g Graph>) -> Result<Vec<(String, TensorDesc)>> {
    let mut parameters: Vec<(String, TensorDesc)> = Vec::new();
    for graph in graphs {
        for (name, value) in graph.parameters() {
            if parameters.iter().all(|(known, _)| known != name) {
                parameters.push((name.clone(), graph.desc(*value)?.clone()));
            }
        }
    }
    Ok(parameters)
}
