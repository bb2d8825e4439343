//! Checks for NaN and infinities: which tensors of a run are checked, and which step computed the first such number.

use std::collections::HashMap;
use std::fmt::Write;

use crate::graph::{Graph, Value};
use crate::tensor::{DType, HostTensor, Real, Shape, TensorDesc};
use crate::{Error, ErrorKind, Result};

/// Which tensors of a run are checked for NaN and infinities, on the device, by one pass over each. The first such number fails the run with
/// [`ErrorKind::NotFinite`].
///
/// Outputs that hold infinities on purpose are declared by [`Graph::output_with_infinities`]: in these only a NaN fails the run. Integers are not
/// checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Watch {
    /// The outputs.
    Outputs,
    /// The outputs, and what parameters and states are updated to.
    Results,
    /// Parameters, states, inputs and the results of every step, so that the error names the step that computed the first such number. For running a
    /// failed run again: parameters and states are not updated.
    Steps,
}

/// What was found in one tensor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Finding {
    /// The place of the first NaN.
    nan: Option<usize>,
    /// The place of the first infinity of either sign.
    infinite: Option<usize>,
    /// The largest magnitude among the finite numbers.
    largest: f64,
}

/// A tensor of a graph that is looked at.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) value: Value,
    pub(crate) desc: TensorDesc,
    role: Role,
    infinities: bool,
}

/// What a watched tensor is.
#[derive(Clone, Debug)]
enum Role {
    Output(String),
    Update(String),
    Parameter(String),
    State(String),
    Input(String),
    Step(Box<Made>),
}

/// Which step made a tensor, the first being 1, and which watched tensors it read.
#[derive(Clone, Debug)]
struct Made {
    op: &'static str,
    step: usize,
    steps: usize,
    reads: Vec<usize>,
}

impl Finding {
    /// From rows of [`crate::ops::finite`].
    pub(crate) fn of_rows(dtype: DType, rows: &[u32]) -> Self {
        let mut all = Self::default();
        for &[nan, infinite, largest] in rows.as_chunks::<3>().0 {
            let place = |place: u32| (place != u32::MAX).then_some(place as usize);
            all.nan = all.nan.or(place(nan));
            all.infinite = all.infinite.or(place(infinite));
            let magnitude = match dtype {
                DType::F16 => half::f16::from_bits(largest as u16).to_f64(),
                _ => f32::from_bits(largest).into(),
            };
            all.largest = all.largest.max(magnitude);
        }
        all
    }

    pub(crate) fn of<R: Real>(numbers: &[R]) -> Self {
        let mut all = Self::default();
        for (place, x) in numbers.iter().map(|x| x.get()).enumerate() {
            if x.is_finite() {
                all.largest = all.largest.max(x.abs());
            } else if x.is_nan() {
                all.nan = all.nan.or(Some(place));
            } else {
                all.infinite = all.infinite.or(Some(place));
            }
        }
        all
    }

    pub(crate) fn of_tensor(tensor: &HostTensor) -> Self {
        if tensor.dtype().is_float() { Self::of(&tensor.to_f32()) } else { Self::default() }
    }

    /// What is wrong, and where.
    fn fault(&self, infinities: bool) -> Option<(&'static str, usize)> {
        let infinite = self.infinite.filter(|_| !infinities).map(|place| ("an infinity", place));
        let nan = self.nan.map(|place| ("NaN", place));
        // The first in the tensor.
        nan.into_iter().chain(infinite).min_by_key(|(_, place)| *place)
    }
}

/// The tensors of `graph` that `watch` looks at, in the order of their making.
pub(crate) fn watched(graph: &Graph, watch: Watch) -> Vec<Watched> {
    let mut list = List { graph, watched: Vec::new(), places: HashMap::new() };
    if watch == Watch::Steps {
        list.given();
        list.steps();
        return list.watched;
    }
    for (name, value) in graph.outputs() {
        list.push(*value, || Role::Output(name.clone()));
    }
    if watch == Watch::Results {
        let names: HashMap<Value, &String> = graph.kept().map(|(name, value)| (*value, name)).collect();
        for (kept, value) in graph.updates() {
            let name = || names.get(kept).map_or_else(String::new, |name| (*name).clone());
            list.push(*value, || Role::Update(name()));
        }
    }
    list.watched
}

