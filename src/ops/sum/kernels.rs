//! Lowering: axes are merged until kept and summed ones alternate. Where the innermost is kept, an invocation sums down a column
//! of packs; where it is summed, a workgroup sums a row, unless the row is too short to keep its lanes busy. Long sums are cut into
//! chunks, whose sums lie in scratch and are summed by a second dispatch.
//!
//! Chunks follow from the shape alone, so the same sum has the same terms on every device.

use super::NAME;
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Choice, Dispatch, Lowered, Operand, Shader, Tier, params, wgsl};
use crate::ops::contract::to_u32;
use crate::ops::rows::{self, Rows};
use crate::tensor::{DType, MAX_RANK, TensorDesc};

/// Kept and summed axes alternate, so of each there are at most half the axes of a value.
const MAX_AXES: usize = MAX_RANK / 2;

/// Elements from which on a row is worth a workgroup.
const LEAST_ROW: usize = 64;

/// Lanes that a row is taken to have when chunks are cut: as many as the tuning table's widest workgroup.
const LANES_OF_A_ROW: usize = 64;

/// Elements that an invocation at least sums, below which cutting costs more than it brings.
const LEAST_CHUNK: usize = 64;

/// Invocations that keep a large device busy.
const ENOUGH_INVOCATIONS: usize = 1 << 14;

params! {
    /// Extents and strides in packs, innermost axis first.
    struct SumParams {
        kept_extents: [u32; 4],
        kept_strides: [u32; 4],
        summed_extents: [u32; 4],
        summed_strides: [u32; 4],
        kept_inner: u32,
        summed_inner: u32,
        results: u32,
        terms: u32,
        chunk: u32,
        chunks: u32,
        workgroups: u32,
    }
}

/// One axis of `x`, in elements or packs.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    extent: usize,
    stride: usize,
    summed: bool,
}

/// The axes of a value of extents `dims`, innermost first, as few as tell kept from summed.
fn merged_axes(dims: &[usize], summed: impl Fn(usize) -> bool) -> Vec<Axis> {
    let mut axes: Vec<Axis> = Vec::new();
    let mut stride = 1;
    for (axis, &extent) in dims.iter().enumerate().rev().filter(|(_, extent)| **extent != 1) {
        match axes.last_mut() {
            Some(inner) if inner.summed == summed(axis) => inner.extent *= extent,
            _ => axes.push(Axis { extent, stride, summed: summed(axis) }),
        }
        stride *= extent;
    }
    axes
}

pub(super) fn lower(summed: &[usize], step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let (x, result) = (&step.inputs[0], &step.outputs[0]);
    let axes = merged_axes(x.shape.dims(), |axis| summed.contains(&axis));
    if axes.iter().all(|axis| !axis.summed) {
        return Ok(Lowered::View(0));
    }
    let stage = Stage::new(&axes, x.dtype);
    let (chunk, chunks) = stage.chunks();
    let result = (Operand::Output(0), result.dtype);
    if chunks == 1 {
        let dispatch = stage.dispatch(chunk, Operand::Input(0), result, caps)?;
        let choice = stage.choice(chunks, caps);
        return Ok(Lowered::Kernels { choice, dispatches: vec![dispatch], scratch: Vec::new() });
    }
    // The chunks' sums lie where a stage of the same kind reads them side by side.
    let results = step.outputs[0].elements();
    let partials = if stage.by_rows { [results, chunks] } else { [chunks, results] };
    let axes = merged_axes(&partials, |axis| (axis == 1) == stage.by_rows);
    let total = Stage::new(&axes, DType::F32);
    Ok(Lowered::Kernels {
        choice: stage.choice(chunks, caps),
        dispatches: vec![
            stage.dispatch(chunk, Operand::Input(0), (Operand::Scratch(0), DType::F32), caps)?,
            total.dispatch(total.terms, Operand::Scratch(0), result, caps)?,
        ],
        scratch: vec![(results * chunks * size_of::<f32>()) as u64],
    })
}

