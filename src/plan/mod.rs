//! From a graph to a schedule: which dispatches run, in which order, on which buffers. No GPU object is involved, so a plan
//! made for some [`Caps`] is the same on every machine.

mod limits;
mod liveness;
mod looks;
mod lower;
mod memory;
mod schedule;
mod slots;
mod submissions;
mod updates;

pub use crate::finite::Watch;
pub use memory::Memory;

use std::sync::Arc;

use crate::Result;
use crate::graph::Graph;
use crate::kernel::{Caps, Choice, Shader};
use crate::tensor::{HostTensor, TensorDesc};

crate::public_if_unstable! {
    schedule::{BoundBuffer, Command, Location},
}

/// A parameter, state, input or output of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Port {
    /// The name it is bound by.
    pub name: String,
    /// What the buffer holds.
    pub desc: TensorDesc,
}

/// How a step runs: op, kernel, tier and the reason for the choice.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepReport {
    /// The op's name.
    pub op: &'static str,
    /// Kernel, tier and reason; none for a step that runs nothing.
    pub choice: Option<Choice>,
    /// Workgroups over all its dispatches.
    pub workgroups: u64,
    /// Number of dispatches.
    pub dispatches: usize,
}

/// A schedule for devices with given [`Caps`]: plain data.
#[derive(Clone, Debug)]
pub struct Plan {
    caps: Caps,
    parameters: Vec<Port>,
    states: Vec<Port>,
    updated: Vec<bool>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    shaders: Vec<Shader>,
    /// Of each shader, whether it is the crate's own and needs no checks at run time.
    proven: Vec<bool>,
    slots: Vec<u64>,
    constants: Vec<Arc<HostTensor>>,
    commands: Vec<Command>,
    report: Vec<StepReport>,
    memory: Memory,
    findings: Option<Findings>,
}

/// What a plan looks at, and which slot the findings are in.
#[derive(Clone, Debug)]
struct Findings {
    looks: looks::Looks,
    slot: usize,
}

impl Plan {
    /// Lowers every step that some output or update depends on, and places every value.
    ///
    /// Fails when a value exceeds a limit of `caps` or a kernel needs a feature it lacks. What a workgroup takes is known once its
    /// shader is parsed, and checked when a program is made of the plan.
    pub fn new(graph: &Graph, caps: &Caps) -> Result<Self> {
        lower::plan(graph, caps, lower::Sharing::Most, None)
    }

    /// [`Plan::new`] with checks for NaN and infinities. Runs of a `gpu::Session` then fail where there is one; for a program that you encode, read
    /// back `gpu::Program::findings` and give it to [`Plan::verdict`].
    ///
    /// It costs one pass over each tensor that is checked. With [`Watch::Steps`] parameters and states are not updated, so that a failed run can be
    /// run again to find the step at fault; this takes memory for copies of those that steps would change in place.
    pub fn watching(graph: &Graph, caps: &Caps, watch: Watch) -> Result<Self> {
        let sharing = if watch == Watch::Steps { lower::Sharing::Slots } else { lower::Sharing::Most };
        lower::plan(graph, caps, sharing, Some(watch))
    }

    /// A plan in which no two values share memory, but views: what plans that share are compared with.
    #[cfg(feature = "check")]
    pub(crate) fn unshared(graph: &Graph, caps: &Caps) -> Result<Self> {
        lower::plan(graph, caps, lower::Sharing::Least, None)
    }

    /// The capabilities the plan was made for.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// The graph's parameters.
    pub fn parameters(&self) -> &[Port] {
        &self.parameters
    }

    /// The graph's states.
    pub fn states(&self) -> &[Port] {
        &self.states
    }

    /// The graph's inputs.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// The graph's outputs.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// Whether a shader of [`Plan::shaders`] is the crate's own, of an op of the crate's own, in a shape that the conformance cases run:
    /// then no contents of buffers lead it outside of them. Nobody but the planner can say so of a shader.
    pub(crate) fn is_proven(&self, shader: usize) -> bool {
        self.proven[shader]
    }

    /// Of each parameter and then of each state, whether a run changes it.
    pub fn updated(&self) -> &[bool] {
        &self.updated
    }

    /// For every step in order: its kernel, tier and the reason for the choice.
    pub fn report(&self) -> &[StepReport] {
        &self.report
    }

    /// Which of [`Plan::slots`] the findings of a run are in, and how many bytes of them there are; none of a plan that does not look.
    pub(crate) fn findings(&self) -> Option<(usize, u64)> {
        self.findings.as_ref().map(|findings| (findings.slot, findings.looks.bytes()))
    }

    /// Fails with [`ErrorKind::NotFinite`](crate::ErrorKind::NotFinite) when `words`, which a run left in
    /// `gpu::Program::findings`, tell of a number that is not finite: the first output in the order of the
    /// graph's, or, with [`Watch::Steps`], the step that made the first such number from finite ones. Fails also when there are more or
    /// fewer words.
    pub fn verdict(&self, words: &[u32]) -> Result<()> {
        let looks = self.findings.as_ref().map(|findings| &findings.looks);
        looks.map_or(Ok(()), |looks| looks.verdict(words))
    }

    /// Bytes that the program will allocate and that the caller binds: exact, and the same on every machine.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }
}

/// What plans are made of, for this crate and, with the feature `unstable`, for others.
macro_rules! insides {
    ($visibility:vis) => {
        impl Plan {
            /// The distinct shaders the schedule uses.
            $visibility fn shaders(&self) -> &[Shader] {
                &self.shaders
            }

            /// Bytes of each buffer the program allocates for values.
            $visibility fn slots(&self) -> &[u64] {
                &self.slots
            }

            /// Data of the graph's own, which the program uploads when it is made.
            $visibility fn constants(&self) -> &[Arc<HostTensor>] {
                &self.constants
            }

            /// The schedule, in order.
            $visibility fn commands(&self) -> &[Command] {
                &self.commands
            }
        }
    };
}

#[cfg(feature = "unstable")]
insides!(pub);
#[cfg(not(feature = "unstable"))]
insides!(pub(crate));
