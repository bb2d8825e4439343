//! Lowering: a reduction along time, of which an invocation takes a pack of the result, over the positions that count.

use super::{Kind, Pool};
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Lowered, Operand, wgsl};
use crate::ops::reduce::kernels::{Axis, Fold, Range, Reduction, Stage};
use crate::tensor::DType;

/// The positions that a row pools: WGSL of `positions_of`. `bounds` is where lengths or ids are.
pub(super) fn positions(spec: &Pool, bounds: usize) -> Range {
    let in_segments = spec.segments.is_some();
    Range {
        sources: vec![wgsl!("pool/positions.wgsl")],
        bounds: spec.places().next().map(|_| Operand::Input(bounds)),
        constants: vec![("IN_SEGMENTS", in_segments), ("HAS_LENGTHS", spec.lengths.is_some())],
        // Of the two searches for the ends of a run of ids; counted without segments, too, where they are not made.
        turns: 2 * u64::from(u32::BITS),
        most: usize::MAX,
    }
}

/// The dispatches of `fold` over the positions of each row. Inputs are x and, where the spec has them, lengths or ids.
pub(super) fn lower(
    op: &'static str,
    fold: Fold,
    spec: &Pool,
    step: &StepDesc,
    caps: &Caps,
) -> Result<Lowered> {
    let [batch, time, width] = [0, 1, 2].map(|axis| step.inputs[0].shape.dims()[axis]);
    let segments = spec.segments.map(|(_, count)| count);
    let mut range = positions(spec, 1);
    let is_one = spec.kind.is_one();
    range.sources.push(wgsl!("pool/range.wgsl"));
    range.constants.extend([("IS_FIRST", spec.kind == Kind::First), ("IS_LAST", spec.kind == Kind::Last)]);
    range.most = spec.kind.most();
    // The rows of an item all start from its first position.
    let row_axes = |segment_stride, item_stride| {
        let axis = |extent, stride| Axis { extent, stride, reduced: false };
        let segments = segments.map(|count| axis(count, segment_stride));
        [axis(width, 1)].into_iter().chain(segments).chain([axis(batch, item_stride)])
    };
    let along_time = |extent, stride| Axis { extent, stride, reduced: true };
    let lanes = if width.is_multiple_of(4) { 4 } else { 1 };
    let axes: Vec<Axis> = row_axes(0, time * width).chain([along_time(time, width)]).collect();
    let stage = Stage::columns(&axes, step.inputs[0].dtype, lanes);
    let (chunk, chunks) = match segments {
        _ if is_one => (time.max(1), 1),
        // Most runs are short.
        Some(_) => stage.cut(time),
        None => stage.chunks(),
    };
    let item = segments.unwrap_or(1) * width;
    let axes: Vec<Axis> =
        row_axes(width, item).chain([along_time(chunks, step.outputs[0].elements())]).collect();
    let total = Stage::columns(&axes, DType::F32, lanes);
    let range = (is_one || range.bounds.is_some()).then_some(range);
    Reduction { op, fold, range, stage, chunk, total }.lower(step, caps)
}
