//! Makes the plan: lowers the needed steps, follows views to the values whose memory they share, places values, and checks
//! limits.

use std::collections::HashMap;
use std::sync::Arc;

use super::limits::{check_binding, check_shader, port_bytes};
use super::liveness::Interval;
use super::looks::Looks;
use super::updates::{self, ParameterUses};
use super::{BoundBuffer, Command, Findings, Location, Memory, Plan, Port, StepReport, Watch, slots};
use crate::finite;
use crate::graph::{Graph, Step, StepDesc};
use crate::kernel::{Caps, Dispatch, Lowered, Operand, Shader, fold_workgroups};
use crate::tensor::{HostTensor, TensorDesc};
use crate::{Error, ErrorKind, Result};

/// What a buffer is for, before it has a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Home {
    Fixed(Location),
    /// The n-th interval.
    Interval(usize),
    Unused,
}

/// Values of a graph with the memory they live in.
struct Places<'g> {
    graph: &'g Graph,
    /// The value whose memory each value shares: itself, unless it is a view.
    root: Vec<usize>,
    home: Vec<Home>,
    intervals: Vec<Interval>,
    /// The data that steps hold, each once: steps that are replayed hold the same.
    constants: Vec<Arc<HostTensor>>,
    /// Which of `constants` lies where in the host's memory.
    constant_at: HashMap<*const HostTensor, usize>,
}

impl Places<'_> {
    fn place_constant(&mut self, data: &Arc<HostTensor>) -> Location {
        let known = self.constant_at.entry(Arc::as_ptr(data)).or_insert_with(|| {
            self.constants.push(data.clone());
            self.constants.len() - 1
        });
        Location::Constant(*known)
    }

    fn desc(&self, value: crate::Value) -> &TensorDesc {
        &self.graph.values()[value.index()]
    }

    fn home_of(&self, value: crate::Value) -> Home {
        self.home[self.root[value.index()]]
    }

    /// Opens an interval of `bytes` at step `at`.
    fn open(&mut self, bytes: u64, at: usize) -> Home {
        self.intervals.push(Interval { bytes, first: at, last: at });
        Home::Interval(self.intervals.len() - 1)
    }

    /// Keeps a value's memory alive through step `at`.
    fn touch(&mut self, value: crate::Value, at: usize) {
        if let Home::Interval(interval) = self.home_of(value) {
            self.intervals[interval].last = at;
        }
    }
}

/// Which memory values may have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Slots, one value after the other; and that of the parameter that a value updates.
    Most,
    /// Slots, but not the memory of parameters: a run changes nothing that outlives it.
    Slots,
    /// None but that of views.
    #[cfg(feature = "check")]
    Least,
}

