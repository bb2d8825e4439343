//! A program with input and output buffers of its own: headless runs, timing, reading back.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::program::{Bindings, Program};
use super::read_back::{self, Part, map, staging, wait};
use super::{ErrorScopes, Parameters};
use crate::graph::match_inputs;
use crate::plan::{Command, Port};
use crate::tensor::{HostTensor, TensorDesc};
use crate::{Error, ErrorKind, Result};

/// How long one run took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From before recording until the device was done.
    pub wall: Duration,
    /// From before the first until after the last dispatch, by the device's own clock, where it has one.
    pub gpu: Option<Duration>,
}

/// How long one dispatch took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profiled {
    /// The step it belongs to, by its place in [`Program::report`].
    pub step: usize,
    /// The shader's label.
    pub shader: &'static str,
    /// From before it was recorded until the device was done.
    pub time: Duration,
}

/// A program whose inputs stay on the device, to be run any number of times.
#[derive(Debug)]
pub struct Session {
    program: Program,
    inputs: Vec<wgpu::Buffer>,
    outputs: Vec<wgpu::Buffer>,
    /// Of each output, where it is read back through, once it was.
    staging: Vec<OnceLock<wgpu::Buffer>>,
    /// None where each run brings its own.
    bindings: Option<Bindings>,
    /// Commands that are submitted together: at least one range.
    parts: Vec<Range<usize>>,
    timer: Option<Timer>,
    /// What findings are read back through, of a plan that looks.
    findings: Option<wgpu::Buffer>,
}

#[derive(Debug)]
struct Timer {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    staging: wgpu::Buffer,
}

/// Outputs of up to so many bytes keep what they are read back through, so that short runs allocate nothing; of larger ones, making
/// it is little beside the copy.
const KEPT_STAGING_BYTES: u64 = 4 << 20;

/// Bytes of two timestamps.
const TIMESTAMPS: u64 = 16;

impl Session {
    /// Allocates the program's inputs and outputs and uploads `inputs`, tensors by name.
    ///
    /// Fails when one is missing, unknown, given twice, or of another shape or type, or the device is lost or out of memory.
    pub fn new(program: &Program, inputs: &[(&str, &HostTensor)]) -> Result<Self> {
        Self::allocate(program, Some(&[]), inputs, 0)
    }

    /// [`Session::new`] for a program with parameters, which are bound from a store.
    pub fn with_parameters(
        program: &Program,
        parameters: &Parameters,
        inputs: &[(&str, &HostTensor)],
    ) -> Result<Self> {
        Self::allocate(program, Some(&[parameters]), inputs, 0)
    }

    /// [`Session::new`] for a program whose parameters and states change from run to run: only [`Session::run_with`] runs it.
    pub fn unbound(program: &Program, inputs: &[(&str, &HostTensor)]) -> Result<Self> {
        Self::allocate(program, None, inputs, 0)
    }

    /// [`Session::new`] with `guard` bytes behind each buffer, which no kernel may touch.
    #[cfg(feature = "check")]
    pub(crate) fn with_guard(program: &Program, inputs: &[(&str, &HostTensor)], guard: u64) -> Result<Self> {
        Self::allocate(program, Some(&[]), inputs, guard)
    }

    fn allocate(
        program: &Program,
        stores: Option<&[&Parameters]>,
        inputs: &[(&str, &HostTensor)],
        guard: u64,
    ) -> Result<Self> {
        let plan = program.plan();
        let declared: Vec<(&str, &TensorDesc)> =
            plan.inputs().iter().map(|port| (port.name.as_str(), &port.desc)).collect();
        let tensors = match_inputs(&declared, inputs)?;
        let device = program.context().device();
        let scopes = ErrorScopes::open(device);
        let allocate = |ports: &[Port]| -> Vec<wgpu::Buffer> {
            ports.iter().map(|port| buffer_of(device, port, guard)).collect()
        };
        let (input_buffers, output_buffers) = (allocate(plan.inputs()), allocate(plan.outputs()));
        let timer = program.context().caps().timestamps.then(|| Timer::new(device));
        let findings = plan.findings().map(|(_, bytes)| staging(device, bytes));
        scopes.close("session", "buffers")?;

        let scopes = ErrorScopes::open(device);
        for (tensor, buffer) in tensors.iter().zip(&input_buffers) {
            write_padded(program.context().queue(), buffer, tensor.bytes());
        }
        scopes.close("session", "upload")?;
        let bindings =
            stores.map(|stores| bind(program, stores, &input_buffers, &output_buffers)).transpose()?;
        let staging = output_buffers.iter().map(|_| OnceLock::new()).collect();
        let (parts, program) = (plan.submissions(), program.clone());
        let (inputs, outputs) = (input_buffers, output_buffers);
        Ok(Self { program, inputs, outputs, staging, bindings, parts, timer, findings })
    }

