//! A stable radix sort of rows by keys of up to 32 bits, without atomics, as dispatches.
//!
//! All rows are sorted at once: the counts of every row add up to its length, so that one scan over [row][digit][chunk] leaves each row's
//! items within the row.

use super::scan::{Scan, chunk_length};
use crate::Result;
use crate::kernel::{Caps, Dispatch, Kernel, Operand, params, wgsl};
use crate::ops::contract::to_u32;
use crate::tensor::DType;

/// Bits of a digit. An invocation counts the digits of its chunk in an array of its own, which few lanes a row, those of a processor, keep in
/// its cache, and many, those of a GPU, should keep in registers.
fn digit_bits(caps: &Caps) -> u32 {
    if caps.tuning.row_lanes <= 8 { 6 } else { 4 }
}

params! {
    struct SortParams {
        length: u32,
        chunk: u32,
        /// Chunks of a row.
        chunks: u32,
        /// How far right the pass's digit lies.
        shift: u32,
        /// Keys from here on count as this one.
        most: u32,
    }
}

/// What rows are sorted by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    pub(super) dtype: DType,
    pub(super) descending: bool,
    /// Keys from here on count as this one: [`u32::MAX`] but for ids, whose few bits take few passes.
    pub(super) most: u32,
}

impl Keys {
    /// Bits that keys differ in.
    pub(super) fn bits(&self) -> u32 {
        if self.dtype == DType::F16 { 16 } else { u32::BITS - self.most.leading_zeros() }
    }
}

/// `kernel` with the keys of elements of `x`.
pub(super) fn with_keys(kernel: Kernel, keys: &Keys, x: Operand) -> Kernel {
    let sign = match keys.dtype {
        DType::F16 => 1 << 15,
        DType::U32 => 0,
        _ => 1 << 31,
    };
    kernel
        .source(wgsl!("index/sort/keys.wgsl"))
        .constant("FLOATS", keys.dtype.is_float())
        .constant("HALVES", keys.dtype == DType::F16)
        .constant("SIGN_BIT", sign)
        .constant("DESCENDING", keys.descending)
        // Elements are compared by their bits; a u32 word holds two f16.
        .read("x", x, DType::U32)
}

/// The bits of a digit, at most `most`, of keys of `bits`: no more than as many passes need, which takes fewer counts, and so few that a chunk
/// of `items` has no more counts than items, lest those of many short rows need more memory than the rows.
pub(super) fn digit_bits_of(most: u32, bits: u32, items: usize) -> u32 {
    let most = most.min(items.max(4).ilog2());
    let passes = bits.div_ceil(most).max(1);
    bits.div_ceil(passes).max(1)
}

/// Dispatches that sort, the scratch buffers they take, and what holds the outcome.
#[derive(Clone, Debug)]
pub(super) struct Sort {
    pub(super) dispatches: Vec<Dispatch>,
    pub(super) scratch: Vec<u64>,
    /// Of each item, in the order of keys, two u32: its key, and where it was in its row.
    pub(super) items: Operand,
}

/// Where a pass finds items, and where it puts them.
#[derive(Clone, Copy, Debug)]
struct Pass {
    digit_bits: u32,
    params: SortParams,
    from: Operand,
    is_first: bool,
    to: Operand,
    with_keys: bool,
}

/// Sorts `x: [rows, length]` within rows, equal keys in their old order. Where there is an `order`, it gets u32 positions alone; if not, the
/// items stay in scratch. Scratch buffers lie from number `first_scratch` on.
pub(super) fn sort(
    op: &'static str,
    (x, keys): (Operand, Keys),
    [rows, length]: [usize; 2],
    order: Option<Operand>,
    first_scratch: usize,
    caps: &Caps,
) -> Result<Sort> {
    let chunk = chunk_length(rows, length, caps);
    let digit_bits = digit_bits_of(digit_bits(caps), keys.bits(), chunk.min(length));
    let passes = keys.bits().div_ceil(digit_bits).max(1);
    let counted = (rows * length.div_ceil(chunk)) << digit_bits;
    to_u32(op, "elements", counted)?;
    let scratch = |i| Operand::Scratch(first_scratch + i);
    let (items, counts, starts) = ([scratch(0), scratch(1)], scratch(2), scratch(3));
    let scan =
        Scan { dtype: DType::U32, extents: [1, counted, 1], exclusive: true, reverse: false, segments: None };
    let (scan, scan_scratch) = scan.dispatches(op, (counts, starts), first_scratch + 4, caps)?;
    let mut params = SortParams {
        length: to_u32(op, "length", length)?,
        chunk: to_u32(op, "chunk", chunk)?,
        chunks: to_u32(op, "chunks", length.div_ceil(chunk))?,
        shift: 0,
        most: keys.most,
    };
    let chunks = to_u32(op, "chunks", rows * params.chunks as usize)?;
    let (mut dispatches, mut from) = (Vec::new(), x);
    for number in 0..passes {
        params.shift = number * digit_bits;
        let last = number + 1 == passes;
        let to = order.filter(|_| last).unwrap_or(items[number as usize % 2]);
        let pass =
            Pass { digit_bits, params, from, is_first: number == 0, to, with_keys: !last || order.is_none() };
        dispatches.push(pass.count(&keys, counts).per_element(chunks, caps));
        dispatches.extend(scan.iter().cloned());
        dispatches.push(pass.scatter(&keys, starts).per_element(chunks, caps));
        from = to;
    }
    let bytes = |elements: usize| (elements as u64 * 4).max(16);
    // The last pass has its own place where there is an order.
    let between = passes - u32::from(order.is_some());
    let items = |wanted: bool| if wanted { 2 * rows * length } else { 0 };
    let sizes = [items(between > 0), items(between > 1), counted, counted].map(bytes);
    Ok(Sort { dispatches, scratch: sizes.into_iter().chain(scan_scratch).collect(), items: from })
}

impl Pass {
    /// A kernel that walks over the items of a chunk.
    fn kernel(&self, label: &'static str, source: crate::kernel::Source, keys: &Keys) -> Kernel {
        let kernel = Kernel::new(label, [source, wgsl!("index/sort/digits.wgsl")])
            .constant("DIGIT_BITS", self.digit_bits)
            .params(self.params)
            .turns(u64::from(self.params.chunk) + (2 << self.digit_bits));
        if !self.is_first {
            return kernel.source(wgsl!("index/sort/items.wgsl")).read("items", self.from, DType::U32);
        }
        with_keys(kernel, keys, self.from)
    }

    fn count(&self, keys: &Keys, counts: Operand) -> Kernel {
        self.kernel("sort, counts", wgsl!("index/sort/count.wgsl"), keys).write("counts", counts, DType::U32)
    }

    fn scatter(&self, keys: &Keys, starts: Operand) -> Kernel {
        self.kernel("sort, scatter", wgsl!("index/sort/scatter.wgsl"), keys)
            .constant("WITH_KEYS", self.with_keys)
            .read("starts", starts, DType::U32)
            .write("sorted", self.to, DType::U32)
    }
}
