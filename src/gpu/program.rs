//! A plan with everything it needs on one device: pipelines, buffers, uniforms, bind groups. The file is long because creating, binding and
//! encoding share the private parts of `Program` and `Bindings`, and most of it is checks of what the caller binds.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;

use super::pipeline::{Pipeline, check_limits};
use super::session::write_padded;
use super::{Context, ErrorScopes, Parameters, check_alive};
use crate::plan::{Command, Location, Plan, Port, StepReport};
use crate::tensor::HostTensor;
use crate::{Error, ErrorKind, Result};

/// A plan made executable. Everything is created in [`Program::new`] and [`Program::bind`]; [`Program::encode`] only records.
///
/// The crate doc has a complete example that records two programs into an app's own encoder. Clones share everything.
#[derive(Clone, Debug)]
pub struct Program {
    context: Context,
    plan: Arc<Plan>,
    pipelines: Vec<Arc<Pipeline>>,
    slots: Vec<wgpu::Buffer>,
    constants: Vec<wgpu::Buffer>,
    params: Option<wgpu::Buffer>,
    /// For every command its bind group, when that names no buffer of the caller's.
    prepared: Vec<Option<wgpu::BindGroup>>,
    /// Bytes that every binding extends beyond its value, where no kernel may write: 0 but in conformance runs.
    guard: u64,
    /// Tells the bindings of this program from those of others.
    identity: Arc<()>,
}

/// A program's parameters, states, inputs and outputs bound to buffers: what [`Program::encode`] records with.
#[derive(Debug)]
pub struct Bindings {
    program: Arc<()>,
    groups: Vec<Option<wgpu::BindGroup>>,
    bound: BoundPorts,
}

/// What each port of a plan is bound to; nothing for a value without elements.
#[derive(Debug, Default)]
struct BoundPorts {
    parameters: Vec<Option<Bound>>,
    states: Vec<Option<Bound>>,
    inputs: Vec<Option<Bound>>,
    outputs: Vec<Option<Bound>>,
}

/// A range of a buffer of the caller's.
#[derive(Clone, Debug)]
struct Bound {
    buffer: wgpu::Buffer,
    offset: u64,
}

impl Program {
    /// Creates everything the plan needs on the context's device. Pipelines are shared with the context's other programs.
    ///
    /// Fails when the device offers less than the plan was made for, or refuses or lacks memory for what is created.
    pub fn new(context: &Context, plan: &Plan) -> Result<Self> {
        Self::with_guard(context, plan, 0)
    }

    /// [`Program::new`] with `guard` bytes behind each value, bound with it, which no kernel may write. Buffers bound to the
    /// program must have as many.
    pub(crate) fn with_guard(context: &Context, plan: &Plan, guard: u64) -> Result<Self> {
        if let Some((what, needed, offered)) = context.caps().shortfall(plan.caps()) {
            return Err(Error::new(ErrorKind::Limit, "program", what)
                .expecting(format!("{needed} as the plan was made for"))
                .but_found(offered));
        }
        for shader in plan.shaders() {
            context.caps().check_features("program", shader)?;
        }
        for command in plan.commands() {
            if let Command::Dispatch { step, turns, .. } = command {
                context.caps().check_turns(plan.report()[*step].op, *turns)?;
            }
        }
        let device = context.device();
        check_alive(device, "program")?;
        let make = |(at, shader)| context.pipeline(shader, plan.is_proven(at));
        let pipelines = plan.shaders().iter().enumerate().map(make).collect::<Result<Vec<_>>>()?;
        for (shader, pipeline) in plan.shaders().iter().zip(&pipelines) {
            check_limits(shader, &pipeline.reflected, plan.caps())?;
        }
        let scopes = ErrorScopes::open(device);
        let storage = |label, bytes| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: bytes + guard,
                usage: wgpu::BufferUsages::STORAGE
                    | wgpu::BufferUsages::COPY_SRC
                    | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        let slots = plan.slots().iter().map(|&bytes| storage("foveate slot", bytes)).collect();
        let upload = |data: &Arc<HostTensor>| {
            let buffer = storage("foveate constant", data.desc().buffer_bytes());
            write_padded(context.queue(), &buffer, data.bytes());
            buffer
        };
        let constants = plan.constants().iter().map(upload).collect();
        let params = upload_params(context, plan);
        scopes.close("program", "buffers")?;
        let mut program = Self {
            context: context.clone(),
            plan: Arc::new(plan.clone()),
            pipelines,
            slots,
            constants,
            params,
            prepared: Vec::new(),
            guard,
            identity: Arc::new(()),
        };
        program.prepared = program.prepare()?;
        Ok(program)
    }