pub(super) fn plan(graph: &Graph, caps: &Caps, sharing: Sharing, watch: Option<Watch>) -> Result<Plan> {
    caps.check()?;
    let keeps_updates = sharing != Sharing::Slots;
    let needed = graph.needed_steps();
    let steps: Vec<&Step> =
        graph.steps().iter().zip(&needed).filter_map(|(step, &keep)| keep.then_some(step)).collect();
    let read = read_values(graph, &steps);
    let lowered =
        steps.iter().map(|step| lower_step(graph, step, &read, caps)).collect::<Result<Vec<_>>>()?;

    let mut places = place_ports(graph, &steps, &lowered, sharing);
    updates::check(graph, &places.root)?;
    let scratch = place_steps(&mut places, &steps, &lowered, &read);
    let slots::Assignment { slot_of, mut sizes } = match sharing {
        Sharing::Most | Sharing::Slots => slots::assign(&places.intervals),
        #[cfg(feature = "check")]
        Sharing::Least => slots::one_each(&places.intervals),
    };
    let looks = watch.map(|watch| Looks::new(finite::watched(graph, watch), &places.root));
    let looks = looks.filter(|looks| looks.bytes() > 0).map(|looks| (looks, sizes.len()));
    sizes.extend(looks.as_ref().map(|(looks, _)| looks.bytes()));
    let mut schedule = Schedule::new(caps, Placement { places: &places, slot_of: &slot_of });
    schedule.looks = looks.as_ref().map(|(looks, slot)| (looks, *slot));
    schedule.steps = steps.len();
    schedule.append_looks(finite::Watched::is_given)?;
    for (index, (step, lowered)) in steps.iter().zip(&lowered).enumerate() {
        schedule.append(index, step, lowered, &scratch[index])?;
        schedule.append_looks(|watched| watched.is_of_step(index))?;
    }
    schedule.append_looks(finite::Watched::is_result)?;
    schedule.report_looks();
    schedule.append_result_copies(keeps_updates);
    let Schedule { commands, report, shaders, params_end, .. } = schedule;

    let ports = |named: &[(String, crate::Value)]| -> Vec<Port> {
        named
            .iter()
            .map(|(name, value)| Port { name: name.clone(), desc: places.desc(*value).clone() })
            .collect()
    };
    let (parameters, states) = (ports(graph.parameters()), ports(graph.states()));
    let (inputs, outputs) = (ports(graph.inputs()), ports(graph.outputs()));
    let memory = Memory {
        parameters: port_bytes(&parameters, caps)?,
        states: port_bytes(&states, caps)?,
        inputs: port_bytes(&inputs, caps)?,
        outputs: port_bytes(&outputs, caps)?,
        working: sizes.iter().sum(),
        working_unshared: places.intervals.iter().map(|interval| interval.bytes).sum::<u64>()
            + looks.as_ref().map_or(0, |(looks, _)| looks.bytes()),
        constants: places.constants.iter().map(|data| data.desc().buffer_bytes()).sum(),
        params: params_end,
    };
    Ok(Plan {
        caps: caps.clone(),
        updated: updates::updated(graph).into_iter().map(|updated| updated && keeps_updates).collect(),
        parameters,
        states,
        inputs,
        outputs,
        shaders: shaders.shaders,
        proven: shaders.proven,
        slots: sizes,
        constants: places.constants,
        commands,
        report,
        memory,
        findings: looks.map(|(looks, slot)| Findings { looks, slot }),
    })
}

/// Of each value, whether a needed step reads it or it is a result of the run.
fn read_values(graph: &Graph, steps: &[&Step]) -> Vec<bool> {
    let mut read = vec![false; graph.values().len()];
    for value in steps.iter().flat_map(|step| step.inputs.iter().copied()).chain(graph.results()) {
        read[value.index()] = true;
    }
    read
}

fn lower_step(graph: &Graph, step: &Step, read: &[bool], caps: &Caps) -> Result<Lowered> {
    let descs =
        |values: &[crate::Value]| values.iter().map(|value| graph.values()[value.index()].clone()).collect();
    let desc = StepDesc {
        inputs: descs(&step.inputs),
        outputs: descs(&step.outputs),
        wanted: step.outputs.iter().map(|value| read[value.index()]).collect(),
    };
    for desc in desc.inputs.iter().chain(&desc.outputs) {
        if u32::try_from(desc.shape.span()).is_err() {
            return Err(Error::new(ErrorKind::Limit, step.op_name(), "elements")
                .expecting(format!("at most {}, as indices are 32-bit on the device", u32::MAX))
                .but_found(desc));
        }
    }
    let lowered = step.op.lower(&desc, caps)?;
    check_lowered(step, &desc, &lowered, caps.storage_alignment)?;
    Ok(lowered)
}