/// A sum of all of a value's elements along some axes.
#[derive(Debug)]
struct Stage {
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
        let product = |axes: &[Axis], summed| -> usize {
            axes.iter().filter(|axis| axis.summed == summed).map(|axis| axis.extent).product()
        };
        let inner = axes.first().copied().unwrap_or(Axis { extent: 1, stride: 1, summed: false });
        let by_rows = inner.summed && product(axes, true) >= LEAST_ROW;
        // Outer strides are multiples of the innermost extent.
        let lanes = if inner.summed == by_rows && inner.extent.is_multiple_of(4) { 4 } else { 1 };
        let mut axes = axes.to_vec();
        for (i, axis) in axes.iter_mut().enumerate() {
            if i == 0 {
                axis.extent /= lanes;
            } else {
                axis.stride /= lanes;
            }
        }
        let (results, terms) = (product(&axes, false), product(&axes, true));
        Self { axes, dtype, lanes, by_rows, results, terms }
    }

    /// Terms of a chunk, and how many chunks there are: as many as keep a large device busy, but not more than either stage has
    /// terms.
    fn chunks(&self) -> (usize, usize) {
        let of_a_result = if self.by_rows { LANES_OF_A_ROW } else { 1 };
        let wanted = ENOUGH_INVOCATIONS.div_ceil((self.results * of_a_result).max(1));
        let elements = if self.by_rows { self.terms * self.lanes } else { self.terms };
        let most = (elements / (LEAST_CHUNK * of_a_result)).min(self.terms.isqrt());
        let chunk = self.terms.div_ceil(wanted.min(most).max(1)).max(1);
        (chunk, self.terms.div_ceil(chunk).max(1))
    }

    fn dispatch(
        &self,
        chunk: usize,
        x: Operand,
        (result, result_dtype): (Operand, DType),
        caps: &Caps,
    ) -> Result<Dispatch> {
        let chunks = to_u32(NAME, "chunks", self.terms.div_ceil(chunk.max(1)).max(1))?;
        let results = to_u32(NAME, "results", self.results)?;
        let sums = to_u32(NAME, "results", self.results * chunks as usize)?;
        let workgroups = if self.by_rows { sums } else { sums.div_ceil(caps.tuning.element_lanes) };
        let ([kept_extents, kept_strides], kept_inner) = self.walk(false)?;
        let ([summed_extents, summed_strides], summed_inner) = self.walk(true)?;
        let params = SumParams {
            kept_extents,
            kept_strides,
            summed_extents,
            summed_strides,
            kept_inner,
            summed_inner,
            results,
            terms: to_u32(NAME, "terms", self.terms)?,
            chunk: to_u32(NAME, "chunk", chunk)?,
            chunks,
            workgroups,
        };
        Ok(Dispatch {
            shader: self.shader(result_dtype, caps)?,
            bindings: vec![("x", x), ("result", result)],
            params: params.into(),
            workgroups: workgroups.into(),
            turns: 0,
        })
    }

    /// Extents and strides of the kept or the summed axes, and how many there are but the outermost.
    fn walk(&self, summed: bool) -> Result<([[u32; MAX_AXES]; 2], u32)> {
        let (mut extents, mut strides, mut count) = ([1; MAX_AXES], [0; MAX_AXES], 0);
        for axis in self.axes.iter().filter(|axis| axis.summed == summed) {
            extents[count] = to_u32(NAME, "extent", axis.extent)?;
            strides[count] = to_u32(NAME, "stride", axis.stride)?;
            count += 1;
        }
        Ok(([extents, strides], count.saturating_sub(1) as u32))
    }

    fn shader(&self, result: DType, caps: &Caps) -> Result<Shader> {
        let is_one = |summed| self.axes.iter().filter(|axis| axis.summed == summed).count() <= 1;
        let (one_kept, one_summed) = (is_one(false), is_one(true));
        if self.by_rows {
            // Only type and width of the rows count, which both are in packs.
            let rows = Rows::of(NAME, &TensorDesc::new(self.dtype, [self.lanes]))?;
            let sources = [wgsl!("sum/rows.wgsl"), wgsl!("sum/interface.wgsl")];
            return Ok(rows
                .shader(NAME, &sources, caps)
                .alias("Out", result, 1)
                .constant("ONE_KEPT", one_kept)
                .constant("ONE_SUMMED", one_summed));
        }
        Ok(Shader::new(NAME, [wgsl!("sum/columns.wgsl"), wgsl!("sum/interface.wgsl")])
            .alias("Pack", self.dtype, self.lanes as u32)
            .alias("Out", result, self.lanes as u32)
            .alias("Lanes", DType::F32, self.lanes as u32)
            .constant("WORKGROUP", caps.tuning.element_lanes)
            .constant("ONE_KEPT", one_kept)
            .constant("ONE_SUMMED", one_summed))
    }

    fn choice(&self, chunks: usize, caps: &Caps) -> Choice {
        let of_what = if self.by_rows { "a workgroup a result" } else { "an invocation a pack of results" };
        let cut = if chunks == 1 { String::new() } else { format!(", in {chunks} chunks") };
        Choice {
            tier: Tier::Streaming,
            kernel: format!("{NAME} x{}, {of_what}{cut}", self.lanes).into(),
            reason: if self.by_rows {
                rows::reason(caps)
            } else {
                "the innermost axis is kept, or rows are short".into()
            }
            .into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axes(dims: &[usize], summed: &[usize]) -> Vec<Axis> {
        merged_axes(dims, |axis| summed.contains(&axis))
    }

    #[test]
    fn axes_merge_until_kept_and_summed_ones_alternate() {
        let axis = |extent, stride, summed| Axis { extent, stride, summed };
        assert_eq!(axes(&[2, 3, 4], &[0, 1]), [axis(4, 1, false), axis(6, 4, true)]);
        assert_eq!(axes(&[2, 1, 3, 1], &[2, 0]), [axis(6, 1, true)]);
        assert_eq!(axes(&[2, 3, 4, 5], &[0, 2]).len(), 4);
        assert_eq!(axes(&[1, 1], &[0]), []);
    }

    #[test]
    fn chunks_cover_the_terms_and_keep_a_device_busy() {
        for (dims, summed, expected) in [
            (&[4096, 1024][..], 0, (64, 64)),
            (&[63, 1024], 0, (63, 1)),
            (&[1 << 20, 4], 0, (1024, 1024)),
            (&[1 << 20], 0, (1024, 256)),
            (&[4096, 1024], 1, (256, 1)),
            (&[0, 4], 0, (1, 1)),
        ] {
            let stage = Stage::new(&axes(dims, &[summed]), DType::F32);
            let (chunk, chunks) = stage.chunks();
            assert_eq!((chunk, chunks), expected, "{dims:?} over {summed}");
            assert!(chunk * chunks >= stage.terms && chunk * (chunks - 1) <= stage.terms);
        }
    }
}