    /// Checks every dispatch against its shader's own declarations, and binds those that name only the program's buffers.
    fn prepare(&self) -> Result<Vec<Option<wgpu::BindGroup>>> {
        let scopes = ErrorScopes::open(self.context.device());
        let mut prepared = Vec::with_capacity(self.plan.commands().len());
        for command in self.plan.commands() {
            let mut group = None;
            if let Command::Dispatch { shader, buffers, params, .. } = command {
                self.pipelines[*shader].reflected.check_params(self.plan.shaders()[*shader].label, params)?;
                let own = |location| matches!(location, Location::Slot(_) | Location::Constant(_));
                if buffers.iter().all(|buffer| own(buffer.location)) {
                    group = self.bind_group(command, &BoundPorts::default())?;
                }
            }
            prepared.push(group);
        }
        scopes.close("program", "bind groups")?;
        Ok(prepared)
    }

    /// The context the program was made on.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The plan the program was made from.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Which kernel and tier each step runs with, and why.
    pub fn report(&self) -> &[StepReport] {
        self.plan.report()
    }

    /// Labels of the shaders that run without the checks that wgpu adds, in order of first use: none unless the context was told so.
    pub fn unchecked_shaders(&self) -> Vec<&'static str> {
        let shaders = self.plan.shaders().iter().zip(&self.pipelines);
        shaders.filter(|(_, pipeline)| !pipeline.is_checked).map(|(shader, _)| shader.label).collect()
    }

    /// The results of the checks for NaN and infinities ([`Plan::watching`]) of the run that was encoded last: a buffer to copy as a whole and to
    /// give to [`Plan::verdict`]. None for a plan without checks. Every run of the program overwrites it.
    ///
    /// ```
    /// use foveate::gpu::{AdapterRequest, Context, Program};
    /// use foveate::plan::Watch;
    /// use foveate::{ErrorKind, Graph, Plan, TensorDesc, ops, wgpu};
    /// # use wgpu::util::DeviceExt;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut graph = Graph::new();
    /// let x = graph.input("x", TensorDesc::f32([4]))?;
    /// let y = ops::exp(&mut graph, x)?;
    /// graph.output("y", y)?;
    /// let context = Context::headless(&AdapterRequest::Any)?;
    /// let (device, queue) = (context.device(), context.queue());
    /// let program = Program::new(&context, &Plan::watching(&graph, context.caps(), Watch::Outputs)?)?;
    /// # let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
    /// # let buffer = |floats: [f32; 4]| {
    /// #     let contents = bytemuck::cast_slice(&floats);
    /// #     device.create_buffer_init(&wgpu::util::BufferInitDescriptor { label: None, contents, usage })
    /// # };
    /// # let (x, y) = (buffer([0.0, 1.0, 1000.0, 2.0]), buffer([0.0; 4]));
    /// let bindings =
    ///     program.bind(&[("x", x.as_entire_buffer_binding()), ("y", y.as_entire_buffer_binding())])?;
    ///
    /// // Among your own commands: the run, and a copy of its findings to a buffer that you can map.
    /// let findings = program.findings().ok_or("the plan does not look")?;
    /// let staging = device.create_buffer(&wgpu::BufferDescriptor {
    ///     label: None,
    ///     size: findings.size(),
    ///     usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
    ///     mapped_at_creation: false,
    /// });
    /// let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    /// program.encode(&mut encoder, &bindings)?;
    /// encoder.copy_buffer_to_buffer(findings, 0, &staging, 0, None);
    /// queue.submit([encoder.finish()]);
    ///
    /// // When it is mapped: e to the 1000th is no f32.
    /// staging.map_async(wgpu::MapMode::Read, .., |mapped| mapped.expect("the buffer maps"));
    /// device.poll(wgpu::PollType::wait_indefinitely())?;
    /// let words: Vec<u32> = bytemuck::pod_collect_to_vec(&staging.get_mapped_range(..)?);
    /// let error = program.plan().verdict(&words).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotFinite);
    /// assert_eq!(error.found(), "an infinity at [2] of f32 [4]");
    /// # Ok(())
    /// # }
    /// ```
    pub fn findings(&self) -> Option<&wgpu::Buffer> {
        self.plan.findings().map(|(slot, _)| &self.slots[slot])
    }

    #[cfg(feature = "check")]
    pub(crate) fn slots(&self) -> &[wgpu::Buffer] {
        &self.slots
    }

    /// Binds the caller's buffers to the program's inputs, outputs, parameters and states by name, and makes the bind groups.
    ///
    /// Every buffer needs `STORAGE` usage, [`crate::TensorDesc::buffer_bytes`] bytes from its offset on, and an offset
    /// aligned as the device demands. Values without elements need no buffer. Inputs may share buffers among themselves; a
    /// buffer bound to an output may be bound nowhere else, because wgpu forbids reading and writing one buffer in a dispatch.
    /// A buffer of another device is refused; one of another `wgpu::Instance` makes wgpu itself panic.
    pub fn bind(&self, buffers: &[(&str, wgpu::BufferBinding<'_>)]) -> Result<Bindings> {
        self.bind_with(&[], buffers)
    }

    /// [`Program::bind`], taking parameters and states that `buffers` does not name from the first of `stores` that has them: a model's
    /// weights, and what one stream keeps from run to run.
    pub fn bind_with(
        &self,
        stores: &[&Parameters],
        buffers: &[(&str, wgpu::BufferBinding<'_>)],
    ) -> Result<Bindings> {
        check_alive(self.context.device(), "bind")?;
        let ports = || {
            let plan = &self.plan;
            plan.inputs().iter().chain(plan.outputs()).chain(plan.parameters()).chain(plan.states())
        };
        let known: HashSet<&str> = ports().map(|port| port.name.as_str()).collect();
        let mut by_name = HashMap::new();
        for (name, buffer) in buffers {
            if !known.contains(name) {
                let names: Vec<&str> = ports().map(|port| port.name.as_str()).collect();
                return Err(binding_error(name).expecting(names.join(", ")).but_found("an unknown name"));
            }
            if by_name.insert(*name, buffer).is_some() {
                return Err(binding_error(name).expecting("one buffer").but_found("a second one"));
            }
        }
        let named = |port: &Port| by_name.get(port.name.as_str()).map(|&buffer| buffer.clone());
        let usages = self.usages();
        let stored = |port: &Port| -> Result<Option<wgpu::BufferBinding<'_>>> {
            let found = stores.iter().map(|store| store.get(port)).find(|found| !matches!(found, Ok(None)));
            Ok(found.transpose()?.flatten().map(wgpu::Buffer::as_entire_buffer_binding))
        };
        let bind_all = |ports: &[Port], location: fn(usize) -> Location, is_stored: bool| {
            let bind = |(i, port)| {
                let binding = match named(port) {
                    None if is_stored => stored(port)?,
                    given => given,
                };
                self.bind_port(port, usages.get(&location(i)), binding)
            };
            ports.iter().enumerate().map(bind).collect::<Result<Vec<_>>>()
        };
        let bound = BoundPorts {
            parameters: bind_all(self.plan.parameters(), Location::Parameter, true)?,
            states: bind_all(self.plan.states(), Location::State, true)?,
            inputs: bind_all(self.plan.inputs(), Location::Input, false)?,
            outputs: bind_all(self.plan.outputs(), Location::Output, false)?,
        };
        self.check_aliasing(&bound)?;

        let scopes = ErrorScopes::open(self.context.device());
        let groups = self
            .plan
            .commands()
            .iter()
            .zip(&self.prepared)
            .map(|(command, fixed)| match fixed {
                None => self.bind_group(command, &bound),
                Some(_) => Ok(None),
            })
            .collect::<Result<Vec<_>>>();
        scopes.close("bind", "bind groups")?;
        Ok(Bindings { program: self.identity.clone(), groups: groups?, bound })
    }

    /// How the plan's copies use each buffer.
    fn usages(&self) -> HashMap<Location, wgpu::BufferUsages> {
        let mut usages = HashMap::new();
        for command in self.plan.commands() {
            if let Command::Copy { from, to, .. } = *command {
                for (location, usage) in
                    [(from, wgpu::BufferUsages::COPY_SRC), (to, wgpu::BufferUsages::COPY_DST)]
                {
                    *usages.entry(location).or_insert(wgpu::BufferUsages::empty()) |= usage;
                }
            }
        }
        usages
    }

    fn bind_port(
        &self,
        port: &Port,
        copied: Option<&wgpu::BufferUsages>,
        binding: Option<wgpu::BufferBinding<'_>>,
    ) -> Result<Option<Bound>> {
        if port.desc.elements() == 0 {
            return Ok(None);
        }
        let refused = || binding_error(&port.name);
        let Some(binding) = binding else {
            return Err(refused().expecting(format!("a buffer for {}", port.desc)).but_found("none"));
        };
        let (needed, buffer) = (port.desc.buffer_bytes(), binding.buffer);
        let rest = buffer.size().saturating_sub(binding.offset);
        let offered = binding.size.map_or(rest, |size| size.get().min(rest));
        if offered < needed {
            return Err(refused().expecting(format!("{needed} bytes for {}", port.desc)).but_found(offered));
        }
        let alignment = u64::from(self.context.caps().storage_alignment);
        if !binding.offset.is_multiple_of(alignment) {
            return Err(refused()
                .expecting(format!("an offset divisible by {alignment}"))
                .but_found(binding.offset));
        }
        let usage = wgpu::BufferUsages::STORAGE | copied.copied().unwrap_or(wgpu::BufferUsages::empty());
        if !buffer.usage().contains(usage) {
            return Err(refused()
                .expecting(format!("a buffer with usage {usage:?}"))
                .but_found(format!("{:?}", buffer.usage())));
        }
        Ok(Some(Bound { buffer: buffer.clone(), offset: binding.offset }))
    }

    fn check_aliasing(&self, bound: &BoundPorts) -> Result<()> {
        let named = |ports, bound| named_buffers(ports, bound).collect::<Vec<_>>();
        let mut written = named(self.plan.outputs(), &bound.outputs);
        let mut read = named(self.plan.inputs(), &bound.inputs);
        let parameters = self.plan.parameters().iter().zip(&bound.parameters);
        let kept = parameters.chain(self.plan.states().iter().zip(&bound.states));
        for ((port, bound), updated) in kept.zip(self.plan.updated()) {
            let to = if *updated { &mut written } else { &mut read };
            to.extend(bound.as_ref().map(|bound| (port.name.as_str(), &bound.buffer)));
        }
        #[expect(
            clippy::mutable_key_type,
            reason = "a buffer is told by its identity, which nothing changes"
        )]
        let mut owners: HashMap<&wgpu::Buffer, &str> =
            read.iter().rev().map(|&(name, buffer)| (buffer, name)).collect();
        for (name, buffer) in written {
            if let Some(other) = owners.insert(buffer, name) {
                return Err(binding_error(name)
                    .expecting("a buffer that is bound nowhere else, as it is written")
                    .but_found(format!("the buffer of `{other}`")));
            }
        }
        Ok(())
    }

    /// What a dispatch is bound to; nothing for a copy.
    fn bind_group(&self, command: &Command, ports: &BoundPorts) -> Result<Option<wgpu::BindGroup>> {
        let Command::Dispatch { shader, ref buffers, ref params, params_offset, .. } = *command else {
            return Ok(None);
        };
        let label = self.plan.shaders()[shader].label;
        let pipeline = &self.pipelines[shader];
        if buffers.len() != pipeline.reflected.storage.len() {
            return Err(Error::new(ErrorKind::Shader, label, "bindings")
                .expecting(pipeline.reflected.storage.len())
                .but_found(buffers.len()));
        }
        let mut entries = Vec::with_capacity(buffers.len() + 1);
        if let Some(uniforms) = &self.params {
            entries.push(wgpu::BindGroupEntry {
                binding: pipeline.reflected.params_index,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: uniforms,
                    offset: params_offset,
                    // WGSL rounds a struct up to the alignment of its members, which is at most 16.
                    size: NonZeroU64::new(params.bytes.len().next_multiple_of(16) as u64),
                }),
            });
        }
        for bound in buffers {
            let (buffer, offset) = self.resolve(bound.location, ports);
            entries.push(wgpu::BindGroupEntry {
                binding: pipeline.reflected.storage_index(label, bound.name)?,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset: offset + bound.offset,
                    size: NonZeroU64::new(bound.bytes + self.guard),
                }),
            });
        }
        Ok(Some(self.context.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(label),
            layout: &pipeline.layout,
            entries: &entries,
        })))
    }

    /// The buffer and offset a location stands for.
    fn resolve<'a>(&'a self, location: Location, ports: &'a BoundPorts) -> (&'a wgpu::Buffer, u64) {
        let bound = match location {
            Location::Slot(slot) => return (&self.slots[slot], 0),
            Location::Constant(constant) => return (&self.constants[constant], 0),
            Location::Parameter(i) => &ports.parameters[i],
            Location::State(i) => &ports.states[i],
            Location::Input(i) => &ports.inputs[i],
            Location::Output(i) => &ports.outputs[i],
        };
        let Bound { buffer, offset } = bound
            .as_ref()
            .unwrap_or_else(|| unreachable!("the planner places values without elements in slots"));
        (buffer, *offset)
    }

    /// Records the program into `encoder`: no creation, no submit, no wait. The caller submits.
    ///
    /// Fails when `bindings` were made by another program. `encoder` must be of the program's device, which wgpu does not tell of an
    /// encoder: with one of another device this succeeds, and `encoder.finish()` raises a validation error on that other device, which
    /// is a panic unless the app has an error scope or a handler there. One of another `wgpu::Instance` makes wgpu itself panic.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder, bindings: &Bindings) -> Result<()> {
        self.encode_timed(encoder, bindings, 0..self.plan.commands().len(), None)
    }

    /// [`Program::encode`] of one of [`Plan::submissions`], for apps that submit a long program in parts, in order.
    ///
    /// Fails also when the range is not one of the plan's commands.
    pub fn encode_part(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        bindings: &Bindings,
        part: Range<usize>,
    ) -> Result<()> {
        let commands = self.plan.commands().len();
        if part.start > part.end || part.end > commands {
            return Err(Error::new(ErrorKind::Argument, "encode", "part")
                .expecting(format!("a range of {commands} commands"))
                .but_found(format!("{part:?}")));
        }
        self.encode_timed(encoder, bindings, part, None)
    }

    /// [`Program::encode`] of a range of commands, with the times before the first and after the last dispatch of all written to queries 0
    /// and 1.
    pub(super) fn encode_timed(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        bindings: &Bindings,
        range: Range<usize>,
        queries: Option<&wgpu::QuerySet>,
    ) -> Result<()> {
        if !Arc::ptr_eq(&self.identity, &bindings.program) {
            return Err(Error::new(ErrorKind::Binding, "encode", "bindings")
                .expecting("bindings of this program")
                .but_found("another program's"));
        }
        let is_dispatch = |command: &Command| matches!(command, Command::Dispatch { .. });
        let commands = self.plan.commands();
        let first = commands.iter().position(is_dispatch);
        let last = commands.iter().rposition(is_dispatch);
        let timestamps = |range: &Range<usize>| {
            let query_set = queries?;
            let begin = first.filter(|first| range.contains(first)).map(|_| 0);
            let end = last.filter(|last| range.contains(last)).map(|_| 1);
            begin.or(end)?;
            Some(wgpu::ComputePassTimestampWrites {
                query_set,
                beginning_of_pass_write_index: begin,
                end_of_pass_write_index: end,
            })
        };
        self.encode_commands(encoder, bindings, range, timestamps);
        if let (None, Some(query_set)) = (first, queries) {
            // A program that only copies takes no time on the device's own clock.
            let (start, end) = (Some(0), Some(1));
            let timestamps = wgpu::ComputePassTimestampWrites {
                query_set,
                beginning_of_pass_write_index: start,
                end_of_pass_write_index: end,
            };
            self.encode_pass(encoder, bindings, 0..0, Some(timestamps));
        }
        Ok(())
    }

    /// Records a range of the plan's commands: copies, and neighbouring dispatches as passes, for which `timestamps` says what to write.
    pub(super) fn encode_commands<'q>(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        bindings: &Bindings,
        range: Range<usize>,
        timestamps: impl Fn(&Range<usize>) -> Option<wgpu::ComputePassTimestampWrites<'q>>,
    ) {
        let mut at = range.start;
        while at < range.end {
            if let Command::Copy { from, to, bytes } = self.plan.commands()[at] {
                let (from, from_offset) = self.resolve(from, &bindings.bound);
                let (to, to_offset) = self.resolve(to, &bindings.bound);
                encoder.copy_buffer_to_buffer(from, from_offset, to, to_offset, bytes);
                at += 1;
                continue;
            }
            let rest = &self.plan.commands()[at..range.end];
            let dispatches =
                rest.iter().take_while(|command| matches!(command, Command::Dispatch { .. })).count();
            let pass = at..at + dispatches;
            self.encode_pass(encoder, bindings, pass.clone(), timestamps(&pass));
            at = pass.end;
        }
    }

    /// Records neighbouring dispatches as one pass.
    fn encode_pass(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        bindings: &Bindings,
        range: Range<usize>,
        timestamp_writes: Option<wgpu::ComputePassTimestampWrites<'_>>,
    ) {
        let mut pass = encoder
            .begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some("foveate"), timestamp_writes });
        for at in range {
            if let Command::Dispatch { shader, workgroups: [x, y, z], .. } = self.plan.commands()[at] {
                pass.set_pipeline(&self.pipelines[shader].pipeline);
                let group = self.prepared[at].as_ref().or(bindings.groups[at].as_ref());
                pass.set_bind_group(0, group, &[]);
                pass.dispatch_workgroups(x, y, z);
            }
        }
    }
}

