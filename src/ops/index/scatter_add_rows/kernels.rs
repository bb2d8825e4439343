//! Lowering: the indices are sorted; each row's items are found by binary search; sorted items are summed in chunks where a chunk is of one
//! row only; and every row of the result adds its items, or its chunks and what lies around them. No invocation adds more than about three
//! times the square root of the number of indices.

use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Dispatch, Kernel, Lowered, Operand, Source, params, wgsl};
use crate::ops::contract::to_u32;
use crate::ops::index::radix::{self, Keys, Sort};
use crate::ops::rows::chunk_length;
use crate::tensor::DType;

params! {
    struct OffsetParams {
        length: u32,
        ids: u32,
    }
}

params! {
    /// `width` is in packs.
    struct ScatterParams {
        /// Items of a batch.
        length: u32,
        /// Whole chunks of a batch.
        chunks: u32,
        /// Rows of a batch that are added.
        rows: u32,
        /// Rows of a batch of the result.
        result_rows: u32,
        width: u32,
    }
}

/// Scratch: where each row's items start, the sums of chunks, and what the sort takes.
const OFFSETS: Operand = Operand::Scratch(0);
const SUMS: Operand = Operand::Scratch(1);
const FIRST_OF_SORT: usize = 2;

/// The extents of a scatter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) batches: usize,
    /// Rows of a batch that are added.
    pub(super) rows: usize,
    /// Indices of each of them.
    pub(super) per_row: usize,
    /// Rows of a batch of the result.
    pub(super) count: usize,
    pub(super) width: usize,
}

/// Sorts ids of `dtype`, `[batches, length]`, where those that are negative or from `count` on come last. An `order` gets positions alone.
pub(in crate::ops::index) fn sort_ids(
    op: &'static str,
    (ids, dtype): (Operand, DType),
    extents: [usize; 2],
    count: u32,
    (order, first_scratch): (Option<Operand>, usize),
    caps: &Caps,
) -> Result<Sort> {
    // Ids are compared as u32, where negative ones must lie beyond every count.
    let most = if dtype == DType::I32 { count.min(1 << 31) } else { count };
    let keys = Keys { dtype: DType::U32, descending: false, most };
    radix::sort(op, (ids, keys), extents, order, first_scratch, caps)
}

/// One dispatch that tells where the items of each id below `ids` begin in `items`, `[batches, length]`, and where they all end.
pub(in crate::ops::index) fn offsets(
    op: &'static str,
    (items, result): (Operand, Operand),
    [batches, length]: [usize; 2],
    ids: u32,
    caps: &Caps,
) -> Result<Dispatch> {
    let count = to_u32(op, "offsets", batches * (ids as usize + 1))?;
    Ok(Kernel::new("offsets of sorted ids", [wgsl!("index/inverse_lists/offsets.wgsl")])
        .read("items", items, DType::U32)
        .write("offsets", result, DType::U32)
        .params(OffsetParams { length: to_u32(op, "indices", length)?, ids })
        // A binary search over up to 2^32 items.
        .turns(32)
        .per_element(count, caps))
}

pub(super) fn lower(op: &'static str, layout: Layout, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let Layout { batches, rows, per_row, count, width } = layout;
    let (desc, indices) = (&step.inputs[0], &step.inputs[1]);
    let lanes: u32 = if width.is_multiple_of(4) { 4 } else { 1 };
    let length = rows * per_row;
    let chunk = chunk_length(to_u32(op, "indices", length)?);
    let params = ScatterParams {
        length: length as u32,
        chunks: length as u32 / chunk,
        rows: to_u32(op, "rows", rows)?,
        result_rows: to_u32(op, "count", count)?,
        width: to_u32(op, "width", width)? / lanes,
    };
    let factors = step.inputs.get(2).map(|_| Operand::Input(2));
    let extents = [batches, length];
    let ids = (Operand::Input(1), indices.dtype);
    let sorted = sort_ids(op, ids, extents, params.result_rows, (None, FIRST_OF_SORT), caps)?;
    let kernel = |label, source: Source| {
        Kernel::new(label, [source, wgsl!("index/scatter_add_rows/items.wgsl")])
            .lanes(lanes)
            .constant("CHUNK", chunk)
            .constant("PER_ROW", per_row.max(1) as u32)
            .read_elements("items", sorted.items, DType::U32)
            .read("rows", Operand::Input(0), desc.dtype)
            .constant("SCALED", factors.is_some())
            .lanes(1)
            .read_if("factors", factors, DType::F32)
            .lanes(lanes)
            .params(params)
    };
    let chunks = batches * params.chunks as usize * params.width as usize;
    let sums = kernel("scatter, sums of chunks", wgsl!("index/scatter_add_rows/chunks.wgsl"))
        .write("sums", SUMS, DType::F32)
        .turns(chunk.into())
        .per_element(to_u32(op, "chunks", chunks)?, caps);
    let elements = to_u32(op, "elements", step.outputs[0].elements())?;
    let scatter = kernel("scatter", wgsl!("index/scatter_add_rows/scatter.wgsl"))
        .read("sums", SUMS, DType::F32)
        .read_elements("offsets", OFFSETS, DType::U32)
        .write("result", Operand::Output(0), step.outputs[0].dtype)
        .turns(2 * u64::from(chunk) + u64::from(params.chunks))
        .per_element(elements / lanes, caps);
    let offsets = offsets(op, (sorted.items, OFFSETS), extents, params.result_rows, caps)?;
    // Without elements nothing runs, the sort neither.
    let dispatches = match elements {
        0 => Vec::new(),
        _ => sorted.dispatches.into_iter().chain([offsets, sums, scatter]).collect(),
    };
    let bytes = [batches as u64 * (count as u64 + 1) * 4, chunks as u64 * u64::from(lanes) * 4];
    Ok(Lowered::streaming(
        format!("scatter x{lanes}, chunks of {chunk} sorted indices"),
        format!("{} indices, an invocation a pack of the result", indices.elements()),
        dispatches,
        bytes.into_iter().map(|bytes| bytes.max(16)).chain(sorted.scratch).collect(),
    ))
}