impl Watched {
    /// Whether it is there before the first step.
    pub(crate) fn is_given(&self) -> bool {
        matches!(self.role, Role::Parameter(_) | Role::State(_) | Role::Input(_))
    }

    /// Whether the step of this number, from 0, made it, and is looked at for that.
    pub(crate) fn is_of_step(&self, step: usize) -> bool {
        matches!(&self.role, Role::Step(made) if made.step == step + 1)
    }

    /// The output's name.
    pub(crate) fn output(&self) -> Option<&str> {
        match &self.role {
            Role::Output(name) => Some(name),
            _ => None,
        }
    }

    /// The name of the parameter or state that it updates.
    pub(crate) fn updates(&self) -> Option<&str> {
        match &self.role {
            Role::Update(name) => Some(name),
            _ => None,
        }
    }

    /// Whether it is looked at when all steps are done.
    pub(crate) fn is_result(&self) -> bool {
        matches!(self.role, Role::Output(_) | Role::Update(_))
    }
}

struct List<'g> {
    graph: &'g Graph,
    watched: Vec<Watched>,
    places: HashMap<Value, usize>,
}

impl List<'_> {
    /// Floats that exist, each once.
    fn push(&mut self, value: Value, role: impl FnOnce() -> Role) {
        let desc = &self.graph.values()[value.index()];
        if !desc.dtype.is_float() || desc.elements() == 0 || self.places.contains_key(&value) {
            return;
        }
        self.places.insert(value, self.watched.len());
        let infinities = self.graph.may_be_infinite(value);
        self.watched.push(Watched { value, desc: desc.clone(), role: role(), infinities });
    }

    fn given(&mut self) {
        let graph = self.graph;
        for (name, value) in graph.parameters() {
            self.push(*value, || Role::Parameter(name.clone()));
        }
        for (name, value) in graph.states() {
            self.push(*value, || Role::State(name.clone()));
        }
        for (name, value) in graph.inputs() {
            self.push(*value, || Role::Input(name.clone()));
        }
    }

    /// The results of the steps that are run which some step reads or the run is for.
    fn steps(&mut self) {
        let graph = self.graph;
        let needed = graph.needed_steps();
        let steps: Vec<_> =
            graph.steps().iter().zip(needed).filter_map(|(step, needed)| needed.then_some(step)).collect();
        let mut read = vec![false; graph.values().len()];
        for value in steps.iter().flat_map(|step| step.inputs().iter().copied()).chain(graph.results()) {
            read[value.index()] = true;
        }
        for (at, step) in steps.iter().enumerate() {
            let reads: Vec<usize> =
                step.inputs().iter().filter_map(|value| self.places.get(value).copied()).collect();
            for &value in step.outputs().iter().filter(|value| read[value.index()]) {
                let made =
                    Made { op: step.op_name(), step: at + 1, steps: steps.len(), reads: reads.clone() };
                self.push(value, || Role::Step(Box::new(made)));
            }
        }
    }
}

/// Fails with the first of `list` whose finding is of numbers that are not finite; of steps, with the one that made them from finite ones.
pub(crate) fn verdict(list: &[Watched], findings: &[Finding]) -> Result<()> {
    let fault = |at: usize| findings[at].fault(list[at].infinities);
    let is_given = |at: &usize| list[*at].is_given();
    let mut first = None;
    for at in (0..list.len()).filter(|&at| fault(at).is_some()) {
        match &list[at].role {
            Role::Output(_) | Role::Update(_) => return Err(refused(list, findings, at)),
            // What is given counts where a step reads it.
            Role::Parameter(_) | Role::State(_) | Role::Input(_) => {}
            Role::Step(made) => {
                let broken = made.reads.iter().copied().filter(|&read| fault(read).is_some());
                match broken.clone().find(is_given) {
                    None if broken.count() == 0 => return Err(refused(list, findings, at)),
                    None => {}
                    // The run before this one may have left a state so, and a later step be at fault.
                    Some(given) if matches!(list[given].role, Role::State(_)) => {
                        first = first.or(Some(given));
                    }
                    Some(given) => return Err(refused(list, findings, given)),
                }
                first = first.or(Some(at));
            }
        }
    }
    first.map_or(Ok(()), |at| Err(refused(list, findings, at)))
}