/// Names of ports with the buffers they are bound to.
fn named_buffers<'b>(
    ports: &'b [Port],
    bound: &'b [Option<Bound>],
) -> impl Iterator<Item = (&'b str, &'b wgpu::Buffer)> {
    let pair =
        |(port, bound): (&'b Port, &'b Option<Bound>)| Some((port.name.as_str(), &bound.as_ref()?.buffer));
    ports.iter().zip(bound).filter_map(pair)
}

fn binding_error(name: &str) -> Error {
    Error::new(ErrorKind::Binding, "bind", format!("`{name}`"))
}

/// One uniform buffer with the parameters of every dispatch, as the plan lays them out.
fn upload_params(context: &Context, plan: &Plan) -> Option<wgpu::Buffer> {
    let size = plan.memory().params;
    let mut bytes = vec![0; size as usize];
    for command in plan.commands() {
        if let Command::Dispatch { params, params_offset, .. } = command {
            let start = *params_offset as usize;
            bytes[start..start + params.bytes.len()].copy_from_slice(&params.bytes);
        }
    }
    (size > 0).then(|| {
        let buffer = context.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("foveate params"),
            size,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        // Lands before the next submission, whoever makes it; the contents never change.
        context.queue().write_buffer(&buffer, 0, &bytes);
        buffer
    })
}