/// Checks what an op, which may be another crate's, lowered to: operands that exist, and views of as many bytes.
fn check_lowered(step: &Step, desc: &StepDesc, lowered: &Lowered, storage_alignment: u32) -> Result<()> {
    let refused = |argument: &str, expected: &str, found: String| {
        Err(Error::new(ErrorKind::Shader, step.op_name(), argument).expecting(expected).but_found(found))
    };
    for &(output, input) in step.op.in_place() {
        let bytes = |descs: &[TensorDesc], index: usize| descs.get(index).map(TensorDesc::bytes);
        let (changed, read) = (bytes(&desc.outputs, output), bytes(&desc.inputs, input));
        if changed.is_none() || changed != read || matches!(lowered, Lowered::View(_)) {
            let expected = "kernels, and an output of as many bytes as an input";
            return refused("in place", expected, format!("output {output} and input {input}"));
        }
    }
    match lowered {
        Lowered::View(input) => match (desc.inputs.get(*input), &desc.outputs[..]) {
            (Some(x), [y]) if x.bytes() == y.bytes() => Ok(()),
            _ => refused("view", "one output of as many bytes as an input", format!("input {input}")),
        },
        Lowered::Constant(data) => match &desc.outputs[..] {
            [desc] if *desc == data.desc() => Ok(()),
            _ => refused("constant", "one output of its shape and type", data.desc().to_string()),
        },
        Lowered::Kernels { dispatches, scratch, .. } => {
            for (name, operand) in dispatches.iter().flat_map(|dispatch| &dispatch.bindings) {
                let known = match *operand {
                    Operand::Input(i) | Operand::InputPart { input: i, .. }
                        if step.op.in_place().iter().any(|&(_, input)| input == i) =>
                    {
                        false
                    }
                    Operand::Input(i) => i < desc.inputs.len(),
                    Operand::InputPart { input, offset, bytes } => {
                        let whole = desc.inputs.get(input).map_or(0, TensorDesc::buffer_bytes);
                        bytes.is_multiple_of(4)
                            && offset.is_multiple_of(storage_alignment.into())
                            && offset.checked_add(bytes).is_some_and(|end| end <= whole)
                    }
                    Operand::Output(i) => i < desc.outputs.len(),
                    Operand::Scratch(i) => i < scratch.len(),
                };
                if !known {
                    return refused(name, "an operand of the step", format!("{operand:?}"));
                }
            }
            Ok(())
        }
    }
}

/// Gives the values that the caller binds their places. A value without elements needs no buffer of the caller's.
fn place_ports<'g>(graph: &'g Graph, steps: &[&Step], lowered: &[Lowered], sharing: Sharing) -> Places<'g> {
    let count = graph.values().len();
    let mut places = Places {
        graph,
        root: (0..count).collect(),
        home: vec![Home::Unused; count],
        intervals: Vec::new(),
        constants: Vec::new(),
        constant_at: HashMap::new(),
    };
    for (step, lowered) in steps.iter().zip(lowered) {
        match lowered {
            &Lowered::View(input) => {
                places.root[step.outputs[0].index()] = places.root[step.inputs[input].index()];
            }
            Lowered::Constant(data) => {
                places.home[step.outputs[0].index()] = Home::Fixed(places.place_constant(data));
            }
            Lowered::Kernels { .. } => {}
        }
    }
    let parameters = graph.parameters().iter().enumerate().map(|(i, named)| (named, Location::Parameter(i)));
    let states = graph.states().iter().enumerate().map(|(i, named)| (named, Location::State(i)));
    let inputs = graph.inputs().iter().enumerate().map(|(i, named)| (named, Location::Input(i)));
    for ((_, value), location) in parameters.chain(states).chain(inputs) {
        places.home[value.index()] = if places.desc(*value).elements() == 0 {
            let bytes = places.desc(*value).buffer_bytes();
            places.intervals.push(Interval { bytes, first: 0, last: steps.len() });
            Home::Interval(places.intervals.len() - 1)
        } else {
            Home::Fixed(location)
        };
    }
    let uses = ParameterUses::of(graph, &places.root, steps);
    for (at, step) in steps.iter().enumerate() {
        for &(output, input) in step.op.in_place() {
            let (output, input) = (step.outputs[output], step.inputs[input]);
            if sharing == Sharing::Most && uses.may_overwrite(step, at, [output, input]) {
                places.home[output.index()] = places.home_of(input);
            }
        }
    }
    for (i, (_, value)) in graph.outputs().iter().enumerate() {
        let root = places.root[value.index()];
        if places.home[root] == Home::Unused && places.desc(*value).elements() > 0 {
            places.home[root] = Home::Fixed(Location::Output(i));
        }
    }
    places
}

