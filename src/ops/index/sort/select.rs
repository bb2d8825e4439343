//! Which elements of rows are the largest, without their order: their last key is found digit by digit from the highest on (radix select), and
//! then those up to it are taken. Rows are read once for each digit and never moved, where a sort moves them.

use super::super::radix::{self, Keys};
use super::super::scan::chunk_length;
use super::{Order, kept_dims, order_of, rows_of};
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Dispatch, Kernel, Lowered, Operand, Source, params, wgsl};
use crate::ops::contract::{Contract, to_u32};
use crate::tensor::{Array, DType, Real, TensorDesc};

/// Counts of a row, which one invocation goes through: a quarter of the loop turns that it may take on the strictest driver.
const MOST_COUNTS: usize = 1 << 14;

/// Bits of a digit, at most, for rows of so many chunks: [`radix`] tells why devices differ. Few digits are worth more than short counts, as rows are
/// not moved between them.
fn most_digit_bits(chunks: usize, caps: &Caps) -> u32 {
    let most = if caps.tuning.row_lanes <= 8 { 8 } else { 4 };
    most.min((MOST_COUNTS / chunks.max(1)).max(2).ilog2())
}

params! {
    struct SelectParams {
        length: u32,
        chunk: u32,
        /// Chunks of a row.
        chunks: u32,
        /// How far right the pass's digit lies.
        shift: u32,
        /// Keys from here on count as this one.
        most: u32,
        /// Items of a row that are taken.
        kept: u32,
    }
}

#[derive(Clone, Copy, Debug)]
struct SelectRows {
    /// The op that it is a step of.
    name: &'static str,
    kept: usize,
    /// Of floats, which may be other ones where they are computed anew.
    of_floats: bool,
}

/// The positions of the `kept` largest elements of each row of `x: [.., length]`, of any type, in ascending order: u32 `[.., kept]`. Which are
/// the largest is told as in [`sort`](super::sort()).
pub(in crate::ops::index) fn select_rows(
    graph: &mut Graph,
    name: &'static str,
    x: Value,
    kept: usize,
) -> Result<Value> {
    let of_floats = graph.desc(x)?.dtype.is_float();
    graph.push_builtin_one(SelectRows { name, kept, of_floats }, &[x])
}

/// Where what is found lies: of each row two u32, the digits of the last key that is taken, and how many items with these are; the counts of
/// a digit; and of each chunk, how many items lie before the last key and how many have it.
const FOUND: Operand = Operand::Scratch(0);
const COUNTS: Operand = Operand::Scratch(1);
const OF_CHUNKS: Operand = Operand::Scratch(2);

/// One pass over the items of all rows.
#[derive(Clone, Copy)]
struct Pass {
    keys: Keys,
    digit_bits: u32,
    params: SelectParams,
    is_first: bool,
}

impl Pass {
    fn kernel(&self, label: &'static str, source: Source) -> Kernel {
        Kernel::new(label, [source, wgsl!("index/sort/digits.wgsl")])
            .constant("DIGIT_BITS", self.digit_bits)
            .constant("IS_FIRST", self.is_first)
            .params(self.params)
            .turns(u64::from(self.params.chunk + self.params.chunks) + (2 << self.digit_bits))
    }

    /// A kernel that walks over the items of a chunk.
    fn of_items(&self, label: &'static str, source: Source) -> Kernel {
        radix::with_keys(self.kernel(label, source), &self.keys, Operand::Input(0)).read(
            "found",
            FOUND,
            DType::U32,
        )
    }

    fn count(&self) -> Kernel {
        self.of_items("select, counts", wgsl!("index/top_k/count.wgsl")).write("counts", COUNTS, DType::U32)
    }

    fn digit(&self) -> Kernel {
        let chunks = u64::from(self.params.chunks);
        self.kernel("select, digit", wgsl!("index/top_k/digit.wgsl"))
            .read("counts", COUNTS, DType::U32)
            .update("found", FOUND, DType::U32)
            .turns((chunks + 2) << self.digit_bits)
    }
}

impl Op for SelectRows {
    fn name(&self) -> &'static str {
        self.name
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(self.name);
        contract.count(inputs, &["x"])?;
        Ok(vec![TensorDesc::u32(kept_dims(&contract, &inputs[0], self.kept)?)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let x = inputs[0];
        let mut dims = x.dims().to_vec();
        let mut positions = Vec::new();
        for row in 0..dims.iter().rev().skip(1).product() {
            let mut largest = order_of(x, row, Order::Descending);
            largest.truncate(self.kept);
            largest.sort_unstable();
            positions.extend(largest.iter().map(|&position| position as i64));
        }
        if let Some(extent) = dims.last_mut() {
            *extent = self.kept;
        }
        vec![Array::index(dims, positions)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let x = &step.inputs[0];
        let [rows, length] = rows_of(x);
        let keys = Keys { dtype: x.dtype, descending: true, most: u32::MAX };
        let bits = keys.bits();
        let chunk = chunk_length(rows, length, caps);
        let most = most_digit_bits(length.div_ceil(chunk), caps);
        let digit_bits = radix::digit_bits_of(most, bits, chunk.min(length));
        let to_u32 = |what, number| to_u32(self.name, what, number);
        let params = SelectParams {
            length: to_u32("length", length)?,
            chunk: to_u32("chunk", chunk)?,
            chunks: to_u32("chunks", length.div_ceil(chunk))?,
            shift: 0,
            most: keys.most,
            kept: to_u32("k", self.kept)?,
        };
        let chunks = rows * params.chunks as usize;
        to_u32("elements", chunks << digit_bits)?;
        let (of_rows, of_chunks) = (to_u32("rows", rows)?, to_u32("chunks", chunks)?);
        let mut pass = Pass { keys, digit_bits, params, is_first: true };
        let mut dispatches: Vec<Dispatch> = Vec::new();
        for number in (0..bits.div_ceil(digit_bits)).rev() {
            pass.params.shift = number * digit_bits;
            dispatches.push(pass.count().per_element(of_chunks, caps));
            dispatches.push(pass.digit().per_element(of_rows, caps));
            pass.is_first = false;
        }
        let in_chunks = pass.of_items("select, chunks", wgsl!("index/top_k/chunks.wgsl")).write(
            "of_chunks",
            OF_CHUNKS,
            DType::U32,
        );
        let written = pass
            .of_items("select, positions", wgsl!("index/top_k/write.wgsl"))
            .read("of_chunks", OF_CHUNKS, DType::U32)
            .write("positions", Operand::Output(0), DType::U32);
        dispatches.extend([in_chunks, written].map(|kernel| kernel.per_element(of_chunks, caps)));
        let scratch = [2 * rows, chunks << digit_bits, 2 * chunks].map(|words| (4 * words as u64).max(16));
        let kernel = format!("radix select of {} keys", x.dtype);
        let reason = format!("{} of {length} in {rows} rows", self.kept);
        Ok(Lowered::streaming(kernel, reason, dispatches, scratch.to_vec()))
    }

    fn is_choice(&self) -> bool {
        self.of_floats
    }

    fn stops_gradients(&self) -> bool {
        true
    }
}
