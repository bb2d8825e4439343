//! A row of an op's benchmarks.

use std::fmt;

use super::case::{Case, Problem};
use crate::Result;
use crate::graph::Value;
use crate::kernel::Caps;

/// The work of one run of a benchmark row, by which its rate is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Bytes of the least reads and writes of global memory.
    Bytes(u64),
    /// Floating-point operations; a multiply-add is two.
    Flops(u64),
}

/// A case with its work, and the device setting it is timed under.
#[derive(Debug)]
pub struct Bench {
    case: Case,
    work: Work,
    setting: fn(&mut Caps),
    unchecked: bool,
    f16: bool,
}

impl Bench {
    /// A row of `op`. `build` appends to an empty problem and returns the graph's outputs.
    pub fn new(
        op: &'static str,
        label: impl Into<String>,
        work: Work,
        build: impl Fn(&mut Problem) -> Result<Vec<Value>> + Send + Sync + 'static,
    ) -> Self {
        Self { case: Case::new(op, label, build), work, setting: |_| (), unchecked: false, f16: false }
    }

    /// Kernels are chosen by the device's caps after `setting` has changed them.
    #[must_use]
    pub fn caps(self, setting: fn(&mut Caps)) -> Self {
        Self { setting, ..self }
    }

    /// Runs without the bounds checks and loop guards that wgpu adds to shaders
    /// ([`Context::without_runtime_checks`](crate::gpu::Context::without_runtime_checks)).
    #[must_use]
    pub fn unchecked(self) -> Self {
        Self { unchecked: true, ..self }
    }

    /// Stores f16: devices without it leave the row out.
    #[must_use]
    pub fn f16(self) -> Self {
        Self { f16: true, ..self }
    }

    /// The op's name in the catalogue.
    pub fn op(&self) -> &'static str {
        self.case.op()
    }

    /// What sets the row apart.
    pub fn label(&self) -> &str {
        self.case.label()
    }

    /// What one run does.
    pub fn work(&self) -> Work {
        self.work
    }

    /// Whether the row runs without wgpu's runtime checks.
    pub fn is_unchecked(&self) -> bool {
        self.unchecked
    }

    /// Whether a device of `caps` can run the row.
    pub fn runs_on(&self, caps: &Caps) -> bool {
        caps.f16 || !self.f16
    }

    /// The caps that choose the row's kernels on a device of `caps`.
    pub fn caps_on(&self, caps: &Caps) -> Caps {
        let mut caps = caps.clone();
        (self.setting)(&mut caps);
        caps
    }

    /// The row's graph, its outputs named `0`, `1`, .., and its inputs.
    pub fn problem(&self) -> Result<Problem> {
        self.case.problem()
    }
}

impl fmt::Display for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.op(), self.label())
    }
}
