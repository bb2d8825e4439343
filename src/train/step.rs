//! One step of a training, and the loss without a step: which graph a batch runs, and what is done about numbers that are not finite.

use std::fmt::Display;
use std::sync::Arc;

use super::graphs::{COUNT, FACTOR, LOSS, LOSS_SCALE, NORM, SCHEDULE, STEP};
use super::settings::LossScale;
use super::trainer::{Batch, NAME, Routine, StepReport, Trainer};
use crate::graph::Graph;
use crate::runtime::{Outputs, State};
use crate::tensor::HostTensor;
use crate::{Error, ErrorKind, Result};

/// What all runs of a step read besides the number of the run.
struct Controls {
    rate: f32,
    /// The rate, and the optimiser's corrections.
    schedule: HostTensor,
    scale: HostTensor,
}

impl Controls {
    /// The trainer's own inputs of the run with this number.
    fn beside<'a>(&'a self, counter: &'a HostTensor) -> [(&'a str, &'a HostTensor); 3] {
        [(STEP, counter), (SCHEDULE, &self.schedule), (LOSS_SCALE, &self.scale)]
    }
}

impl Trainer {
    pub(super) fn step_with(
        &mut self,
        streams: Option<&mut State>,
        batches: &[&Batch<'_>],
    ) -> Result<StepReport> {
        if batches.len() != self.settings.accumulate {
            return Err(Error::new(ErrorKind::Argument, NAME, "batches")
                .expecting(self.settings.accumulate)
                .but_found(batches.len()));
        }
        let step = self.progress.step + 1;
        let controls = self.controls(step)?;
        // All of them before the first adds to any sum.
        let zero = HostTensor::u32([1], vec![0])?;
        let own = controls.beside(&zero);
        let size = |batch: &&Batch<'_>| size_of(&self.gradients, batch, &own);
        let sizes = batches.iter().map(size).collect::<Result<Vec<_>>>()?;
        let (loss, outputs) = self.run_batches(streams, batches, &sizes, &controls)?;
        if !loss.is_finite() {
            let cause = self.cause(batches, &sizes, &controls);
            return Err(diverged(step, "a finite loss", &loss, cause));
        }
        let is_least = self.settings.loss_scale.is_least(self.loss_scale());
        let scalar = |name: &str| outputs.get(name).map(|tensor| tensor.to_f32()[0]);
        let skipped = scalar(FACTOR) == Some(0.0);
        if skipped && is_least {
            let cause = self.cause(batches, &sizes, &controls);
            return Err(diverged(step, "finite gradients", &"gradients that overflowed", cause));
        }
        self.progress.step = step;
        self.progress.applied += u64::from(!skipped);
        self.rescale(skipped);
        let norm = scalar(NORM).filter(|_| !skipped);
        Ok(StepReport { step, loss, rate: controls.rate, norm, skipped })
    }

    fn controls(&self, step: u64) -> Result<Controls> {
        let rate = self.settings.schedule.rate(step);
        let [first, second] = self.settings.optimizer.corrections(self.progress.applied + 1);
        Ok(Controls {
            rate,
            schedule: HostTensor::f32([3], vec![rate, first, second])?,
            scale: HostTensor::f32([1], vec![self.loss_scale()])?,
        })
    }

    /// Runs the gradients of all batches and the step: the loss, each batch weighed by its number of targets, and the outputs of the last run.
    fn run_batches(
        &mut self,
        mut streams: Option<&mut State>,
        batches: &[&Batch<'_>],
        sizes: &[usize],
        controls: &Controls,
    ) -> Result<(f32, Outputs)> {
        let (mut losses, mut outputs) = (Vec::new(), Default::default());
        for (index, (batch, &size)) in batches.iter().zip(sizes).enumerate() {
            let counter = self.counter(index)?;
            let graph = self.gradients[size].clone();
            let inputs = with_own(&graph, batch, &controls.beside(&counter));
            outputs = self.run(Routine::Gradients(size), graph.clone(), streams.as_deref_mut(), &inputs)?;
            let count = outputs.get(COUNT).map_or(1.0, |count| count.to_f32()[0]);
            losses.push((outputs[LOSS].to_f32()[0], count));
        }
        if let Some(apply) = self.apply.clone() {
            let own = [(SCHEDULE, &controls.schedule), (LOSS_SCALE, &controls.scale)];
            let inputs = with_own(&apply, &[], &own);
            outputs = self.run(Routine::Apply, apply.clone(), None, &inputs)?;
        }
        let counted = losses.iter().map(|(_, count)| count).sum::<f32>().max(1.0);
        Ok((losses.iter().map(|(loss, count)| loss * count).sum::<f32>() / counted, outputs))
    }

    /// The number of the run on a batch of the step to come: what random numbers are made of.
    fn counter(&self, index: usize) -> Result<HostTensor> {
        let run = self.progress.step * self.settings.accumulate as u64 + index as u64;
        // The generator's counter is 32 bits wide; a training of as many steps repeats its masks.
        HostTensor::u32([1], vec![run as u32])
    }

    /// Which step of the graph went wrong, where the batches of a step gave a number that is not finite.
    fn cause(&mut self, batches: &[&Batch<'_>], sizes: &[usize], controls: &Controls) -> Option<Error> {
        batches.iter().zip(sizes).enumerate().find_map(|(index, (batch, size))| {
            let counter = self.counter(index).ok()?;
            self.found(Routine::Gradients(*size), batch, &controls.beside(&counter))
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
}

fn diverged(step: u64, expected: &str, found: &dyn Display, cause: Option<Error>) -> Error {
    Error::new(ErrorKind::Diverged, NAME, format!("step {step}"))
        .expecting(expected)
        .but_found(cause.map_or_else(|| found.to_string(), |cause| format!("{found}; {cause}")))
        .with_hint("resume from the last checkpoint with a lower learning rate or a bound on gradients")
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
