//! Lowering: axes are merged until kept and reduced ones alternate. Where the innermost is kept, an invocation walks down a column
//! of packs; where it is reduced, a workgroup takes a row, unless the row is too short to keep its lanes busy. Long reductions are cut
//! into chunks, whose results lie in scratch and are reduced by a second dispatch; that keeps loops short, too.
//!
//! Chunks follow from the shape alone, so the same sum has the same terms on every device.

use super::table::Kind;
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Dispatch, Generated, Kernel, Lowered, Operand, Source, params, wgsl};
use crate::ops::contract::to_u32;
use crate::ops::rows;
use crate::tensor::{DType, MAX_RANK};

/// Kept and reduced axes alternate, so of each there are at most half the axes of a value.
const MAX_AXES: usize = MAX_RANK / 2;

/// Elements from which on a row is worth a workgroup.
const LEAST_ROW: usize = 64;

/// Lanes that a row is taken to have when chunks are cut: as many as the tuning table's widest workgroup.
const LANES_OF_A_ROW: usize = 64;

/// As many as the narrowest has.
const LEAST_LANES_OF_A_ROW: usize = 8;

/// Elements that an invocation at least reduces, below which cutting costs more than it brings.
const LEAST_CHUNK: usize = 64;

/// Turns that the loops of an invocation at most take: half of what the least capable driver allows.
const MOST_TURNS: usize = 1 << 15;

/// Invocations that keep a large device busy.
const ENOUGH_INVOCATIONS: usize = 1 << 14;

params! {
    struct ReduceParams {
        /// Extents and strides in packs, innermost axis first.
        kept_extents: [u32; 4],
        kept_strides: [u32; 4],
        reduced_extents: [u32; 4],
        reduced_strides: [u32; 4],
        /// All axes but the outermost.
        kept_inner: u32,
        reduced_inner: u32,
        results: u32,
        /// Of a result.
        terms: u32,
        /// Terms of a chunk; the last one may have fewer.
        chunk: u32,
        /// Of a result.
        chunks: u32,
        /// Elements of x that a result is of.
        elements: u32,
        /// Of them, in a term.
        unit: u32,
    }
}

/// What is kept of the terms of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) enum Fold {
    /// Their sum, or another number.
    Value(Kind),
    /// Where the first of the largest or smallest is: the terms before it.
    Place { smallest: bool },
}

/// Which elements along the reduced axes a result is of, where not of all: WGSL of `range_of`, and what it reads.
#[derive(Clone, Debug)]
pub(in crate::ops) struct Range {
    pub(in crate::ops) sources: Vec<Source>,
    /// Read as `load_bounds`, i32, an element at a time.
    pub(in crate::ops) bounds: Option<Operand>,
    pub(in crate::ops) constants: Vec<(&'static str, bool)>,
    /// Turns of its loops.
    pub(in crate::ops) turns: u64,
    /// Elements that a result is of at most.
    pub(in crate::ops) most: usize,
}

impl Range {
    /// A kernel with its functions.
    pub(in crate::ops) fn add_to(&self, kernel: Kernel) -> Kernel {
        let kernel = self.sources.iter().fold(kernel, |kernel, &source| kernel.source(source));
        let kernel =
            self.constants.iter().fold(kernel, |kernel, &(name, value)| kernel.constant(name, value));
        kernel.lanes(1).read_if("bounds", self.bounds, DType::I32)
    }
}

/// One axis of `x`, in elements or packs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::ops) struct Axis {
    pub(in crate::ops) extent: usize,
    pub(in crate::ops) stride: usize,
    pub(in crate::ops) reduced: bool,
}

/// The axes of a value of extents `dims`, innermost first, as few as tell kept from reduced.
pub(super) fn merged_axes(dims: &[usize], reduced: impl Fn(usize) -> bool) -> Vec<Axis> {
    let mut axes: Vec<Axis> = Vec::new();
    let mut stride = 1;
    for (axis, &extent) in dims.iter().enumerate().rev().filter(|(_, extent)| **extent != 1) {
        match axes.last_mut() {
            Some(inner) if inner.reduced == reduced(axis) => inner.extent *= extent,
            _ => axes.push(Axis { extent, stride, reduced: reduced(axis) }),
        }
        stride *= extent;
    }
    axes
}

