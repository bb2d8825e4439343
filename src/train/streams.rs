//! Trainings on streams: what layers keep of earlier pieces of a text goes on from step to step.

use super::Mode;
use super::trainer::{Batch, StepReport, Trainer};
use crate::Result;
use crate::runtime::State;

impl Trainer {
    /// Zeros for the states of a loss that reads pieces of streams ([`Graph::state`](crate::Graph::state)), in batches of the last size to
    /// train on or, with [`Mode::Evaluate`], to look at: what [`Trainer::step_on`] and [`Trainer::evaluate_on`] begin with.
    ///
    /// Fails when the device has no room.
    pub fn streams(&self, mode: Mode) -> Result<State> {
        let graphs = match mode {
            Mode::Train => &self.gradients,
            Mode::Evaluate => &self.evaluations,
        };
        // There is one size at least.
        State::new(&self.runner.device(), &graphs[graphs.len() - 1])
    }

    /// [`Trainer::step`] of a loss with states: the batches are the next pieces of `streams`, one behind another, which hold afterwards what
    /// the loss leaves there. Gradients do not pass from one piece to the one before (truncated back-propagation through time).
    ///
    /// Fails as [`Trainer::step`] does, and when `streams` are another loss's. A step that fails may leave them at any of its pieces.
    pub fn step_on(&mut self, streams: &mut State, batches: &[&Batch<'_>]) -> Result<StepReport> {
        self.step_with(Some(streams), batches)
    }

    /// [`Trainer::evaluate`] of a loss with states, for the next pieces of `streams`.
    ///
    /// Fails as [`Trainer::evaluate`] does, and when `streams` are another loss's.
    pub fn evaluate_on(&mut self, streams: &mut State, batch: &Batch<'_>) -> Result<f32> {
        self.evaluate_with(Some(streams), batch)
    }
}
