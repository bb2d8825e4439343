//! An optimiser's steps for all parameters of a graph, and the names of its state.

use crate::Result;
use crate::graph::{Graph, Value};
use crate::ops::optimizer::{AdamW, Control, Moments, Sgd, adamw, sgd};

/// Prefixes of the parameters that hold an optimiser's state.
pub(super) const STATE_PREFIXES: [&str; 3] = ["optimizer.first.", "optimizer.second.", "optimizer.velocity."];

/// The optimiser and its settings.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Optimizer {
    /// Adam with decoupled weight decay.
    AdamW(AdamW),
    /// Gradient descent with momentum.
    Sgd(Sgd),
}

impl Optimizer {
    /// Appends the step of the parameter called `name`, with its state as further parameters, and updates all of them.
    pub(super) fn record(
        &self,
        graph: &mut Graph,
        (name, parameter): (&str, Value),
        gradient: Value,
        control: Control,
    ) -> Result<()> {
        let desc = graph.desc(parameter)?.clone();
        let state = |graph: &mut Graph, index: usize| {
            graph.parameter(&format!("{}{name}", STATE_PREFIXES[index]), desc.clone())
        };
        match self {
            Self::AdamW(settings) => {
                let moments = Moments { first: state(graph, 0)?, second: state(graph, 1)? };
                let (updated, new) = adamw(graph, parameter, gradient, moments, control, settings)?;
                graph.update(parameter, updated)?;
                graph.update(moments.first, new.first)?;
                graph.update(moments.second, new.second)
            }
            Self::Sgd(settings) => {
                let velocity = state(graph, 2)?;
                let (updated, new) = sgd(graph, parameter, gradient, velocity, control, settings)?;
                graph.update(parameter, updated)?;
                graph.update(velocity, new)
            }
        }
    }

    /// `1 - beta1^t` and `1 - beta2^t` of step `t`, counted from 1: what the moments still lack of a mean.
    pub(super) fn corrections(&self, step: u64) -> [f32; 2] {
        match self {
            Self::AdamW(settings) => [settings.beta1, settings.beta2].map(|beta| {
                let exponent = i32::try_from(step).unwrap_or(i32::MAX);
                (1.0 - f64::from(beta).powi(exponent)) as f32
            }),
            Self::Sgd(_) => [1.0; 2],
        }
    }
}
