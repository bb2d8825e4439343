//! The recording: a list of checked steps between named inputs and named outputs.

mod block;
mod gradient;
mod op;
mod replay;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) use block::{Block, Branch, ReversibleBlock};
pub use gradient::{Adjoint, Gradient};
pub(crate) use op::ErasedOp;
pub use op::{Op, StepDesc};
pub use replay::Replay;

use crate::tensor::{HostTensor, TensorDesc};
use crate::{Error, ErrorKind, Result};

/// A value of one graph: an input or the result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Value {
    graph: u32,
    index: u32,
}

impl Value {
    pub(crate) fn index(self) -> usize {
        self.index as usize
    }
}

/// One op applied to values.
#[derive(Clone, Debug)]
pub struct Step {
    pub(crate) op: Arc<dyn ErasedOp>,
    pub(crate) inputs: Vec<Value>,
    pub(crate) outputs: Vec<Value>,
    /// Whether the op is one of this crate's.
    pub(crate) is_own: bool,
}

impl Step {
    /// The op's name.
    pub fn op_name(&self) -> &'static str {
        self.op.name()
    }

    /// What the op reads.
    pub fn inputs(&self) -> &[Value] {
        &self.inputs
    }

    /// What the op produces.
    pub fn outputs(&self) -> &[Value] {
        &self.outputs
    }
}

/// A recording of ops. Each step is checked when it is appended, so a finished graph has no shape errors left.
///
/// ```
/// use foveate::{Graph, HostTensor, TensorDesc, cpu, ops};
///
/// # fn main() -> foveate::Result<()> {
/// let mut graph = Graph::new();
/// let x = graph.input("x", TensorDesc::f32([2, 3]))?;
/// let y = ops::softmax(&mut graph, x)?;
/// graph.output("y", y)?;
///
/// let zeros = HostTensor::f32([2, 3], vec![0.0; 6])?;
/// let outputs = cpu::run(&graph, &[("x", &zeros)])?;
/// assert_eq!(outputs["y"].to_f32(), [1.0 / 3.0; 6]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Graph {
    id: u32,
    values: Vec<TensorDesc>,
    steps: Vec<Step>,
    parameters: Vec<(String, Value)>,
    states: Vec<(String, Value)>,
    inputs: Vec<(String, Value)>,
    outputs: Vec<(String, Value)>,
    updates: Vec<(Value, Value)>,
    blocks: Vec<Block>,
    lookup: Lookup,
}

/// Where names and given values stand in the lists of a graph.
#[derive(Debug, Default)]
struct Lookup {
    /// What each name stands for.
    names: HashMap<String, Named>,
    /// The names of parameters and states.
    kept: HashMap<Value, String>,
    inputs: HashSet<Value>,
    /// Parameters and states that are updated.
    updated: HashSet<Value>,
    /// Outputs that may hold infinities.
    infinite: HashSet<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Parameter(Value),
    State(Value),
    /// An input or an output.
    Port,
}

impl Default for Graph {
    fn default() -> Self {
        Self::new()
    }
}