/// The dispatches of `fold` over `reduced` axes of the step's only input.
pub(super) fn lower(
    op: &'static str,
    fold: Fold,
    reduced: &[usize],
    step: &StepDesc,
    caps: &Caps,
) -> Result<Lowered> {
    let axes = merged_axes(step.inputs[0].shape.dims(), |axis| reduced.contains(&axis));
    if matches!(fold, Fold::Value(_)) && axes.iter().all(|axis| !axis.reduced) {
        return Ok(Lowered::View(0));
    }
    let stage = Stage::new(&axes, step.inputs[0].dtype);
    let (chunk, chunks) = stage.chunks();
    // The chunks' results lie where a stage of the same kind reads them side by side.
    let results = step.outputs[0].elements();
    let partials = if stage.by_rows { [results, chunks] } else { [chunks, results] };
    let total = Stage::new(&merged_axes(&partials, |axis| (axis == 1) == stage.by_rows), DType::F32);
    Reduction { op, fold, range: None, stage, chunk, total }.lower(step, caps)
}

/// A reduction of all of a value's elements along some axes.
#[derive(Debug)]
pub(in crate::ops) struct Stage {
    /// In packs, innermost first.
    axes: Vec<Axis>,
    dtype: DType,
    lanes: usize,
    /// Whether each result has a workgroup, whose lanes share the terms.
    by_rows: bool,
    /// In packs where not by rows.
    results: usize,
    /// Of each result, in packs where by rows.
    terms: usize,
}

impl Stage {
    fn new(axes: &[Axis], dtype: DType) -> Self {
        let inner = axes.first().copied().unwrap_or(Axis { extent: 1, stride: 1, reduced: false });
        let by_rows = inner.reduced && extent(axes, true) >= LEAST_ROW;
        // Outer strides are multiples of the innermost extent.
        let lanes = if inner.reduced == by_rows && inner.extent.is_multiple_of(4) { 4 } else { 1 };
        Self::of(axes, dtype, lanes, by_rows)
    }

    /// A stage of invocations that each walk down a column of packs, whose axes stay as they are: the innermost one is kept, and whole packs.
    pub(in crate::ops) fn columns(axes: &[Axis], dtype: DType, lanes: usize) -> Self {
        Self::of(axes, dtype, lanes, false)
    }

    fn of(axes: &[Axis], dtype: DType, lanes: usize, by_rows: bool) -> Self {
        let mut axes = axes.to_vec();
        for (i, axis) in axes.iter_mut().enumerate() {
            if i == 0 {
                axis.extent /= lanes;
            } else {
                axis.stride /= lanes;
            }
        }
        let (results, terms) = (extent(&axes, false), extent(&axes, true));
        Self { axes, dtype, lanes, by_rows, results, terms }
    }

    /// Terms of a chunk, and how many chunks there are: as many as keep a large device busy, but not more than either stage has
    /// terms, unless loops would be too long.
    pub(in crate::ops) fn chunks(&self) -> (usize, usize) {
        let of_a_result = if self.by_rows { LANES_OF_A_ROW } else { 1 };
        let wanted = ENOUGH_INVOCATIONS.div_ceil((self.results * of_a_result).max(1));
        let elements = if self.by_rows { self.terms * self.lanes } else { self.terms };
        let most = (elements / (LEAST_CHUNK * of_a_result)).min(self.terms.isqrt());
        self.cut(self.terms.div_ceil(wanted.min(most).max(1)))
    }

    /// Chunks of at most `terms` each, and of no more than loops may have turns.
    pub(in crate::ops) fn cut(&self, terms: usize) -> (usize, usize) {
        let lanes = if self.by_rows { LEAST_LANES_OF_A_ROW } else { 1 };
        let chunk = terms.min(MOST_TURNS / self.turns_of_a_term() * lanes).max(1);
        (chunk, self.terms.div_ceil(chunk).max(1))
    }

    /// Turns of loops that finding and reducing a term takes.
    fn turns_of_a_term(&self) -> usize {
        self.axes.iter().filter(|axis| axis.reduced).count().max(1)
    }

    /// Extents and strides of the kept or the reduced axes, and how many there are but the outermost.
    fn walk(&self, op: &'static str, reduced: bool) -> Result<([[u32; MAX_AXES]; 2], u32)> {
        let (mut extents, mut strides, mut count) = ([1; MAX_AXES], [0; MAX_AXES], 0);
        for axis in self.axes.iter().filter(|axis| axis.reduced == reduced) {
            extents[count] = to_u32(op, "extent", axis.extent)?;
            strides[count] = to_u32(op, "stride", axis.stride)?;
            count += 1;
        }
        Ok(([extents, strides], count.saturating_sub(1) as u32))
    }
}

/// The extents of the kept or the reduced axes, multiplied.
fn extent(axes: &[Axis], reduced: bool) -> usize {
    axes.iter().filter(|axis| axis.reduced == reduced).map(|axis| axis.extent).product()
}

