//! The memory report.

/// Bytes of device memory a plan takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// Buffers of the parameters, which programs share.
    pub parameters: u64,
    /// Buffers of one stream's states.
    pub states: u64,
    /// Buffers the caller binds as inputs.
    pub inputs: u64,
    /// Buffers the caller binds as outputs.
    pub outputs: u64,
    /// Buffers the program allocates for values in between and scratch, shared where lifetimes allow.
    pub working: u64,
    /// What `working` would be if no two values shared a buffer.
    pub working_unshared: u64,
    /// Constants of the graph, which the program uploads when it is made.
    pub constants: u64,
    /// Uniforms of all dispatches.
    pub params: u64,
}

impl Memory {
    /// Everything: what the caller binds and what the program allocates.
    pub fn total(&self) -> u64 {
        self.parameters
            + self.states
            + self.inputs
            + self.outputs
            + self.working
            + self.constants
            + self.params
    }
}
