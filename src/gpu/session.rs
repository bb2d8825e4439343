//! A program with input and output buffers of its own: headless runs, timing, reading back.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::program::{Bindings, Program};
use super::{ErrorScopes, Parameters, is_lost};
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
        let findings = self.program.findings().zip(self.findings.as_ref());
        if let Some((from, to)) = findings {
            encoder.copy_buffer_to_buffer(from, 0, to, 0, to.size());
        }
        let submission = queue.submit([encoder.finish()]);
        scopes.close("run", "submit")?;
        wait(device, submission)?;
        let wall = start.elapsed();
        let gpu = self.timer.as_ref().map(|timer| timer.elapsed(device, queue)).transpose()?;
        if let Some((_, staging)) = findings {
            let words: Vec<u32> = bytemuck::pod_collect_to_vec(&map(device, staging)?);
            self.program.plan().verdict(&words)?;
        }
        Ok(Timing { wall, gpu })
    }

    /// Runs once, one dispatch after the other, and tells how long each took by the host's clock, waiting included: where the time goes,
    /// not how much of it there is.
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
        let ports = self.program.plan().outputs();
        ports
            .iter()
            .zip(self.outputs.iter().zip(&self.staging))
            .map(|(port, (buffer, staged))| {
                let context = self.program.context();
                let bytes = port.desc.buffer_bytes();
                let bytes = if bytes <= KEPT_STAGING_BYTES {
                    let staging = staged.get_or_init(|| staging(context.device(), bytes));
                    download_through(context, staging, buffer, 0, bytes)?
                } else {
                    download(context, buffer, 0, bytes)?
                };
                Ok((port.name.clone(), HostTensor::from_bytes(&port.desc, &bytes)?))
            })
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
        download(self.program.context(), buffer, offset, bytes)
    }
}

/// Copies `bytes` of `buffer` from `offset` on to the host.
pub(super) fn download(
    context: &super::Context,
    buffer: &wgpu::Buffer,
    offset: u64,
    bytes: u64,
) -> Result<Vec<u8>> {
    let scopes = ErrorScopes::open(context.device());
    let staging = staging(context.device(), bytes);
    scopes.close("read", "staging")?;
    download_through(context, &staging, buffer, offset, bytes)
}

/// [`download`] through a mappable buffer of as many bytes.
fn download_through(
    context: &super::Context,
    staging: &wgpu::Buffer,
    buffer: &wgpu::Buffer,
    offset: u64,
    bytes: u64,
) -> Result<Vec<u8>> {
    let (device, queue) = (context.device(), context.queue());
    let scopes = ErrorScopes::open(device);
    let mut encoder =
        device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("foveate") });
    encoder.copy_buffer_to_buffer(buffer, offset, staging, 0, bytes);
    queue.submit([encoder.finish()]);
    scopes.close("read", "copy")?;
    map(device, staging)
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

fn staging(device: &wgpu::Device, bytes: u64) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("foveate staging"),
        size: bytes,
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
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

fn wait(device: &wgpu::Device, submission: wgpu::SubmissionIndex) -> Result<()> {
    device
        .poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None })
        .map(|_| ())
        .map_err(|error| failure(device, "run", "wait", &error))
}

/// Waits for the device and copies a mappable buffer out.
fn map(device: &wgpu::Device, buffer: &wgpu::Buffer) -> Result<Vec<u8>> {
    let scopes = ErrorScopes::open(device);
    let (sender, receiver) = std::sync::mpsc::channel();
    buffer.map_async(wgpu::MapMode::Read, .., move |result| {
        // The receiver outlives the wait below, or nobody is left to tell.
        let _ = sender.send(result);
    });
    let polled = device.poll(wgpu::PollType::wait_indefinitely());
    scopes.close("read", "map")?;
    let failed = |error: &dyn std::fmt::Display| failure(device, "read", "map", error);
    polled.map_err(|error| failed(&error))?;
    receiver.recv().map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    let bytes = buffer.get_mapped_range(..).map_err(|error| failed(&error))?.to_vec();
    buffer.unmap();
    Ok(bytes)
}

fn failure(device: &wgpu::Device, op: &'static str, argument: &str, error: &dyn std::fmt::Display) -> Error {
    let kind = if is_lost(device) { ErrorKind::DeviceLost } else { ErrorKind::Device };
    Error::new(kind, op, argument).but_found(error)
}
