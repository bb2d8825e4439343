//! The kernel of the family: one dispatch copies a block of elements between two values, along the same axes, each side with
//! strides of its own. 32-bit elements are moved as u32, bit by bit, whatever they mean.

use super::super::contract::to_u32;
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Dispatch, Kernel, Lowered, Operand, params, wgsl};
use crate::tensor::{DType, MAX_RANK};

params! {
    /// Extents, strides and starts in packs, innermost axis first.
    struct CopyParams {
        extents: [u32; 8],
        x_strides: [u32; 8],
        result_strides: [u32; 8],
        x_start: u32,
        result_start: u32,
        /// All but the outermost.
        inner_axes: u32,
    }
}

/// Where a block lies in a value, in elements: its first one, and how far apart neighbours along each axis are, below 0 where a later one
/// lies before it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    start: usize,
    strides: Vec<isize>,
}

impl Place {
    pub(super) fn new(start: usize, strides: &[usize]) -> Self {
        // Strides of values that can be bound are far below half of usize; others fail the check of their elements.
        Self { start, strides: strides.iter().map(|&stride| stride as isize).collect() }
    }

    /// The same elements, the `extent` places along `axis` in reverse order.
    pub(super) fn reverse(&mut self, axis: usize, extent: usize) {
        self.start = self.start.wrapping_add_signed(self.strides[axis].wrapping_mul(extent as isize - 1));
        self.strides[axis] = -self.strides[axis];
    }
}

/// The elements that one dispatch copies: axes outermost first.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) extents: Vec<usize>,
    pub(super) x: Place,
    pub(super) result: Place,
}

/// One axis of a block, with neighbouring axes merged where both sides allow it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    extent: usize,
    x: isize,
    result: isize,
}

impl Block {
    /// The axes, innermost first, as few as describe both sides.
    fn merged_axes(&self) -> Vec<Axis> {
        let mut axes: Vec<Axis> = Vec::new();
        for (axis, &extent) in self.extents.iter().enumerate().rev() {
            let next = Axis { extent, x: self.x.strides[axis], result: self.result.strides[axis] };
            if extent == 1 {
                continue;
            }
            match axes.last_mut() {
                Some(inner)
                    if next.x == inner.x.wrapping_mul(inner.extent as isize)
                        && next.result == inner.result.wrapping_mul(inner.extent as isize) =>
                {
                    inner.extent *= extent;
                }
                _ => axes.push(next),
            }
        }
        axes
    }

    /// Whether every element stays at its place.
    fn is_at_rest(&self) -> bool {
        let contiguous = |axes: &[Axis]| matches!(axes, [] | [Axis { x: 1, result: 1, .. }]);
        self.x.start == 0 && self.result.start == 0 && contiguous(&self.merged_axes())
    }

    /// Whether four elements can be moved at a time.
    fn is_of_vectors(&self, axes: &[Axis]) -> bool {
        let whole = |elements: usize| elements.is_multiple_of(4);
        let whole_stride = |stride: isize| stride % 4 == 0;
        let [inner, outer @ ..] = axes else { return false };
        (inner.x, inner.result) == (1, 1)
            && whole(inner.extent)
            && whole(self.x.start)
            && whole(self.result.start)
            && outer.iter().all(|axis| whole_stride(axis.x) && whole_stride(axis.result))
    }
}

/// A view where nothing moves, else one dispatch for each block; block `i` is read from input `i`, or from the only one.
pub(super) fn lower(label: &'static str, blocks: &[Block], step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    if let [block] = blocks
        && step.inputs[0].elements() == step.outputs[0].elements()
        && block.is_at_rest()
    {
        return Ok(Lowered::View(0));
    }
    let vectors = blocks.iter().all(|block| block.is_of_vectors(&block.merged_axes()));
    let dtype = step.outputs[0].dtype;
    let input = |i: usize| i.min(step.inputs.len() - 1);
    let dispatches =
        blocks.iter().enumerate().map(|(i, block)| dispatch(label, input(i), block, dtype, caps));
    let (lanes, reason) = match vectors {
        true => (4, "four elements at a time"),
        false => (1, "one element at a time: neighbours are not whole vectors on both sides"),
    };
    let dispatches = dispatches.collect::<Result<_>>()?;
    Ok(Lowered::streaming(format!("{label} x{lanes}"), reason, dispatches, Vec::new()))
}

