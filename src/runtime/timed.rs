//! One graph that is run again and again on the same inputs, and timed.
//!
//! ```text
//! Planned::new(&weights, graph)   the plan, with its memory and kernels; nothing on the device
//! planned.start(&inputs)          makes what the graph needs, uploads the inputs, runs it once
//! running.run()                   runs it again and tells how long that took
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::host::Host;
use super::store::Tensors;
use super::{Outputs, Store};
use crate::Result;
use crate::gpu::{Context, Parameters, Program, Session, Timing};
use crate::graph::Graph;
use crate::plan::Plan;
use crate::tensor::HostTensor;

/// A graph, and its plan for a device. Nothing is made on the device before [`Planned::start`].
#[derive(Debug)]
pub struct Planned {
    graph: Arc<Graph>,
    target: Target,
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
        let graph = graph.into();
        let start = Instant::now();
        let target = match weights.tensors.clone() {
            Tensors::Gpu { context, parameters } => {
                let plan = Box::new(Plan::new(&graph, context.caps())?);
                Target::Gpu { context, weights: parameters, plan }
            }
            Tensors::Cpu(host) => Target::Cpu(host),
        };
        Ok(Self { graph, target, planning: start.elapsed() })
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
            },
        };
        let first = place.run()?;
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
    Cpu { graph: Arc<Graph>, weights: Host, inputs: Vec<(String, HostTensor)>, outputs: Outputs },
}

impl Place {
    fn run(&mut self) -> Result<Timing> {
        match self {
            Self::Gpu(session) => session.run(),
            Self::Cpu { graph, weights, inputs, outputs } => {
                let named: Vec<_> = inputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
                let start = Instant::now();
                *outputs = weights.run(graph, &named)?;
                Ok(Timing { wall: start.elapsed(), gpu: None })
            }
        }
    }
}
