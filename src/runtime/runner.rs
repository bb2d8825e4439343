//! Graphs by size: each is made once, and the last few are kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::bytes::{of_run, plan, plan_for};
use super::store::Tensors;
use super::{Device, State, Store};
use crate::finite::{self, Watch};
use crate::gpu::{self, Bindings, Context, Program, Session};
use crate::graph::Graph;
use crate::plan::{Memory, Plan};
use crate::tensor::HostTensor;
use crate::{Error, ErrorKind, Result};

/// How many sizes are kept; each has buffers of its own for everything but weights and states.
const KEPT: usize = 8;

/// The outputs of a run by name.
pub type Outputs = BTreeMap<String, HostTensor>;

/// Runs graphs with the weights of one store, and caches their compiled programs by the key `K`, such as batch size and length.
#[derive(Debug)]
pub struct Runner<K> {
    weights: Store,
    /// The one used last at the end.
    kept: Vec<(K, Ready)>,
    preparing: Duration,
    watch: Option<Watch>,
}

/// A graph, and what it became on a device.
#[derive(Debug)]
struct Ready {
    graph: Arc<Graph>,
    /// Until it is made.
    plan: Option<Box<Plan>>,
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
        Self { weights: weights.clone(), kept: Vec::new(), preparing: Duration::ZERO, watch: None }
    }

    /// Checks every run for NaN and infinities, and fails with [`ErrorKind::NotFinite`] where there is one. The failed run is run once more with
    /// every step checked, so that the error names the step that computed the first such number.
    ///
    /// With [`Watch::Outputs`] and [`Watch::Results`] a run costs one more pass over each of these; nothing is checked without this call. With
    /// [`Watch::Steps`] every run is of the second kind, which also keeps parameters and states as they are.
    ///
    /// On a device through wgpu a run that fails has updated parameters and states, from which the second run starts; a stream is refused
    /// from then on, until it is reset or all its tensors are written. On the CPU references nothing is updated.
    ///
    /// ```
    /// use foveate::plan::Watch;
    /// use foveate::runtime::{Device, Runner, Store};
    /// use foveate::{ErrorKind, Graph, HostTensor, TensorDesc, ops};
    ///
    /// # fn main() -> foveate::Result<()> {
    /// let record = || -> foveate::Result<Graph> {
    ///     let mut graph = Graph::new();
    ///     let x = graph.input("x", TensorDesc::f32([2]))?;
    ///     let y = ops::exp(&mut graph, x)?;
    ///     let z = ops::scale(&mut graph, y, 0.5)?;
    ///     graph.output("z", z)?;
    ///     Ok(graph)
    /// };
    /// let mut runner = Runner::new(&Store::empty(&Device::Cpu)).watching(Watch::Outputs);
    /// let x = HostTensor::f32([2], vec![1.0, 1000.0])?;
    /// let error = runner.run((), &[("x", &x)], record).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotFinite);
    /// assert_eq!((error.op(), error.argument()), ("elementwise/exp", "step 1 of 2"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn watching(self, watch: Watch) -> Self {
        // What is kept was planned for another one.
        Self { watch: Some(watch), kept: Vec::new(), ..self }
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

    /// [`Runner::run`] for one stream: the graph's states are those of `state`, and hold afterwards what the graph updates them to. After the first
    /// run of a size with a stream, further ones create and allocate nothing on the device.
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

    /// Runs the graph for `size` with every step checked, whatever [`Runner::watching`] says, and changes nothing: to find out why a run gave numbers
    /// that are not finite. It starts from parameters as they are by now.
    ///
    /// Fails with [`ErrorKind::NotFinite`], and the step, where there are any such numbers, and as [`Runner::run`] does.
    pub fn explain<G: Into<Arc<Graph>>>(
        &mut self,
        size: K,
        inputs: &[(&str, &HostTensor)],
        record: impl FnOnce() -> Result<G>,
    ) -> Result<()> {
        let weights = self.weights.tensors.clone();
        let graph = self.ready(size, record)?.graph.clone();
        match weights {
            Tensors::Gpu { context, parameters } => look(&context, &graph, &[&parameters], inputs),
            Tensors::Cpu(host) => host.look(&graph, inputs),
        }
    }

    /// Device memory that the graph for `size` takes; none on the CPU references, which do not plan. Fails as [`Runner::run`] does.
    pub fn memory<G: Into<Arc<Graph>>>(
        &mut self,
        size: K,
        record: impl FnOnce() -> Result<G>,
    ) -> Result<Option<Memory>> {
        let (device, watch) = (self.device(), self.watch);
        Ok(plan(&self.ready(size, record)?.graph, &device, watch)?.map(|plan| *plan.memory()))
    }

    /// Bytes that a run of the graph for `size` takes beside weights and states, before anything is made for it: inputs, outputs and a copy
    /// of them for reading back, and what lies between; on the CPU references the arrays that live at once. Fails as [`Runner::run`] does.
    pub fn bytes<G: Into<Arc<Graph>>>(&mut self, size: K, record: impl FnOnce() -> Result<G>) -> Result<u64> {
        let (device, watch) = (self.device(), self.watch);
        let ready = self.ready(size, record)?;
        let plan = plan(&ready.graph, &device, watch)?;
        let bytes = of_run(&ready.graph, plan.as_ref(), &device);
        // The run to come makes its program of this plan.
        ready.plan = plan.filter(|_| ready.made.is_none()).map(Box::new);
        Ok(bytes)
    }

    fn run_on_device<G: Into<Arc<Graph>>>(
        &mut self,
        size: K,
        state: Option<&mut State>,
        inputs: &[(&str, &HostTensor)],
        record: impl FnOnce() -> Result<G>,
    ) -> Result<Outputs> {
        let start = Instant::now();
        let watch = self.watch;
        state.as_deref().map_or(Ok(()), State::check_sound)?;
        let weights = self.weights.tensors.clone();
        let ready = self.ready(size, record)?;
        // A session keeps inputs that it is not given.
        ready.graph.match_inputs(inputs)?;
        match weights {
            Tensors::Gpu { context, parameters } => {
                let graph = ready.graph.clone();
                let (made, stream) = ready.make(&context, &parameters, state.as_deref(), inputs, watch)?;
                let prepared = start.elapsed();
                made.session.write(inputs)?;
                match made.session.run_with(&made.streams[stream].1) {
                    Err(error) if error.kind() == ErrorKind::NotFinite && watch != Some(Watch::Steps) => {
                        return Err(broken(error, &context, &graph, (&parameters, state), inputs)?);
                    }
                    ran => ran?,
                };
                let outputs = made.session.read()?;
                self.preparing += prepared;
                Ok(outputs)
            }
            Tensors::Cpu(host) => {
                let mut all = match &state {
                    None => host,
                    Some(state) => host.with(state.on_cpu()?)?,
                };
                let outputs = all.run_watching(&ready.graph, inputs, watch)?;
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
                (size, Ready { graph: record()?.into(), plan: None, made: None })
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
        watch: Option<Watch>,
    ) -> Result<(&mut Made, usize)> {
        let made = match &mut self.made {
            Some(made) => made,
            none => {
                let plan = match self.plan.take() {
                    Some(plan) => *plan,
                    None => plan_for(&self.graph, context, watch)?,
                };
                let program = Program::new(context, &plan)?;
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

/// The error of a run that gave numbers that are not finite, with the step that gave the first. A state that the run has updated is broken.
fn broken(
    error: Error,
    context: &Context,
    graph: &Graph,
    (parameters, state): (&gpu::Parameters, Option<&mut State>),
    inputs: &[(&str, &HostTensor)],
) -> Result<Error> {
    let states = state.as_deref().map(|state| state.on_gpu(context)).transpose()?;
    let stores: Vec<_> = [Some(parameters), states].into_iter().flatten().collect();
    let again = look(context, graph, &stores, inputs);
    let error = finite::explained(error, again, Some(graph));
    Ok(match state.filter(|_| !graph.updates().is_empty()) {
        Some(state) => state.broken_by(error),
        None => error,
    })
}

/// Runs `graph` with every step looked at, and changes nothing. Fails with the step that first gave a number that is not finite.
pub(super) fn look(
    context: &Context,
    graph: &Graph,
    stores: &[&gpu::Parameters],
    inputs: &[(&str, &HostTensor)],
) -> Result<()> {
    let program = Program::new(context, &Plan::watching(graph, context.caps(), Watch::Steps)?)?;
    let mut session = Session::unbound(&program, inputs)?;
    let bindings = session.bind(stores)?;
    session.run_with(&bindings).map(|_| ())
}