fn dispatch(label: &'static str, input: usize, block: &Block, dtype: DType, caps: &Caps) -> Result<Dispatch> {
    let axes = block.merged_axes();
    let lanes = if block.is_of_vectors(&axes) { 4 } else { 1 };
    let packs = |what, elements: usize| to_u32(label, what, elements / lanes);
    // Shaders add up strides in u32, where those below 0 wrap.
    let stride = |elements: isize| {
        let packs = packs("stride", elements.unsigned_abs())?;
        Ok::<u32, crate::Error>(if elements < 0 { packs.wrapping_neg() } else { packs })
    };
    let count = packs("elements", block.extents.iter().product())?;
    let mut params = CopyParams {
        extents: [1; MAX_RANK],
        x_strides: [0; MAX_RANK],
        result_strides: [0; MAX_RANK],
        x_start: packs("start", block.x.start)?,
        result_start: packs("start", block.result.start)?,
        inner_axes: axes.len().saturating_sub(1) as u32,
    };
    for (i, axis) in axes.iter().enumerate() {
        params.extents[i] = to_u32(label, "extent", axis.extent)?;
        params.x_strides[i] = stride(axis.x)?;
        params.result_strides[i] = stride(axis.result)?;
    }
    if let (4, Some(inner)) = (lanes, axes.first()) {
        params.extents[0] = packs("extent", inner.extent)?;
        (params.x_strides[0], params.result_strides[0]) = (1, 1);
    }
    let stored = if dtype == DType::F16 { DType::F16 } else { DType::U32 };
    Ok(Kernel::new(label, [wgsl!("layout/copy.wgsl")])
        .lanes(lanes as u32)
        .read_stored("x", Operand::Input(input), stored)
        .write_stored("result", Operand::Output(0), stored)
        .params(params)
        .turns(axes.len() as u64)
        .per_element(count, caps))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(extents: &[usize], x: &[usize], result: &[usize]) -> Block {
        let place = |strides: &[usize]| Place::new(0, strides);
        Block { extents: extents.to_vec(), x: place(x), result: place(result) }
    }

    #[test]
    fn axes_merge_where_both_sides_walk_them_as_one() {
        let contiguous = block(&[2, 1, 3, 4], &[12, 7, 4, 1], &[12, 12, 4, 1]);
        assert_eq!(contiguous.merged_axes(), [Axis { extent: 24, x: 1, result: 1 }]);
        assert!(contiguous.is_at_rest());
        // [2, 3, 4, 5] with the two axes in the middle swapped.
        let swapped = block(&[2, 4, 3, 5], &[60, 5, 20, 1], &[60, 15, 5, 1]);
        assert_eq!(
            swapped.merged_axes(),
            [
                Axis { extent: 5, x: 1, result: 1 },
                Axis { extent: 3, x: 20, result: 5 },
                Axis { extent: 4, x: 5, result: 15 },
                Axis { extent: 2, x: 60, result: 60 },
            ]
        );
        assert!(!swapped.is_at_rest());
        assert_eq!(block(&[1, 1], &[9, 1], &[1, 1]).merged_axes(), []);
    }

    #[test]
    fn reversed_axes_start_at_their_last_place() {
        let mut reversed = block(&[2, 3, 4], &[12, 4, 1], &[12, 4, 1]);
        reversed.x.reverse(1, 3);
        assert_eq!((reversed.x.start, &reversed.x.strides[..]), (8, &[12, -4, 1][..]));
        assert_eq!(reversed.merged_axes().len(), 3);
        assert!(!reversed.is_at_rest() && reversed.is_of_vectors(&reversed.merged_axes()));
        reversed.x.reverse(2, 4);
        assert!(!reversed.is_of_vectors(&reversed.merged_axes()));
        // Rows and columns reversed are one axis reversed.
        assert_eq!(reversed.merged_axes()[0], Axis { extent: 12, x: -1, result: 1 });
    }

    #[test]
    fn vectors_need_whole_starts_and_strides() {
        let of_vectors = |block: &Block| block.is_of_vectors(&block.merged_axes());
        let rows = block(&[3, 8], &[16, 1], &[8, 1]);
        assert!(of_vectors(&rows));
        assert!(!of_vectors(&Block { x: Place { start: 2, ..rows.x.clone() }, ..rows }));
        assert!(!of_vectors(&block(&[3, 8], &[18, 1], &[8, 1])));
        assert!(!of_vectors(&block(&[8, 4], &[1, 8], &[4, 1])));
    }
}
