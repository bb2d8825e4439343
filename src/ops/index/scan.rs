//! Running sums along an axis as dispatches: sums of chunks, what lies before each chunk, and the sums within chunks (Blelloch, "Prefix sums
//! and their applications", 1990, section 1.3, which calls it reduce-then-scan). Every sum is made in a fixed order.
//!
//! An invocation takes a whole chunk of a column, so that no workgroup waits for another and neighbours share no memory. On a GPU, columns
//! next to each other are read together; one long row alone is read with a stride of a chunk.

use crate::Result;
use crate::kernel::{Caps, Dispatch, Kernel, Operand, params, wgsl};
use crate::ops::contract::to_u32;
use crate::tensor::DType;

params! {
    /// `inner` is in packs. Columns are `outer * inner`.
    struct ScanParams {
        length: u32,
        inner: u32,
        columns: u32,
        chunk: u32,
        chunks: u32,
    }
}

/// Where segments begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segments {
    pub(super) operand: Operand,
    pub(super) dtype: DType,
    /// Whether a segment begins at each element that is not 0. If not, elements are ids, and one begins where the id changes.
    pub(super) flags: bool,
    /// Whether there is one element for each place along the axis. If not, there is one for each place of each outer index.
    pub(super) shared: bool,
}

/// A scan along the middle axis of `[outer, length, inner]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan {
    pub(super) dtype: DType,
    pub(super) extents: [usize; 3],
    pub(super) exclusive: bool,
    pub(super) reverse: bool,
    pub(super) segments: Option<Segments>,
}

/// The longest chunk: a third of the loop turns that an invocation may take on the strictest driver.
const LONGEST_CHUNK: usize = 1 << 14;

/// The length of the chunks that `rows` rows of `length` elements are cut into, for invocations that take one each: enough of them to keep
/// a device busy, but no more than a row's chunks have elements. It is odd, so that what neighbouring invocations read at a time does not fall
/// into the same few sets of a cache.
pub(super) fn chunk_length(rows: usize, length: usize, caps: &Caps) -> usize {
    let enough = 64 * caps.tuning.row_lanes as usize;
    let chunks = enough.div_ceil(rows.max(1)).clamp(1, length.isqrt().max(1));
    length.div_ceil(chunks).clamp(16, LONGEST_CHUNK) | 1
}

impl Scan {
    /// The type that sums are made in.
    fn sum_dtype(&self) -> DType {
        if self.dtype.is_float() { DType::F32 } else { self.dtype }
    }

    /// Dispatches that scan `x` into `result`, and the bytes of the scratch buffers they take, which lie from number `first_scratch` on.
    pub(super) fn dispatches(
        &self,
        op: &'static str,
        (x, result): (Operand, Operand),
        first_scratch: usize,
        caps: &Caps,
    ) -> Result<(Vec<Dispatch>, Vec<u64>)> {
        let [outer, length, inner] = self.extents;
        let lanes = if inner.is_multiple_of(4) { 4 } else { 1 };
        let inner = inner / lanes as usize;
        let columns = to_u32(op, "columns", outer * inner)?;
        let chunk = chunk_length(outer * inner, length, caps);
        let params = ScanParams {
            length: to_u32(op, "length", length)?,
            inner: to_u32(op, "columns", inner)?,
            columns,
            chunk: to_u32(op, "chunk", chunk)?,
            chunks: to_u32(op, "chunks", length.div_ceil(chunk))?,
        };
        let partial = to_u32(op, "chunks", params.chunks as usize * columns as usize)?;
        let (sums, entered) = (Operand::Scratch(first_scratch), Operand::Scratch(first_scratch + 1));
        let walk = |label, source| {
            let kernel = Kernel::new(label, [source, wgsl!("index/cumulative_sum/walk.wgsl")])
                .lanes(lanes)
                .alias("Sum", self.sum_dtype())
                .read("x", x, self.dtype);
            self.segmented(kernel, lanes).params(params).turns(chunk as u64)
        };
        let carries = (params.chunks > 1).then_some(sums);
        let scan = walk("scan, within chunks", wgsl!("index/cumulative_sum/scan.wgsl"))
            .constant("EXCLUSIVE", self.exclusive)
            .read_if("carries", carries, self.sum_dtype())
            .write("result", result, self.dtype)
            .per_element(partial, caps);
        if carries.is_none() {
            return Ok((vec![scan], Vec::new()));
        }
        let chunk_sums = walk("scan, sums of chunks", wgsl!("index/cumulative_sum/sums.wgsl"))
            .write("sums", sums, self.sum_dtype())
            .write_elements("entered", entered, DType::U32)
            .per_element(partial, caps);
        let carry = Kernel::new("scan, before chunks", [wgsl!("index/cumulative_sum/carries.wgsl")])
            .lanes(lanes)
            .alias("Sum", self.sum_dtype())
            .update("sums", sums, self.sum_dtype())
            .read_elements("entered", entered, DType::U32)
            .params(params)
            .turns(params.chunks.into())
            .per_element(columns, caps);
        let scratch = vec![u64::from(partial) * u64::from(lanes) * 4, u64::from(partial) * 4];
        Ok((vec![chunk_sums, carry, scan], scratch))
    }

    /// The kernel with what the walk's file leaves open.
    fn segmented(&self, kernel: Kernel, lanes: u32) -> Kernel {
        let segments = self.segments;
        let kind = segments.map_or(0, |segments| 1 + u32::from(segments.flags));
        let kernel = kernel
            .constant("REVERSE", self.reverse)
            .constant("SEGMENTS", kind)
            .constant("SHARED", segments.is_none_or(|segments| segments.shared));
        match segments {
            Some(segments) => kernel.read_elements("segments", segments.operand, segments.dtype),
            None => kernel.lanes(1).read_if("segments", None, DType::U32).lanes(lanes),
        }
    }
}