    /// The session's inputs and outputs with other stores, for [`Session::run_with`]: several streams share one session.
    ///
    /// Fails as [`Program::bind_with`] does.
    pub fn bind(&self, stores: &[&Parameters]) -> Result<Bindings> {
        bind(&self.program, stores, &self.inputs, &self.outputs)
    }

    /// Replaces what inputs hold, by name, for the runs that follow; inputs that are not named keep what they have.
    ///
    /// Fails when a name is unknown or a tensor of another shape or type, and then nothing is replaced.
    pub fn write(&self, inputs: &[(&str, &HostTensor)]) -> Result<()> {
        let ports = self.program.plan().inputs();
        let mut writes = Vec::with_capacity(inputs.len());
        for (name, tensor) in inputs {
            let refused = |kind| Error::new(kind, "run", format!("input `{name}`"));
            let index = ports.iter().position(|port| port.name == *name).ok_or_else(|| {
                let names: Vec<&str> = ports.iter().map(|port| port.name.as_str()).collect();
                refused(ErrorKind::Binding)
                    .expecting(format!("one of: {}", names.join(", ")))
                    .but_found("an unknown name")
            })?;
            if tensor.desc() != ports[index].desc {
                return Err(refused(ErrorKind::Shape).expecting(&ports[index].desc).but_found(tensor.desc()));
            }
            writes.push((&self.inputs[index], tensor.bytes()));
        }
        let context = self.program.context();
        let scopes = ErrorScopes::open(context.device());
        for (buffer, bytes) in writes {
            write_padded(context.queue(), buffer, bytes);
        }
        scopes.close("session", "upload")
    }

    /// Runs once and waits. Fails when the device is lost or out of memory; and with [`ErrorKind::NotFinite`] when the plan looks at
    /// numbers ([`crate::Plan::watching`]) and one is not finite: outputs can be read all the same, and parameters and states were updated.
    pub fn run(&mut self) -> Result<Timing> {
        self.run_bound(self.own_bindings()?)
    }

