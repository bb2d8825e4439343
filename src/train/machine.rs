//! Where a training runs: parameters on a device or in the CPU references' memory, and graphs that change them.

use std::collections::BTreeMap;

use crate::gpu::{self, Program, Session};
use crate::graph::Graph;
use crate::models::Device;
use crate::plan::{Memory, Plan};
use crate::tensor::HostTensor;
use crate::{Error, ErrorKind, Result, cpu};

/// The parameters of a training.
#[derive(Debug)]
pub(super) enum Machine {
    Gpu { context: gpu::Context, parameters: gpu::Parameters },
    Cpu { parameters: cpu::Parameters<f32> },
}

/// A graph made ready for a machine when it first runs.
#[derive(Debug)]
pub(super) struct Routine {
    graph: Graph,
    session: Option<Session>,
}

impl Routine {
    pub(super) fn new(graph: Graph) -> Self {
        Self { graph, session: None }
    }

    pub(super) fn graph(&self) -> &Graph {
        &self.graph
    }
}

impl Machine {
    /// Uploads `tensors`.
    pub(super) fn new(
        device: &Device,
        tensors: impl IntoIterator<Item = Result<(String, HostTensor)>>,
    ) -> Result<Self> {
        Ok(match device {
            Device::Gpu(context) => {
                Self::Gpu { context: context.clone(), parameters: gpu::Parameters::upload(context, tensors)? }
            }
            Device::Cpu => Self::Cpu { parameters: cpu::Parameters::new(tensors)? },
        })
    }

    /// Runs `routine` once: parameters change as it says, and its outputs come back.
    pub(super) fn run(
        &mut self,
        routine: &mut Routine,
        inputs: &[(&str, &HostTensor)],
    ) -> Result<BTreeMap<String, HostTensor>> {
        match self {
            Self::Cpu { parameters } => cpu::update_f32(&routine.graph, parameters, inputs),
            Self::Gpu { context, parameters } => {
                let session = match &mut routine.session {
                    Some(session) => {
                        // A session keeps inputs that it is not given.
                        routine.graph.match_inputs(inputs)?;
                        session.write(inputs)?;
                        session
                    }
                    none => {
                        let plan = Plan::new(&routine.graph, context.caps())?;
                        let program = Program::new(context, &plan)?;
                        none.insert(Session::with_parameters(&program, parameters, inputs)?)
                    }
                };
                session.run()?;
                session.read()
            }
        }
    }

    /// What a parameter holds now.
    pub(super) fn read(&self, name: &str) -> Result<HostTensor> {
        match self {
            Self::Gpu { context, parameters } => parameters.download(context, name),
            Self::Cpu { parameters } => parameters.get(name).ok_or_else(|| {
                Error::new(ErrorKind::Binding, "parameters", format!("`{name}`"))
                    .expecting("a parameter of the training")
                    .but_found("an unknown name")
            }),
        }
    }

    /// What running `routine` takes on the device; nothing on the CPU references, which do not plan.
    pub(super) fn memory(&self, routine: &Routine) -> Result<Option<Memory>> {
        match self {
            Self::Gpu { context, .. } => Ok(Some(*Plan::new(&routine.graph, context.caps())?.memory())),
            Self::Cpu { .. } => Ok(None),
        }
    }
}
