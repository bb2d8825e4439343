//! The entries of a schedule, and the buffers they name.

#![cfg_attr(not(feature = "unstable"), allow(unreachable_pub, reason = "public with the feature `unstable`"))]

use crate::kernel::Params;

/// Where a value lies while the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// The buffer bound to the n-th parameter.
    Parameter(usize),
    /// The buffer bound to the n-th state.
    State(usize),
    /// The buffer bound to the n-th input.
    Input(usize),
    /// The buffer bound to the n-th output.
    Output(usize),
    /// The program's n-th own buffer.
    Slot(usize),
    /// The n-th of [`Plan::constants`](crate::Plan::constants).
    Constant(usize),
}

/// A storage variable of a dispatch: its WGSL name, and the bytes bound to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundBuffer {
    /// The WGSL variable.
    pub name: &'static str,
    /// Which buffer.
    pub location: Location,
    /// The first byte of it.
    pub offset: u64,
    /// How many bytes of it.
    pub bytes: u64,
}

/// One entry of the schedule.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Runs a shader.
    Dispatch {
        /// The step it belongs to, by its place in [`Plan::report`](crate::Plan::report).
        step: usize,
        /// Which of [`Plan::shaders`](crate::Plan::shaders).
        shader: usize,
        /// What its storage variables are bound to.
        buffers: Vec<BoundBuffer>,
        /// Contents of its `params` uniform.
        params: Params,
        /// Where in the program's uniform buffer they lie.
        params_offset: u64,
        /// The grid.
        workgroups: [u32; 3],
        /// As in [`Dispatch::turns`](crate::kernel::Dispatch::turns).
        turns: u64,
    },
    /// Copies a value to where a step changes it in place, or to the buffer it is handed out in.
    Copy {
        /// The value's buffer.
        from: Location,
        /// The buffer of the name.
        to: Location,
        /// Bytes from the start of both.
        bytes: u64,
    },
}
