//! Graphs by size: each is made once, and the last few are kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::store::Tensors;
use super::{Device, State, Store};
use crate::Result;
use crate::gpu::{self, Bindings, Context, Program, Session};
use crate::graph::Graph;
use crate::plan::{Memory, Plan};
use crate::tensor::HostTensor;

/// How many sizes are kept; each has buffers of its own for everything but weights and states.
const KEPT: usize = 8;

/// The outputs of a run by name.
pub type Outputs = BTreeMap<String, HostTensor>;

/// Runs graphs of one kind, told apart by their size `K`, with the weights of one store.
#[derive(Debug)]
pub struct Runner<K> {
    weights: Store,
    /// The one used last at the end.
    kept: Vec<(K, Ready)>,
    preparing: Duration,
}

/// A graph, and what it became on a device.
#[derive(Debug)]
struct Ready {
    graph: Arc<Graph>,
    made: Option<Made>,
}

/// Buffers and bindings of a graph on a device through wgpu.
#[derive(Debug)]
struct Made {
    session: Session,
    /// What the session is bound to for each stream that met it. A run without a stream has an entry, too, which lives as long as this.
    streams: Vec<(Weak<()>, Bindings)>,
    no_stream: Arc<()>,
}

impl<K: PartialEq> Runner<K> {
    /// A runner of graphs whose parameters are in `weights`.
    pub fn new(weights: &Store) -> Self {
        Self { weights: weights.clone(), kept: Vec::new(), preparing: Duration::ZERO }
    }

    /// What graphs run on.
    pub fn device(&self) -> Device {
        self.weights.device()
    }

    /// The weights, as graphs that update them have left them.
    pub fn weights(&self) -> &Store {
        &self.weights
    }

    /// Time spent on recording, planning and making programs, the compilation of kernels included.
    pub fn preparing(&self) -> Duration {
        self.preparing
    }

    /// Runs the graph for `size`, which `record` makes where it is not kept, and gives its outputs. A graph that updates parameters
    /// changes the runner's weights.
    ///
    /// Fails when an input is missing, unknown, given twice or of another shape or type, when the graph has states
    /// ([`Runner::run_stream`] is for these), when recording or planning fails, and when the device is lost or out of memory.
    pub fn run<G: Into<Arc<Graph>>>(
        &mut self,
        size: K,
        inputs: &[(&str, &HostTensor)],
        record: impl FnOnce() -> Result<G>,
    ) -> Result<Outputs> {
        self.run_on_device(size, None, inputs, record)
    }

    /// [`Runner::run`] for one stream: the graph's states are those of `state`, and hold afterwards what the graph updates them to. Once
    /// a size and a stream have met, a run makes nothing and allocates nothing on the device.
    ///
    /// Fails also when `state` lacks a state of the graph, has one of another shape or type, or is on another device.
    pub fn run_stream<G: Into<Arc<Graph>>>(
        &mut self,
        size: K,
        state: &mut State,
        inputs: &[(&str, &HostTensor)],
        record: impl FnOnce() -> Result<G>,
    ) -> Result<Outputs> {
        self.run_on_device(size, Some(state), inputs, record)
    }

    /// Device memory that the graph for `size` takes; none on the CPU references, which do not plan. Fails as [`Runner::run`] does.
    pub fn memory<G: Into<Arc<Graph>>>(
        &mut self,
        size: K,
        record: impl FnOnce() -> Result<G>,
    ) -> Result<Option<Memory>> {
        let device = self.device();
        let Some(context) = device.context() else { return Ok(None) };
        Ok(Some(*Plan::new(&self.ready(size, record)?.graph, context.caps())?.memory()))
    }

    fn run_on_device<G: Into<Arc<Graph>>>(
        &mut self,
        size: K,
        state: Option<&mut State>,
        inputs: &[(&str, &HostTensor)],
        record: impl FnOnce() -> Result<G>,
    ) -> Result<Outputs> {
        let start = Instant::now();
        let weights = self.weights.tensors.clone();
        let ready = self.ready(size, record)?;
        // A session keeps inputs that it is not given.
        ready.graph.match_inputs(inputs)?;
        match weights {
            Tensors::Gpu { context, parameters } => {
                let (made, stream) = ready.make(&context, &parameters, state.as_deref(), inputs)?;
                let prepared = start.elapsed();
                made.session.write(inputs)?;
                made.session.run_with(&made.streams[stream].1)?;
                let outputs = made.session.read()?;
                self.preparing += prepared;
                Ok(outputs)
            }
            Tensors::Cpu(host) => {
                let mut all = match &state {
                    None => host,
                    Some(state) => host.with(state.on_cpu()?)?,
                };
                let outputs = all.run(&ready.graph, inputs)?;
                if let Tensors::Cpu(host) = &mut self.weights.tensors {
                    host.refresh(&all)?;
                }
                state.map_or(Ok(()), |state| state.refresh(&all))?;
                Ok(outputs)
            }
        }
    }

    /// The graph for `size`: the one that is kept, or what `record` makes.
    fn ready<G: Into<Arc<Graph>>>(
        &mut self,
        size: K,
        record: impl FnOnce() -> Result<G>,
    ) -> Result<&mut Ready> {
        let used = match self.kept.iter().position(|(kept, _)| *kept == size) {
            Some(index) => self.kept.remove(index),
            None => {
                // The oldest goes first, so that its memory is there for the new one.
                if self.kept.len() == KEPT {
                    self.kept.remove(0);
                }
                (size, Ready { graph: record()?.into(), made: None })
            }
        };
        let last = self.kept.len();
        self.kept.push(used);
        Ok(&mut self.kept[last].1)
    }
}

impl Ready {
    /// The session, and which of its bindings are the stream's; what is missing of both is made.
    fn make(
        &mut self,
        context: &Context,
        weights: &gpu::Parameters,
        state: Option<&State>,
        inputs: &[(&str, &HostTensor)],
    ) -> Result<(&mut Made, usize)> {
        let made = match &mut self.made {
            Some(made) => made,
            none => {
                let program = Program::new(context, &Plan::new(&self.graph, context.caps())?)?;
                let session = Session::unbound(&program, inputs)?;
                none.insert(Made { session, streams: Vec::new(), no_stream: Arc::new(()) })
            }
        };
        let identity = state.map_or(&made.no_stream, |state| &state.identity);
        let own = Arc::downgrade(identity);
        made.streams.retain(|(stream, _)| stream.strong_count() > 0);
        let known = made.streams.iter().position(|(stream, _)| stream.ptr_eq(&own));
        let stream = match known {
            Some(stream) => stream,
            None => {
                let states = state.map(|state| state.on_gpu(context)).transpose()?;
                let stores: Vec<&gpu::Parameters> = [Some(weights), states].into_iter().flatten().collect();
                made.streams.push((own, made.session.bind(&stores)?));
                made.streams.len() - 1
            }
        };
        Ok((made, stream))
    }
}