/// Gives every remaining value of a needed step that is read or written an interval, and every step its scratch.
fn place_steps(
    places: &mut Places<'_>,
    steps: &[&Step],
    lowered: &[Lowered],
    read: &[bool],
) -> Vec<Vec<Home>> {
    let mut all_scratch = Vec::with_capacity(steps.len());
    for (at, (step, lowered)) in steps.iter().zip(lowered).enumerate() {
        for &value in &step.inputs {
            places.touch(value, at);
        }
        let Lowered::Kernels { scratch, dispatches, .. } = lowered else {
            all_scratch.push(Vec::new());
            continue;
        };
        for (i, &value) in step.outputs.iter().enumerate() {
            let changed = step.op.in_place().iter().any(|&(output, _)| output == i);
            let mut operands = dispatches.iter().flat_map(|dispatch| &dispatch.bindings);
            let written = changed || operands.any(|(_, to)| *to == Operand::Output(i));
            if places.home[value.index()] == Home::Unused && (read[value.index()] || written) {
                places.home[value.index()] = places.open(places.desc(value).buffer_bytes(), at);
            }
        }
        all_scratch.push(scratch.iter().map(|&bytes| places.open(bytes, at)).collect());
    }
    // What parameters are updated to is copied behind all steps.
    for (_, value) in places.graph.updates() {
        places.touch(*value, steps.len());
    }
    all_scratch
}

/// Places with the slots their intervals got.
pub(super) struct Placement<'p, 'g> {
    places: &'p Places<'g>,
    slot_of: &'p [usize],
}

impl Placement<'_, '_> {
    fn locate(&self, home: Home) -> Location {
        match home {
            Home::Fixed(location) => location,
            Home::Interval(interval) => Location::Slot(self.slot_of[interval]),
            Home::Unused => {
                unreachable!("every value a needed step reads was made by a needed step before it")
            }
        }
    }

    /// All of a value, bound as `name`.
    pub(super) fn whole(&self, name: &'static str, value: crate::Value) -> BoundBuffer {
        let (location, bytes) = self.value(value);
        BoundBuffer { name, location, offset: 0, bytes }
    }

    fn value(&self, value: crate::Value) -> (Location, u64) {
        (self.locate(self.places.home_of(value)), self.places.desc(value).buffer_bytes())
    }
}

/// The commands so far, with what they share.
pub(super) struct Schedule<'p, 'g> {
    pub(super) caps: &'p Caps,
    pub(super) placement: Placement<'p, 'g>,
    commands: Vec<Command>,
    pub(super) report: Vec<StepReport>,
    shaders: ShaderTable,
    params_end: u64,
    /// What is looked at, and the slot of the findings.
    pub(super) looks: Option<(&'p Looks, usize)>,
    pub(super) look_workgroups: u64,
    pub(super) look_dispatches: usize,
    /// Number of steps.
    pub(super) steps: usize,
}

impl<'p, 'g> Schedule<'p, 'g> {
    fn new(caps: &'p Caps, placement: Placement<'p, 'g>) -> Self {
        Self {
            caps,
            placement,
            commands: Vec::new(),
            report: Vec::new(),
            shaders: ShaderTable::default(),
            params_end: 0,
            looks: None,
            look_workgroups: 0,
            look_dispatches: 0,
            steps: 0,
        }
    }