    fn own_bindings(&self) -> Result<&Bindings> {
        self.bindings.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Binding, "run", "bindings")
                .expecting("those of `Session::bind`, with `Session::run_with`")
                .but_found("none, as the session was made without stores")
        })
    }

    /// [`Session::run`] with what [`Session::bind`] bound. Fails also for bindings of another program.
    pub fn run_with(&mut self, bindings: &Bindings) -> Result<Timing> {
        self.run_bound(bindings)
    }

    fn run_bound(&self, bindings: &Bindings) -> Result<Timing> {
        let context = self.program.context();
        let (device, queue) = (context.device(), context.queue());
        let start = Instant::now();
        let submission = self.submit(bindings)?;
        wait(device, submission)?;
        let wall = start.elapsed();
        let gpu = self.timer.as_ref().map(|timer| timer.elapsed(device, queue)).transpose()?;
        if let Some(staging) = &self.findings {
            self.program.plan().verdict(&words(&map(device, staging)?))?;
        }
        Ok(Timing { wall, gpu })
    }

    /// Records and submits everything, to the copies of timestamps and findings.
    fn submit(&self, bindings: &Bindings) -> Result<wgpu::SubmissionIndex> {
        let context = self.program.context();
        let (device, queue) = (context.device(), context.queue());
        let scopes = ErrorScopes::open(device);
        let queries = self.timer.as_ref().map(|timer| &timer.queries);
        let record = |part: &Range<usize>| {
            let mut encoder =
                device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("foveate") });
            self.program.encode_timed(&mut encoder, bindings, part.clone(), queries).map(|()| encoder)
        };
        for part in &self.parts[..self.parts.len() - 1] {
            queue.submit([record(part)?.finish()]);
        }
        let mut encoder = record(&self.parts[self.parts.len() - 1])?;
        if let Some(timer) = &self.timer {
            encoder.resolve_query_set(&timer.queries, 0..2, &timer.resolved, 0);
            encoder.copy_buffer_to_buffer(&timer.resolved, 0, &timer.staging, 0, TIMESTAMPS);
        }
        if let Some((from, to)) = self.program.findings().zip(self.findings.as_ref()) {
            encoder.copy_buffer_to_buffer(from, 0, to, 0, to.size());
        }
        let submission = queue.submit([encoder.finish()]);
        scopes.close("run", "submit")?;
        Ok(submission)
    }

    /// Async form of [`Session::run`]: submits when the future is polled first, and is ready when the device is done. Fails as that does.
    pub async fn run_async(&mut self) -> Result<()> {
        let context = self.program.context();
        self.submit(self.own_bindings()?)?;
        match self.program.findings() {
            Some(buffer) => {
                let found = Part { buffer, offset: 0, bytes: buffer.size() };
                let found = read_back::download_async(context, &[found]).await?;
                self.program.plan().verdict(&words(&found.concat()))
            }
            None => read_back::done(context).await,
        }
    }

    /// Runs once, one dispatch after the other, and tells how long each took by the host's clock. Waiting is included, so that the shares of the
    /// dispatches count, not the sum.
    ///
    /// Fails as [`Session::run`] does.
    pub fn profile(&mut self) -> Result<Vec<Profiled>> {
        let context = self.program.context();
        let (device, queue) = (context.device(), context.queue());
        let plan = self.program.plan();
        let bindings = self.own_bindings()?;
        let mut times = Vec::new();
        for (at, command) in plan.commands().iter().enumerate() {
            let start = Instant::now();
            let scopes = ErrorScopes::open(device);
            let mut encoder =
                device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("foveate") });
            self.program.encode_commands(&mut encoder, bindings, at..at + 1, |_| None);
            let submission = queue.submit([encoder.finish()]);
            scopes.close("run", "submit")?;
            wait(device, submission)?;
            if let Command::Dispatch { step, shader, .. } = *command {
                times.push(Profiled { step, shader: plan.shaders()[shader].label, time: start.elapsed() });
            }
        }
        Ok(times)
    }

    /// Every output by name, as the last run left it.
    pub fn read(&self) -> Result<BTreeMap<String, HostTensor>> {
        let context = self.program.context();
        let read = |(part, staged): (Part<'_>, &OnceLock<wgpu::Buffer>)| {
            if part.bytes > KEPT_STAGING_BYTES {
                return read_back::download(context, part);
            }
            let staging = staged.get_or_init(|| staging(context.device(), part.bytes));
            read_back::download_through(context, staging, part)
        };
        let bytes = self.output_parts().into_iter().zip(&self.staging).map(read).collect::<Result<_>>()?;
        self.named_outputs(bytes)
    }

    /// Async form of [`Session::read`]. The copies are submitted together when the future is first polled, through as much memory again as the outputs
    /// take, where [`Session::read`] copies large ones one after the other.
    pub async fn read_async(&self) -> Result<BTreeMap<String, HostTensor>> {
        let bytes = read_back::download_async(self.program.context(), &self.output_parts()).await?;
        self.named_outputs(bytes)
    }

    /// The bytes of every output.
    fn output_parts(&self) -> Vec<Part<'_>> {
        let ports = self.program.plan().outputs();
        let part = |(port, buffer): (&Port, _)| Part { buffer, offset: 0, bytes: port.desc.buffer_bytes() };
        ports.iter().zip(&self.outputs).map(part).collect()
    }

    /// The outputs that `bytes` are, in order.
    fn named_outputs(&self, bytes: Vec<Vec<u8>>) -> Result<BTreeMap<String, HostTensor>> {
        let ports = self.program.plan().outputs().iter();
        ports
            .zip(bytes)
            .map(|(port, bytes)| Ok((port.name.clone(), HostTensor::from_bytes(&port.desc, &bytes)?)))
            .collect()
    }

    #[cfg(feature = "check")]
    pub(crate) fn context(&self) -> &super::Context {
        self.program.context()
    }

    /// The session's buffers and the program's own, for checks that fill them and look behind their ends.
    #[cfg(feature = "check")]
    pub(crate) fn buffers(&self) -> (&[wgpu::Buffer], &[wgpu::Buffer], &[wgpu::Buffer]) {
        (&self.inputs, &self.outputs, self.program.slots())
    }

    /// Copies `bytes` of `buffer` from `offset` on to the host.
    #[cfg(feature = "check")]
    pub(crate) fn download(&self, buffer: &wgpu::Buffer, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        read_back::download(self.program.context(), Part { buffer, offset, bytes })
    }
}

