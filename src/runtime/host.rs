//! Tensors of the CPU references, in the arithmetic of their device.

use super::Outputs;
use crate::finite::{self, Finding, Watch, Watched};
use crate::graph::Graph;
use crate::tensor::{HostTensor, TensorDesc};
use crate::{Error, ErrorKind, Result, cpu};

/// Tensors by name. Clones share them until one of both changes.
#[derive(Clone, Debug)]
pub(super) enum Host {
    F32(cpu::Parameters<f32>),
    F64(cpu::Parameters<f64>),
}

/// An expression of the parameters, whatever their arithmetic.
macro_rules! either {
    ($host:expr, $parameters:ident => $expression:expr) => {
        match $host {
            Host::F32($parameters) => $expression,
            Host::F64($parameters) => $expression,
        }
    };
}

impl Host {
    /// The names in alphabetical order.
    pub(super) fn names(&self) -> Vec<&str> {
        either!(self, parameters => parameters.names().collect())
    }

    /// Names and descriptors, in alphabetical order.
    pub(super) fn descs(&self) -> Vec<(&str, TensorDesc)> {
        either!(self, parameters => parameters.descs().collect())
    }

    /// A tensor, rounded to its type.
    pub(super) fn get(&self, name: &str) -> Option<HostTensor> {
        either!(self, parameters => parameters.get(name))
    }

    pub(super) fn clear(&mut self) -> Result<()> {
        either!(self, parameters => parameters.clear())
    }

    pub(super) fn write(&mut self, tensors: &[(&str, &HostTensor)]) -> Result<()> {
        either!(self, parameters => parameters.write(tensors))
    }

    /// The tensors of both; those of `other` where both have a name. Fails when they are of another arithmetic.
    pub(super) fn with(&self, other: &Self) -> Result<Self> {
        match (self, other) {
            (Self::F32(own), Self::F32(other)) => Ok(Self::F32(own.with(other))),
            (Self::F64(own), Self::F64(other)) => Ok(Self::F64(own.with(other))),
            _ => Err(elsewhere()),
        }
    }

    /// Takes over from `other` what it holds of the tensors that there are here. Fails when they are of another arithmetic.
    pub(super) fn refresh(&mut self, other: &Self) -> Result<()> {
        match (self, other) {
            (Self::F32(own), Self::F32(other)) => own.refresh(other),
            (Self::F64(own), Self::F64(other)) => own.refresh(other),
            _ => return Err(elsewhere()),
        }
        Ok(())
    }

    /// Runs `graph` through the references. Its parameters and states are these tensors, and hold afterwards what it updates them to.
    pub(super) fn run(&mut self, graph: &Graph, inputs: &[(&str, &HostTensor)]) -> Result<Outputs> {
        match self {
            Self::F32(parameters) => cpu::update_f32(graph, parameters, inputs),
            Self::F64(parameters) => cpu::update(graph, parameters, inputs),
        }
    }
}

impl Host {
    /// [`Host::run`] that looks at numbers, where `watch` says so. When one is not finite, nothing is updated.
    pub(super) fn run_watching(
        &mut self,
        graph: &Graph,
        inputs: &[(&str, &HostTensor)],
        watch: Option<Watch>,
    ) -> Result<Outputs> {
        let Some(watch) = watch else { return self.run(graph, inputs) };
        if watch == Watch::Steps {
            self.look(graph, inputs)?;
            return self.clone().run(graph, inputs);
        }
        let mut after = self.clone();
        let outputs = after.run(graph, inputs)?;
        let list = finite::watched(graph, watch);
        let finding = |watched: &Watched| match (watched.output(), watched.updates()) {
            (Some(name), _) => outputs.get(name).map_or_else(Finding::default, Finding::of_tensor),
            (_, Some(name)) => either!(&after, parameters => parameters.finding(name)),
            _ => Finding::default(),
        };
        let findings: Vec<Finding> = list.iter().map(finding).collect();
        if let Err(error) = finite::verdict(&list, &findings) {
            return Err(finite::explained(error, self.look(graph, inputs), None));
        }
        *self = after;
        Ok(outputs)
    }

    /// Runs `graph` with every step looked at, and changes nothing. Fails with the step that first gave a number that is not finite.
    pub(super) fn look(&self, graph: &Graph, inputs: &[(&str, &HostTensor)]) -> Result<()> {
        match self {
            Self::F32(parameters) => cpu::look_f32(graph, parameters, inputs),
            Self::F64(parameters) => cpu::look(graph, parameters, inputs),
        }
    }
}

/// The refusal of a stream that is not where the weights are.
pub(super) fn elsewhere() -> Error {
    Error::new(ErrorKind::Binding, "run", "state")
        .expecting("a state on the device of the weights")
        .but_found("one on another device")
}