    /// Appends the dispatches of step number `index`, whose scratch lives in `scratch`.
    fn append(&mut self, index: usize, step: &Step, lowered: &Lowered, scratch: &[Home]) -> Result<()> {
        let Lowered::Kernels { choice, dispatches, scratch: scratch_bytes } = lowered else {
            self.report.push(StepReport { op: step.op_name(), choice: None, workgroups: 0, dispatches: 0 });
            return Ok(());
        };
        for &(output, input) in step.op.in_place() {
            let ((from, bytes), to) =
                (self.placement.value(step.inputs[input]), self.placement.value(step.outputs[output]).0);
            if from != to {
                self.commands.push(Command::Copy { from, to, bytes });
            }
        }
        for dispatch in dispatches.iter().filter(|dispatch| dispatch.workgroups > 0) {
            let is_proven =
                step.is_own && self.caps.is_tuned_by_table() && dispatch.shader.is_of_this_crate();
            let mut buffers = Vec::with_capacity(dispatch.bindings.len());
            for &(name, operand) in &dispatch.bindings {
                let buffer = match operand {
                    Operand::Input(i) => self.placement.whole(name, step.inputs[i]),
                    Operand::Output(i) => self.placement.whole(name, step.outputs[i]),
                    Operand::Scratch(i) => BoundBuffer {
                        name,
                        location: self.placement.locate(scratch[i]),
                        offset: 0,
                        bytes: scratch_bytes[i],
                    },
                    Operand::InputPart { input, offset, bytes } => {
                        BoundBuffer { offset, bytes, ..self.placement.whole(name, step.inputs[input]) }
                    }
                };
                buffers.push(buffer);
            }
            self.dispatch(step.op_name(), index, dispatch, buffers, is_proven)?;
        }
        self.report.push(StepReport {
            op: step.op_name(),
            choice: Some(choice.clone()),
            workgroups: dispatches.iter().map(|dispatch| dispatch.workgroups).sum(),
            dispatches: dispatches.len(),
        });
        Ok(())
    }

    /// Appends one dispatch of `op`, step number `step`.
    pub(super) fn dispatch(
        &mut self,
        op: &'static str,
        step: usize,
        dispatch: &Dispatch,
        buffers: Vec<BoundBuffer>,
        is_proven: bool,
    ) -> Result<()> {
        check_shader(op, dispatch, self.caps)?;
        self.caps.check_turns(op, dispatch.turns)?;
        for buffer in &buffers {
            check_binding(op, buffer, self.caps)?;
        }
        let shader = Shader { wide_loads: self.caps.wide_loads, ..dispatch.shader.clone() };
        self.commands.push(Command::Dispatch {
            step,
            shader: self.shaders.index_of(shader, is_proven),
            buffers,
            params: dispatch.params.clone(),
            params_offset: self.params_end,
            workgroups: fold_workgroups(op, dispatch.workgroups, self.caps.max_workgroups)?,
            turns: dispatch.turns,
        });
        // WGSL rounds a struct up to the alignment of its members, which is at most 16.
        let aligned = self.caps.uniform_alignment.max(16);
        self.params_end += (dispatch.params.bytes.len() as u64).next_multiple_of(aligned.into());
        Ok(())
    }

    /// Appends copies for outputs whose value lives in an input's or another output's buffer, and then for parameters that were not
    /// updated in place, where updates are kept.
    fn append_result_copies(&mut self, keeps_updates: bool) {
        let graph = self.placement.places.graph;
        let outputs = graph.outputs().iter().enumerate().map(|(i, (_, value))| (*value, Location::Output(i)));
        let parameters =
            graph.parameters().iter().enumerate().map(|(i, (_, at))| (*at, Location::Parameter(i)));
        let states = graph.states().iter().enumerate().map(|(i, (_, at))| (*at, Location::State(i)));
        let kept: HashMap<crate::Value, Location> = parameters.chain(states).collect();
        let updates = graph.updates().iter().filter(|_| keeps_updates);
        let updates = updates.filter_map(|(at, value)| Some((*value, *kept.get(at)?)));
        for (value, to) in outputs.chain(updates) {
            let (from, bytes) = self.placement.value(value);
            if from != to && self.placement.places.desc(value).elements() > 0 {
                self.commands.push(Command::Copy { from, to, bytes });
            }
        }
    }
}

/// The distinct shaders of a plan, in order of first use. One that is also dispatched in ways that nothing is proven about is there twice.
#[derive(Default)]
struct ShaderTable {
    shaders: Vec<Shader>,
    proven: Vec<bool>,
    indices: HashMap<(Shader, bool), usize>,
}

impl ShaderTable {
    fn index_of(&mut self, shader: Shader, is_proven: bool) -> usize {
        *self.indices.entry((shader, is_proven)).or_insert_with_key(|(shader, _)| {
            self.shaders.push(shader.clone());
            self.proven.push(is_proven);
            self.shaders.len() - 1
        })
    }
}
