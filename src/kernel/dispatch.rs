//! What an op lowers to.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Params, Shader};
use crate::tensor::HostTensor;
use crate::{Error, ErrorKind, Result};

/// A buffer of a dispatch, relative to the step it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operand {
    /// The step's n-th input.
    Input(usize),
    /// The step's n-th output.
    Output(usize),
    /// The n-th entry of [`Lowered::Kernels`]' `scratch`.
    Scratch(usize),
    /// Some bytes of the step's n-th input: for inputs larger than one binding may be.
    InputPart {
        /// Which input.
        input: usize,
        /// The first byte; a multiple of [`super::Caps`]' `storage_alignment`.
        offset: u64,
        /// How many bytes, whole words.
        bytes: u64,
    },
}

/// One launch of a shader.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// What runs.
    pub shader: Shader,
    /// The shader's storage variables by name, and what each is bound to.
    pub bindings: Vec<(&'static str, Operand)>,
    /// The contents of the shader's `params` uniform.
    pub params: Params,
    /// How many workgroups have work. They are folded over two axes, so the shader derives its number as
    /// `id.x + id.y * num_workgroups.x` and returns when that is not below the count it finds in `params`.
    pub workgroups: u64,
    /// The most turns that all loops of one invocation take together, as far as loops grow with the problem: drivers may limit them
    /// ([`super::Caps::max_loop_turns`]). 0 where no loop does. A loop in another one takes one turn more than its body runs, to find its
    /// end, each time: `n` turns of an outer loop with `m` of an inner one are `n * (m + 2)`.
    pub turns: u64,
}

/// The kind of kernel, by how it uses the hardware. All kinds compute the same function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tier {
    /// Subgroups multiply fragments of matrices in units of the hardware made for it.
    CooperativeMatrix,
    /// Each invocation keeps a tile of results in registers.
    RegisterTile,
    /// Each invocation or workgroup handles elements or rows on their own; memory bandwidth decides.
    Streaming,
}

impl Tier {
    /// The tier in words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CooperativeMatrix => "cooperative matrix",
            Self::RegisterTile => "register tile",
            Self::Streaming => "streaming",
        }
    }
}

/// Which kernel a step got, and why: what [`crate::Plan::report`] shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// How the hardware is used.
    pub tier: Tier,
    /// Kernel and tile in words.
    pub kernel: Cow<'static, str>,
    /// What the choice was made by.
    pub reason: Cow<'static, str>,
}

/// What a step is lowered to: dispatches, or nothing to run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Lowered {
    /// The output is the n-th input, under its own or another shape: nothing runs.
    View(usize),
    /// The output is this data, uploaded once: nothing runs.
    Constant(Arc<HostTensor>),
    /// Dispatches in order.
    Kernels {
        /// Which kernel, and why.
        choice: Choice,
        /// What runs, in order.
        dispatches: Vec<Dispatch>,
        /// Bytes of each buffer that lives only within the step.
        scratch: Vec<u64>,
    },
}

/// Spreads `count` workgroups over the axes of a dispatch, none longer than `max_per_axis`. The grid may hold more
/// workgroups than were asked for.
pub fn fold_workgroups(label: &'static str, count: u64, max_per_axis: u32) -> Result<[u32; 3]> {
    let max = u64::from(max_per_axis);
    let rows = count.div_ceil(max);
    if rows > max {
        return Err(Error::new(ErrorKind::Limit, label, "workgroups")
            .expecting(format!("at most {}", max * max))
            .but_found(count));
    }
    // An even split leaves fewer idle workgroups than full rows and a short last one.
    let columns = if rows == 0 { 0 } else { count.div_ceil(rows) };
    Ok([columns as u32, rows as u32, 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workgroups_fold_over_two_axes_and_cover_the_count() {
        for count in [0, 1, 65_535, 65_536, 65_537, 1 << 24, 65_535 * 65_535] {
            let [x, y, z] = fold_workgroups("probe", count, 65_535).unwrap();
            assert!(x <= 65_535 && y <= 65_535 && (z == 1));
            let grid = u64::from(x) * u64::from(y);
            assert!(grid >= count && grid < count + u64::from(y.max(1)), "{count}: {x} x {y}");
        }
        let error = fold_workgroups("probe", 65_535 * 65_535 + 1, 65_535).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
    }
}