/// A reduction in one dispatch, or in two where there are chunks.
#[derive(Debug)]
pub(in crate::ops) struct Reduction {
    pub(in crate::ops) op: &'static str,
    pub(in crate::ops) fold: Fold,
    pub(in crate::ops) range: Option<Range>,
    /// Of the step's first input.
    pub(in crate::ops) stage: Stage,
    /// Terms of a chunk.
    pub(in crate::ops) chunk: usize,
    /// Of the chunks' results.
    pub(in crate::ops) total: Stage,
}

/// What a dispatch reads and writes. Where places are sought, `result` is of them, and `best` of the numbers there.
struct Operands {
    x: Operand,
    places: Option<Operand>,
    result: (Operand, DType),
    best: Option<Operand>,
}

impl Reduction {
    pub(in crate::ops) fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let Self { stage, chunk, total, .. } = self;
        let chunks = stage.terms.div_ceil(*chunk).max(1);
        let is_place = matches!(self.fold, Fold::Place { .. });
        let result = (Operand::Output(0), step.outputs[0].dtype);
        let of_x = |result, best| Operands { x: Operand::Input(0), places: None, result, best };
        let how = if stage.by_rows { "a workgroup a result" } else { "an invocation a pack of results" };
        let mut kernel = format!("{} x{}, {how}", self.op, stage.lanes);
        let reason = match stage.by_rows {
            true => rows::reason(caps),
            false => "the innermost axis is kept, or rows are short".into(),
        };
        if chunks == 1 {
            let dispatch = self.dispatch(stage, (*chunk, 1), of_x(result, None), caps)?;
            return Ok(Lowered::streaming(kernel, reason, vec![dispatch], Vec::new()));
        }
        kernel += &format!(", in {chunks} chunks");
        let (values, places) = (Operand::Scratch(0), is_place.then_some(Operand::Scratch(1)));
        let partial = match places {
            Some(places) => of_x((places, DType::U32), Some(values)),
            None => of_x((values, DType::F32), None),
        };
        let of_chunks = Operands { x: values, places, result, best: None };
        let bytes = (step.outputs[0].elements() * chunks * size_of::<f32>()).max(16) as u64;
        let dispatches = vec![
            self.dispatch(stage, (*chunk, 1), partial, caps)?,
            self.dispatch(total, (total.terms, *chunk), of_chunks, caps)?,
        ];
        Ok(Lowered::streaming(kernel, reason, dispatches, vec![bytes; 1 + usize::from(is_place)]))
    }

    /// One dispatch over `stage`, whose terms are each of `unit` terms of x, in chunks of `chunk`.
    fn dispatch(
        &self,
        stage: &Stage,
        (chunk, unit): (usize, usize),
        operands: Operands,
        caps: &Caps,
    ) -> Result<Dispatch> {
        let op = self.op;
        let chunks = to_u32(op, "chunks", stage.terms.div_ceil(chunk.max(1)).max(1))?;
        let ([kept_extents, kept_strides], kept_inner) = stage.walk(op, false)?;
        let ([reduced_extents, reduced_strides], reduced_inner) = stage.walk(op, true)?;
        let elements = self.stage.terms * if self.stage.by_rows { self.stage.lanes } else { 1 };
        let params = ReduceParams {
            kept_extents,
            kept_strides,
            reduced_extents,
            reduced_strides,
            kept_inner,
            reduced_inner,
            results: to_u32(op, "results", stage.results)?,
            terms: to_u32(op, "terms", stage.terms)?,
            chunk: to_u32(op, "chunk", chunk)?,
            chunks,
            elements: to_u32(op, "elements", elements)?,
            unit: to_u32(op, "chunk", unit)?,
        };
        let count = to_u32(op, "results", stage.results * chunks as usize)?;
        let lanes = if stage.by_rows { caps.tuning.row_lanes as usize } else { 1 };
        // Of a loop over terms, one over axes for its first, and one over lanes.
        let (most, range_turns) =
            self.range.as_ref().map_or((usize::MAX, 0), |range| (range.most, range.turns));
        let turns = (chunk.min(most).div_ceil(lanes) + 1) * stage.turns_of_a_term() + lanes + MAX_AXES;
        let kernel = self
            .kernel(stage, &operands)
            .constant("ONE_KEPT", kept_inner == 0)
            .constant("ONE_REDUCED", reduced_inner == 0)
            .params(params)
            .turns(turns as u64 + range_turns);
        Ok(if stage.by_rows { kernel.per_row(count, caps) } else { kernel.per_element(count, caps) })
    }

    /// The files of a kernel and what it binds.
    fn kernel(&self, stage: &Stage, operands: &Operands) -> Kernel {
        let lanes = stage.lanes as u32;
        let (by_rows, results) = match stage.by_rows {
            true => (wgsl!("reduce/rows.wgsl"), 1),
            false => (wgsl!("reduce/columns.wgsl"), lanes),
        };
        let mut kernel = Kernel::new(self.op, [by_rows, wgsl!("reduce/walk.wgsl")]);
        kernel = match &self.range {
            _ if stage.by_rows => kernel,
            Some(range) => range.add_to(kernel),
            None => kernel.source(wgsl!("reduce/all_terms.wgsl")),
        };
        let (result, dtype) = operands.result;
        kernel = match self.fold {
            Fold::Value(kind) => {
                let is_final = result == Operand::Output(0);
                kernel.source(wgsl!("reduce/value.wgsl")).generated([functions(
                    kind,
                    is_final,
                    stage.by_rows,
                )])
            }
            Fold::Place { smallest } => {
                // Numbers of chunks have the sign already.
                let sign = if smallest && operands.places.is_none() { -1.0 } else { 1.0 };
                let of_chunks = operands.places.is_some();
                kernel
                    .source(match stage.by_rows {
                        true => wgsl!("reduce/place_rows.wgsl"),
                        false => wgsl!("reduce/place_columns.wgsl"),
                    })
                    .constant("SIGN", sign)
                    .constant("OF_CHUNKS", of_chunks)
            }
        };
        let is_place = matches!(self.fold, Fold::Place { .. });
        kernel = kernel.lanes(results).write("result", result, dtype).alias("Result", DType::F32);
        if is_place {
            kernel = kernel
                .write_if("best", operands.best, DType::F32)
                .read_if("places", operands.places, DType::U32)
                .alias("Places", DType::U32)
                .constant("LANES", lanes);
        }
        kernel.lanes(lanes).read("x", operands.x, stage.dtype)
    }
}