/// The error about entry `at` of the list.
fn refused(list: &[Watched], findings: &[Finding], at: usize) -> Error {
    let Watched { desc, role, infinities, .. } = &list[at];
    let (what, place) = findings[at].fault(*infinities).unwrap_or(("NaN", 0));
    let place = Shape::from(place_of(place, desc.shape.dims()));
    let (op, argument, mut found) = match role {
        Role::Output(name) => ("run", format!("output `{name}`"), format!("{what} at {place} of {desc}")),
        Role::Update(name) => ("run", format!("update of `{name}`"), format!("{what} at {place} of {desc}")),
        Role::Parameter(name) => {
            ("run", format!("parameter `{name}`"), format!("{what} at {place} of {desc}"))
        }
        Role::State(name) => ("run", format!("state `{name}`"), format!("{what} at {place} of {desc}")),
        Role::Input(name) => ("run", format!("input `{name}`"), format!("{what} at {place} of {desc}")),
        Role::Step(made) => {
            let of = format!("step {} of {}", made.step, made.steps);
            let with = made.reads.iter().find_map(|&read| match &list[read].role {
                Role::Parameter(name) => Some(format!(" (with `{name}`)")),
                _ => None,
            });
            let result = format!("{what} at {place} of its result, {desc}");
            (made.op, of + &with.unwrap_or_default(), result)
        }
    };
    if let Role::Step(made) = role {
        let is_clean = |read: &&usize| findings[**read].fault(false).is_none();
        let largest = made.reads.iter().filter(is_clean).map(|&read| findings[read].largest);
        if let Some(largest) = largest.reduce(f64::max) {
            // Writing into a text does not fail.
            let _ = write!(found, "; finite numbers that it reads go up to {largest:.3e}");
        }
    }
    let error = Error::new(ErrorKind::NotFinite, op, argument).expecting("finite numbers").but_found(found);
    if desc.dtype == DType::F16 {
        return error.with_hint("f16 holds numbers up to 65504; f32 has room for larger ones");
    }
    error
}

/// What a run that failed with `error` says, after it was run again with every step looked at. Where the failed run has made the updates of
/// `updated`, the second one started from them: that one of them is broken explains nothing.
pub(crate) fn explained(error: Error, again: Result<()>, updated: Option<&Graph>) -> Error {
    match again {
        Err(found) if found.kind() == ErrorKind::NotFinite => match updated {
            Some(graph) if blames_what_is_updated(&found, graph) => error.with_another_hint(&format!(
                "a second run to find the step began with what this one had left in {}",
                found.argument()
            )),
            _ => found,
        },
        Err(other) => error.with_another_hint(&format!("the step could not be looked for: {other}")),
        Ok(()) => {
            error.with_another_hint("a second run that looked at every step found finite numbers alone")
        }
    }
}

/// Whether `error` is about a parameter or state that a run of `graph` changes.
fn blames_what_is_updated(error: &Error, graph: &Graph) -> bool {
    let blamed = graph.kept().find(|(name, _)| {
        [format!("parameter `{name}`"), format!("state `{name}`")].iter().any(|of| of == error.argument())
    });
    blamed.is_some_and(|(_, value)| graph.updates().iter().any(|(kept, _)| kept == value))
}

/// The indices along the axes of the element at a place.
fn place_of(mut place: usize, dims: &[usize]) -> Vec<usize> {
    let mut indices = vec![0; dims.len()];
    for (index, &extent) in indices.iter_mut().zip(dims).rev() {
        *index = place % extent.max(1);
        place /= extent.max(1);
    }
    indices
}
