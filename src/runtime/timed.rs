//! One graph that is run again and again on the same inputs, and timed.
//!
//! ```text
//! Planned::new(&weights, graph)   the plan, with its memory and kernels; nothing on the device
//! planned.start(&inputs)          makes what the graph needs, uploads the inputs, runs it once
//! running.run()                   runs it again and tells how long that took
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bytes::{of_run, plan_for};
use super::host::Host;
use super::runner::look;
use super::store::Tensors;
use super::{Device, Outputs, Store};
use crate::finite::{self, Watch};
use crate::gpu::{Context, Parameters, Program, Session, Timing};
use crate::graph::Graph;
use crate::plan::Plan;
use crate::tensor::HostTensor;
use crate::{ErrorKind, Result};

/// A graph, and its plan for a device. Nothing is made on the device before [`Planned::start`].
#[derive(Debug)]
pub struct Planned {
    graph: Arc<Graph>,
    target: Target,
    watch: Option<Watch>,
    planning: Duration,
}

/// What a graph was planned for.
#[derive(Debug)]
enum Target {
    Gpu { context: Context, weights: Parameters, plan: Box<Plan> },
    Cpu(Host),
}

impl Planned {
    /// Plans `graph`, whose parameters are in `weights`, for their device. [`Store::empty`] is for a graph without parameters.
    ///
    /// Fails when the graph exceeds a limit of the device.
    pub fn new(weights: &Store, graph: impl Into<Arc<Graph>>) -> Result<Self> {
        Self::with(weights, graph, None)
    }

    /// [`Planned::new`] with checks: runs fail with [`ErrorKind::NotFinite`](crate::ErrorKind::NotFinite) where a number is NaN or infinite, after a
    /// second run that finds the step, as [`super::Runner::watching`] says. The time of the checks is part of what is timed.
    pub fn watching(weights: &Store, graph: impl Into<Arc<Graph>>, watch: Watch) -> Result<Self> {
        Self::with(weights, graph, Some(watch))
    }

    fn with(weights: &Store, graph: impl Into<Arc<Graph>>, watch: Option<Watch>) -> Result<Self> {
        let graph = graph.into();
        let start = Instant::now();
        let target = match weights.tensors.clone() {
            Tensors::Gpu { context, parameters } => {
                let plan = Box::new(plan_for(&graph, &context, watch)?);
                Target::Gpu { context, weights: parameters, plan }
            }
            Tensors::Cpu(host) => Target::Cpu(host),
        };
        Ok(Self { graph, target, watch, planning: start.elapsed() })
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The plan, which knows the memory and the kernel of each step; none on the CPU references, which do not plan.
    pub fn plan(&self) -> Option<&Plan> {
        match &self.target {
            Target::Gpu { plan, .. } => Some(plan),
            Target::Cpu(_) => None,
        }
    }

    /// Bytes that a run takes beside the weights: inputs, outputs and a copy of them for reading back, and what lies between; on the CPU
    /// references the arrays that live at once.
    pub fn bytes(&self) -> u64 {
        match &self.target {
            Target::Gpu { context, plan, .. } => {
                of_run(&self.graph, Some(plan), &Device::Gpu(context.clone()))
            }
            Target::Cpu(Host::F64(_)) => of_run(&self.graph, None, &Device::CpuF64),
            Target::Cpu(Host::F32(_)) => of_run(&self.graph, None, &Device::Cpu),
        }
    }

    /// Runs the graph with every step checked ([`Watch::Steps`](crate::plan::Watch::Steps)), to find out why its outputs are not finite.
    ///
    /// Fails with [`ErrorKind::NotFinite`](crate::ErrorKind::NotFinite), and the step, where some number is not finite; and as
    /// [`Planned::start`] does.
    pub fn explain(&self, inputs: &[(&str, &HostTensor)]) -> Result<()> {
        match &self.target {
            Target::Gpu { context, weights, .. } => look(context, &self.graph, &[weights], inputs),
            Target::Cpu(weights) => weights.look(&self.graph, inputs),
        }
    }

    /// Makes what the graph needs on the device, puts `inputs` there and runs it once.
    ///
    /// Fails when an input is missing, unknown, given twice or of another shape or type, when a parameter is not among the weights,
    /// when the graph has states ([`super::Runner::run_stream`] is for these), and when the device is lost or out of memory.
    pub fn start(&self, inputs: &[(&str, &HostTensor)]) -> Result<Running> {
        let start = Instant::now();
        let mut place = match &self.target {
            Target::Gpu { context, weights, plan } => {
                let program = Program::new(context, plan)?;
                Place::Gpu(Box::new(Session::with_parameters(&program, weights, inputs)?))
            }
            Target::Cpu(weights) => Place::Cpu {
                graph: self.graph.clone(),
                weights: weights.clone(),
                inputs: inputs.iter().map(|&(name, tensor)| (name.to_owned(), tensor.clone())).collect(),
                outputs: Outputs::new(),
                watch: self.watch,
            },
        };
        let is_gpu = matches!(place, Place::Gpu(_));
        let first = place.run().map_err(|error| match error.kind() {
            // The references have looked at their steps.
            ErrorKind::NotFinite if is_gpu => {
                finite::explained(error, self.explain(inputs), Some(&self.graph))
            }
            _ => error,
        })?;
        Ok(Running { place, first, first_call: self.planning + start.elapsed() })
    }
}

/// A graph on a device, with its inputs, that has been run at least once.
#[derive(Debug)]
pub struct Running {
    place: Place,
    first: Timing,
    first_call: Duration,
}

impl Running {
    /// The first call by the host's clock: planning, making pipelines, buffers and bind groups, upload and the first run. Pipelines that
    /// are there already are found. The CPU references only take the inputs and run.
    pub fn first_call(&self) -> Duration {
        self.first_call
    }

    /// Runs once more, on the same inputs and with the weights as the last run left them. Fails when the device is lost or out of memory.
    pub fn run(&mut self) -> Result<Timing> {
        self.place.run()
    }

    /// How long one run takes, without what only the first one does. On a device through wgpu that run may still compile and touches
    /// buffers for the first time, so it runs once more; on the CPU references all runs are alike, and the first one was timed.
    ///
    /// Fails as [`Running::run`] does.
    pub fn time_one(&mut self) -> Result<Timing> {
        match &self.place {
            Place::Gpu(_) => self.run(),
            Place::Cpu { .. } => Ok(self.first),
        }
    }

    /// Every output by name, as the last run left it. Fails when the device is lost.
    pub fn read(&self) -> Result<Outputs> {
        match &self.place {
            Place::Gpu(session) => session.read(),
            Place::Cpu { outputs, .. } => Ok(outputs.clone()),
        }
    }
}

/// Where the graph runs.
#[derive(Debug)]
enum Place {
    Gpu(Box<Session>),
    Cpu {
        graph: Arc<Graph>,
        weights: Host,
        inputs: Vec<(String, HostTensor)>,
        outputs: Outputs,
        watch: Option<Watch>,
    },
}

impl Place {
    fn run(&mut self) -> Result<Timing> {
        match self {
            Self::Gpu(session) => session.run(),
            Self::Cpu { graph, weights, inputs, outputs, watch } => {
                let named: Vec<_> = inputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
                let start = Instant::now();
                *outputs = weights.run_watching(graph, &named, *watch)?;
                Ok(Timing { wall: start.elapsed(), gpu: None })
            }
        }
    }
}