/// Binds a program to buffers for all its inputs and outputs, and to stores for the rest.
fn bind(
    program: &Program,
    stores: &[&Parameters],
    inputs: &[wgpu::Buffer],
    outputs: &[wgpu::Buffer],
) -> Result<Bindings> {
    let plan = program.plan();
    let named: Vec<(&str, wgpu::BufferBinding<'_>)> = plan
        .inputs()
        .iter()
        .chain(plan.outputs())
        .zip(inputs.iter().chain(outputs))
        .map(|(port, buffer)| (port.name.as_str(), buffer.as_entire_buffer_binding()))
        .collect();
    program.bind_with(stores, &named)
}

impl Program {
    /// Uploads `inputs`, runs, waits and reads every output back: the headless convenience.
    ///
    /// Fails when an input does not fit, or the device is lost or out of memory.
    pub fn run(&self, inputs: &[(&str, &HostTensor)]) -> Result<BTreeMap<String, HostTensor>> {
        let mut session = Session::new(self, inputs)?;
        session.run()?;
        session.read()
    }

    /// Async form of [`Program::run`], whatever runs their futures: natively, a thread of its own waits for the device meanwhile; in
    /// a browser nothing needs to. Fails as that does.
    ///
    /// ```
    /// use foveate::gpu::{AdapterRequest, Context, Program};
    /// use foveate::{Graph, HostTensor, Plan, TensorDesc, ops};
    ///
    /// async fn softmax(numbers: &HostTensor) -> foveate::Result<HostTensor> {
    ///     let context = Context::headless_async(&AdapterRequest::Any).await?;
    ///     let mut graph = Graph::new();
    ///     let x = graph.input("x", numbers.desc())?;
    ///     let y = ops::softmax(&mut graph, x)?;
    ///     graph.output("y", y)?;
    ///     let program = Program::new(&context, &Plan::new(&graph, context.caps())?)?;
    ///     let mut outputs = program.run_async(&[("x", numbers)]).await?;
    ///     Ok(outputs.remove("y").expect("the graph has it"))
    /// }
    /// # let zeros = HostTensor::f32([1, 4], vec![0.0; 4]).unwrap();
    /// # assert_eq!(pollster::block_on(softmax(&zeros)).unwrap().to_f32(), [0.25; 4]);
    /// ```
    pub async fn run_async(&self, inputs: &[(&str, &HostTensor)]) -> Result<BTreeMap<String, HostTensor>> {
        let mut session = Session::new(self, inputs)?;
        session.run_async().await?;
        session.read_async().await
    }
}

/// The findings that bytes of the device are.
fn words(bytes: &[u8]) -> Vec<u32> {
    bytemuck::pod_collect_to_vec(bytes)
}

impl Timer {
    fn new(device: &wgpu::Device) -> Self {
        Self {
            queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("foveate timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("foveate timestamps"),
                size: TIMESTAMPS,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            }),
            staging: staging(device, TIMESTAMPS),
        }
    }

    fn elapsed(&self, device: &wgpu::Device, queue: &wgpu::Queue) -> Result<Duration> {
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&map(device, &self.staging)?);
        let nanoseconds = ticks[1].saturating_sub(ticks[0]) as f64 * f64::from(queue.get_timestamp_period());
        Ok(Duration::from_nanos(nanoseconds as u64))
    }
}

fn buffer_of(device: &wgpu::Device, port: &Port, guard: u64) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(&port.name),
        size: port.desc.buffer_bytes() + guard,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

/// Writes `bytes`, padded with zeros to whole words as `write_buffer` demands.
pub(super) fn write_padded(queue: &wgpu::Queue, buffer: &wgpu::Buffer, bytes: &[u8]) {
    let whole = bytes.len() / 4 * 4;
    queue.write_buffer(buffer, 0, &bytes[..whole]);
    if whole < bytes.len() {
        let mut word = [0; 4];
        word[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
        queue.write_buffer(buffer, whole as u64, &word);
    }
}