/// WGSL of a reduction's formulas; `finish` leaves the results of chunks as they are.
fn functions(kind: Kind, is_final: bool, by_rows: bool) -> Generated {
    let formulas = kind.wgsl();
    let finish = if is_final { formulas.finish } else { "x" };
    let mut text = format!(
        "fn start(term: Lanes) -> Lanes {{\n    return {};\n}}\n\
         fn combine(a: Lanes, b: Lanes) -> Lanes {{\n    return {};\n}}\n\
         fn finish(x: Result, elements: u32) -> Result {{\n    return {finish};\n}}\n",
        formulas.start, formulas.combine
    );
    if by_rows {
        text += &format!(
            "fn over_lanes(x: Lanes, lane: u32) -> f32 {{\n    return {};\n}}\n",
            formulas.over_lanes
        );
    }
    Generated { label: format!("(formulas of {kind:?})"), text, by_user: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axes(dims: &[usize], reduced: &[usize]) -> Vec<Axis> {
        merged_axes(dims, |axis| reduced.contains(&axis))
    }

    #[test]
    fn axes_merge_until_kept_and_reduced_ones_alternate() {
        let axis = |extent, stride, reduced| Axis { extent, stride, reduced };
        assert_eq!(axes(&[2, 3, 4], &[0, 1]), [axis(4, 1, false), axis(6, 4, true)]);
        assert_eq!(axes(&[2, 1, 3, 1], &[2, 0]), [axis(6, 1, true)]);
        assert_eq!(axes(&[2, 3, 4, 5], &[0, 2]).len(), 4);
        assert_eq!(axes(&[1, 1], &[0]), []);
    }

    #[test]
    fn chunks_cover_the_terms_and_keep_a_device_busy_and_loops_short() {
        for (dims, reduced, expected) in [
            (&[4096, 1024][..], &[0][..], (64, 64)),
            (&[63, 1024], &[0], (63, 1)),
            (&[1 << 20, 4], &[0], (1024, 1024)),
            (&[1 << 20], &[0], (1024, 256)),
            (&[4096, 1024], &[1], (256, 1)),
            (&[0, 4], &[0], (1, 1)),
            (&[66_000, 1 << 16], &[0], (1 << 15, 3)),
            (&[2, 2, 33_000, 1 << 16], &[0, 2], (1 << 14, 5)),
            (&[1 << 10, 2_000_000], &[1], (1 << 18, 2)),
        ] {
            let stage = Stage::new(&axes(dims, reduced), DType::F32);
            let (chunk, chunks) = stage.chunks();
            assert_eq!((chunk, chunks), expected, "{dims:?} over {reduced:?}");
            assert!(chunk * chunks >= stage.terms && chunk * (chunks - 1) <= stage.terms);
        }
    }
}