impl Graph {
    /// An empty recording.
    pub fn new() -> Self {
        // Only tells graphs apart, so that a value of another graph is refused instead of meaning something else here.
        static NEXT_ID: AtomicU32 = AtomicU32::new(0);
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            values: Vec::new(),
            steps: Vec::new(),
            parameters: Vec::new(),
            states: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            updates: Vec::new(),
            blocks: Vec::new(),
            lookup: Lookup::default(),
        }
    }

    /// A value that the caller provides under `name` at each run. Fails when the name is taken or the rank too high.
    pub fn input(&mut self, name: &str, desc: TensorDesc) -> Result<Value> {
        desc.check_rank("graph", name)?;
        self.check_name(name)?;
        let value = self.append_value(desc);
        self.lookup.names.insert(name.to_owned(), Named::Port);
        self.lookup.inputs.insert(value);
        self.inputs.push((name.to_owned(), value));
        Ok(value)
    }

    /// A tensor that stays on the device between runs, such as a weight. Programs bind it from a store that they share; only [`Graph::update`]
    /// changes it.
    ///
    /// Layers that share a weight ask for it by the same name and get the same value. Fails when the name is an input's or
    /// output's, or the parameter was asked for with another shape or type.
    pub fn parameter(&mut self, name: &str, desc: TensorDesc) -> Result<Value> {
        if let Some(&Named::Parameter(value)) = self.lookup.names.get(name) {
            return self.known("parameter", name, value, desc);
        }
        let value = self.keep(name, desc, Named::Parameter)?;
        self.parameters.push((name.to_owned(), value));
        Ok(value)
    }

    /// A tensor that belongs to a stream and not to the model: a KV cache, a memory, a running sum. It keeps from run to run what [`Graph::update`]
    /// puts into it. Streams that share a program each bind tensors of their own (`runtime::State`), which start with zeros and never change size.
    /// Gradients do not pass from run to run.
    ///
    /// Fails as [`Graph::parameter`] does; the same name again is the same value.
    pub fn state(&mut self, name: &str, desc: TensorDesc) -> Result<Value> {
        if let Some(&Named::State(value)) = self.lookup.names.get(name) {
            return self.known("state", name, value, desc);
        }
        let value = self.keep(name, desc, Named::State)?;
        self.states.push((name.to_owned(), value));
        Ok(value)
    }

    /// `value`, which was asked for under its name before. Fails when it is of another shape or type.
    fn known(&self, kind: &str, name: &str, value: Value, desc: TensorDesc) -> Result<Value> {
        let known = self.desc(value)?;
        if *known == desc {
            return Ok(value);
        }
        Err(Error::new(ErrorKind::Shape, "graph", format!("{kind} `{name}`"))
            .expecting(format!("{known} as before"))
            .but_found(desc))
    }

    fn keep(&mut self, name: &str, desc: TensorDesc, named: fn(Value) -> Named) -> Result<Value> {
        desc.check_rank("graph", name)?;
        self.check_name(name)?;
        let value = self.append_value(desc);
        self.lookup.names.insert(name.to_owned(), named(value));
        self.lookup.kept.insert(value, name.to_owned());
        Ok(value)
    }

    /// Hands `value` to the caller under `name`. A value may be handed out more than once.
    /// Fails when the name is taken or the value is another graph's.
    pub fn output(&mut self, name: &str, value: Value) -> Result<()> {
        self.check_name(name)?;
        self.desc(value)?;
        self.lookup.names.insert(name.to_owned(), Named::Port);
        self.outputs.push((name.to_owned(), value));
        Ok(())
    }

    /// [`Graph::output`] for a value that holds infinities on purpose, such as logarithms of zero probabilities or maxima over no elements. Where a
    /// run checks for NaN and infinities ([`Watch`](crate::plan::Watch)), only a NaN in this output fails it. (The log-sum-exp of an attention row
    /// that sees no key is -1e30, which is finite.)
    pub fn output_with_infinities(&mut self, name: &str, value: Value) -> Result<()> {
        self.output(name, value)?;
        self.lookup.infinite.insert(value);
        Ok(())
    }

    /// Whether a value was handed out by [`Graph::output_with_infinities`].
    pub(crate) fn may_be_infinite(&self, value: Value) -> bool {
        self.lookup.infinite.contains(&value)
    }

    /// Stores `value` in `parameter`, or in a state, at the end of each run: this is how weights, an optimiser's moments and KV caches change. Ops
    /// that work in place write the parameter's own memory, provided that no later step reads its old contents.
    ///
    /// Fails when the first is no parameter or state, or updated already, or `value` was not computed or differs from it in shape or type.
    pub fn update(&mut self, parameter: Value, value: Value) -> Result<()> {
        let (wanted, found) = (self.desc(parameter)?, self.desc(value)?);
        let refused = |kind, argument: &str| Error::new(kind, "graph", argument);
        let Some(name) = self.lookup.kept.get(&parameter) else {
            return Err(refused(ErrorKind::Argument, "update")
                .expecting("a parameter or a state")
                .but_found(format!("another value, {wanted}")));
        };
        if wanted != found {
            let argument = format!("update of `{name}`");
            return Err(refused(ErrorKind::Shape, &argument).expecting(wanted).but_found(found));
        }
        if self.lookup.updated.contains(&parameter) {
            return Err(refused(ErrorKind::Argument, "update")
                .expecting("each once")
                .but_found(format!("`{name}` again")));
        }
        if self.lookup.kept.contains_key(&value) || self.lookup.inputs.contains(&value) {
            return Err(refused(ErrorKind::Argument, "update")
                .expecting("the result of a step")
                .but_found("a parameter, a state or an input"));
        }
        self.lookup.updated.insert(parameter);
        self.updates.push((parameter, value));
        Ok(())
    }

    /// Appends a step after checking it against the op's contract. Ops outside this crate are appended the same way.
    pub fn push(&mut self, op: impl Op, inputs: &[Value]) -> Result<Vec<Value>> {
        self.append(op, inputs, false)
    }

    /// [`Graph::push`] for the ops of this crate, whose kernels the planner knows by that.
    pub(crate) fn push_builtin(&mut self, op: impl Op, inputs: &[Value]) -> Result<Vec<Value>> {
        self.append(op, inputs, true)
    }

    fn append(&mut self, op: impl Op, inputs: &[Value], is_own: bool) -> Result<Vec<Value>> {
        let descs = inputs.iter().map(|&value| self.desc(value).cloned()).collect::<Result<Vec<_>>>()?;
        let outputs = op.contract(&descs)?;
        let outputs: Vec<Value> = outputs.into_iter().map(|desc| self.append_value(desc)).collect();
        self.steps.push(Step { op: Arc::new(op), inputs: inputs.to_vec(), outputs: outputs.clone(), is_own });
        Ok(outputs)
    }

    /// Appends a step of an op of this crate with exactly one output.
    pub(crate) fn push_builtin_one(&mut self, op: impl Op, inputs: &[Value]) -> Result<Value> {
        let name = op.name();
        match self.push_builtin(op, inputs)?[..] {
            [output] => Ok(output),
            ref outputs => Err(Error::new(ErrorKind::Argument, name, "outputs")
                .expecting("one")
                .but_found(outputs.len())),
        }
    }

    /// Shape and element type of a value. Fails when the value is another graph's.
    pub fn desc(&self, value: Value) -> Result<&TensorDesc> {
        if value.graph == self.id {
            return Ok(&self.values[value.index()]);
        }
        Err(Error::new(ErrorKind::Argument, "graph", "value")
            .expecting("a value of this graph")
            .but_found("a value of another graph"))
    }

    /// The steps in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Names and values of the parameters, in order of first use.
    pub fn parameters(&self) -> &[(String, Value)] {
        &self.parameters
    }

    /// Names and values of the states, in order of first use.
    pub fn states(&self) -> &[(String, Value)] {
        &self.states
    }

    /// Names and values of what stays from run to run: parameters, then states.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &(String, Value)> {
        self.parameters.iter().chain(&self.states)
    }

    /// Names and values of the inputs, in order of declaration.
    pub fn inputs(&self) -> &[(String, Value)] {
        &self.inputs
    }

    /// Parameters and states that a run changes, each with the value that it holds afterwards.
    pub fn updates(&self) -> &[(Value, Value)] {
        &self.updates
    }

    /// Names and values of the outputs, in order of declaration.
    pub fn outputs(&self) -> &[(String, Value)] {
        &self.outputs
    }

    /// What a run is for: the outputs, then what parameters are updated to.
    pub(crate) fn results(&self) -> impl Iterator<Item = Value> + '_ {
        let outputs = self.outputs.iter().map(|(_, value)| *value);
        outputs.chain(self.updates.iter().map(|(_, value)| *value))
    }

    /// Marks the steps that some output or update depends on.
    pub(crate) fn needed_steps(&self) -> Vec<bool> {
        self.needed_for(&self.results().collect::<Vec<_>>())
    }

    /// Marks the steps that some of `results` depends on.
    pub(crate) fn needed_for(&self, results: &[Value]) -> Vec<bool> {
        let mut wanted = vec![false; self.values.len()];
        for value in results {
            wanted[value.index()] = true;
        }
        let mut needed = vec![false; self.steps.len()];
        for (step, needed) in self.steps.iter().zip(&mut needed).rev() {
            if step.outputs.iter().any(|value| wanted[value.index()]) {
                *needed = true;
                for value in &step.inputs {
                    wanted[value.index()] = true;
                }
            }
        }
        needed
    }

    /// Descriptors of all values, by [`Value::index`].
    pub(crate) fn values(&self) -> &[TensorDesc] {
        &self.values
    }

    /// The tensors of `given` in the order of the graph's inputs. Fails when one is missing, unknown, given twice, or of
    /// another shape or type.
    pub(crate) fn match_inputs<'a>(&self, given: &[(&str, &'a HostTensor)]) -> Result<Vec<&'a HostTensor>> {
        let declared: Vec<(&str, &TensorDesc)> =
            self.inputs.iter().map(|(name, value)| (name.as_str(), &self.values[value.index()])).collect();
        match_inputs(&declared, given)
    }

    fn append_value(&mut self, desc: TensorDesc) -> Value {
        self.values.push(desc);
        Value { graph: self.id, index: (self.values.len() - 1) as u32 }
    }

    fn check_name(&self, name: &str) -> Result<()> {
        if !self.lookup.names.contains_key(name) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Argument, "graph", "name")
            .expecting("a name used once")
            .but_found(format!("`{name}` again")))
    }
}

/// The tensors of `given` in the order of `declared`, each checked.
pub(crate) fn match_inputs<'a>(
    declared: &[(&str, &TensorDesc)],
    given: &[(&str, &'a HostTensor)],
) -> Result<Vec<&'a HostTensor>> {
    let refused = |kind, name: &str| Error::new(kind, "run", format!("input `{name}`"));
    let places: HashMap<&str, usize> =
        declared.iter().enumerate().map(|(place, (name, _))| (*name, place)).collect();
    let mut tensors: Vec<Vec<&'a HostTensor>> = vec![Vec::new(); declared.len()];
    for (name, tensor) in given {
        let Some(&place) = places.get(name) else {
            let names: Vec<&str> = declared.iter().map(|(name, _)| *name).collect();
            return Err(refused(ErrorKind::Binding, name)
                .expecting(format!("one of: {}", names.join(", ")))
                .but_found("an unknown name"));
        };
        tensors[place].push(tensor);
    }
    let one = |((name, desc), tensors): (&(&str, &TensorDesc), Vec<&'a HostTensor>)| match tensors[..] {
        [tensor] if tensor.desc() == **desc => Ok(tensor),
        [tensor] => Err(refused(ErrorKind::Shape, name).expecting(desc).but_found(tensor.desc())),
        [] => Err(refused(ErrorKind::Binding, name).expecting(desc).but_found("nothing")),
        _ => Err(refused(ErrorKind::Binding, name).expecting(desc).but_found("it twice")),
    };
    declared.iter().zip(tensors).map(one).collect()
}
