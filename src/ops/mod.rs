//! What can be computed: one folder per op, each with its contract, its reference, its kernels and its cases.
//!
//! Every op is a function that appends one checked step to a [`Graph`](crate::Graph), and one row of [`CATALOGUE`].

pub mod attention;
mod constant;
pub(crate) mod contract;
mod conv;
#[cfg(test)]
mod differences;
mod dropout;
pub mod elementwise;
mod embedding;
mod entmax;
mod fill;
pub(crate) mod finite;
mod index;
pub mod layout;
mod linear;
pub mod loss;
mod matmul;
pub mod normalize;
pub mod optimizer;
pub(crate) mod padding;
mod parts;
mod philox;
mod pool;
mod reduce;
mod reshape;
mod rotary;
mod rows;
mod softmax;
mod stop_gradient;
mod upstream;

pub use constant::constant;
pub use conv::{Conv1d, Conv2d, conv1d, conv2d, dynamic_conv, group_linear};
pub use dropout::{Dropout, dropout};
pub use elementwise::*;
pub use embedding::embedding;
pub use entmax::{entmax15, sparsemax};
pub use fill::fill;
pub use finite::{FINITE_PART, finite};
pub use index::{
    CumulativeSum, InverseLists, Order, Sorted, argsort, cumulative_sum, even_segments, gather_rows,
    gather_rows_summed, inverse_lists, one_hot, read_rows, rotation_buckets, scatter_add_rows, sort, top_k,
    write_rows,
};
pub use layout::{broadcast, concat, flip, pad, repeat, repeat_each, roll, slice, split, transpose};
pub use linear::{Linear, linear};
pub use loss::{CrossEntropy, cross_entropy, cross_entropy_with_lse, kl_divergence, mean_squared_error};
pub use matmul::{Heads, Matmul, matmul};
pub use normalize::{
    LayerNorm, RmsNorm, l2_normalize, layer_norm, layer_norm_with_sum, rms_norm, rms_norm_with_sum,
};
pub use pool::{Pool, Windows, pool, pool_windows};
pub use reduce::{argmax, argmin, max, mean, min, sum};
pub use reshape::reshape;
pub use rotary::{Pairing, Rotary, rotary};
pub use softmax::{log_softmax, softmax};
pub use stop_gradient::stop_gradient;

crate::public_if_unstable! {
    contract::Contract,
}

#[cfg(feature = "check")]
use crate::check::{Bench, Case};

/// One row of the table of ops.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// The op's name; also its folder under `src/ops`, `shaders`, and its module in the tests.
    pub name: &'static str,
    /// What it computes, in one line.
    pub summary: &'static str,
    /// Its conformance cases.
    #[cfg(feature = "check")]
    pub cases: fn() -> Vec<Case>,
    /// The rows that are timed; none for an op that runs nothing on a device.
    #[cfg(feature = "check")]
    pub benches: fn() -> Vec<Bench>,
}

/// The row of the op in module `$op`, whose `cases` and `benches` are in that module. A `view` runs nothing on a device, and has no benches.
macro_rules! entry {
    (view $name:literal, $summary:literal, $($op:ident)::+) => {
        $crate::ops::entry!(@row $name, $summary, $($op)::+::cases, Vec::new)
    };
    ($name:literal, $summary:literal, $($op:ident)::+) => {
        $crate::ops::entry!(@row $name, $summary, $($op)::+::cases, $($op)::+::benches)
    };
    (@row $name:literal, $summary:literal, $cases:path, $benches:path) => {
        $crate::ops::Entry {
            name: $name,
            summary: $summary,
            #[cfg(feature = "check")]
            cases: $cases,
            #[cfg(feature = "check")]
            benches: $benches,
        }
    };
}

use entry;

/// Every op.
pub const CATALOGUE: &[Entry] = &joined::<{ count(FAMILIES) }>(FAMILIES);

const FAMILIES: &[&[Entry]] = &[
    elementwise::ENTRIES[0],
    elementwise::ENTRIES[1],
    elementwise::ENTRIES[2],
    elementwise::ENTRIES[3],
    reduce::ENTRIES,
    OTHERS,
];

const OTHERS: &[Entry] = &[
    entry!("attention/blocked", "exact softmax attention, memory linear in length", attention::blocked),
    entry!(
        "attention/indexed",
        "softmax attention over chunks of an order, whose rows are read where they lie",
        attention::indexed
    ),
    entry!(
        "attention/linear",
        "products of features in place of softmax, time linear in length",
        attention::linear
    ),
    entry!("attention/over", "softmax attention of each query over keys at given positions", attention::over),
    entry!(view "constant", "data of the graph's own", constant),
    entry!("conv/dense", "convolutions of the channels of a group, along time or in planes", conv::dense),
    entry!("conv/depthwise", "convolutions of single channels, along time or in planes", conv::depthwise),
    entry!(
        "conv/dynamic",
        "convolutions with per-position kernels, shared by the channels of a head",
        conv::dynamic
    ),
    entry!("dropout", "elements at random, the others 0", dropout),
    entry!("embedding", "rows of tables by id, summed", embedding),
    entry!("entmax15", "1.5-entmax along the last axis", entmax::one_and_a_half),
    entry!("fill", "one number everywhere", fill),
    entry!("finite", "where numbers are that are not finite", finite),
    entry!("index/cumulative_sum", "running sums along an axis, whole or by segments", index::cumulative_sum),
    entry!("index/even_segments", "which of nearly equal parts each position lies in", index::even_segments),
    entry!("index/gather_rows", "rows by index, and sums of several", index::gather_rows),
    entry!("index/inverse_lists", "where each id occurs, by id", index::inverse_lists),
    entry!("index/one_hot", "ids as rows with a single 1", index::one_hot),
    entry!("index/read_rows", "rows from positions on the device", index::write_rows::read_rows),
    entry!("index/rotation_buckets", "buckets of rotated rows, by angle", index::rotation_buckets),
    entry!("index/scatter_add_rows", "sums of rows by index", index::scatter_add_rows),
    entry!("index/sort", "rows in order, and the positions of their elements", index::sort),
    entry!("index/top_k", "the largest elements of rows, and their positions", index::top_k),
    entry!("index/write_rows", "rows to positions on the device, in place", index::write_rows),
    entry!("layout/broadcast", "a value repeated along axes", layout::broadcast),
    entry!("layout/concat", "values one after the other along an axis", layout::concat),
    entry!("layout/flip", "reverse order along axes", layout::flip),
    entry!("layout/pad", "zeros around a value along an axis", layout::pad),
    entry!("layout/repeat", "a value, or each element, several times along an axis", layout::repeat),
    entry!("layout/roll", "elements moved along an axis, around its end", layout::roll),
    entry!("layout/slice", "a range of one axis", layout::slice),
    entry!("layout/transpose", "axes in another order", layout::transpose),
    entry!("linear", "x W^T with bias, activation or gate, and residual", linear),
    entry!("log_softmax", "logarithm of softmax along the last axis", softmax::logarithm),
    entry!("loss/cross_entropy", "mean of -ln softmax(logits)[target]", loss::cross_entropy),
    entry!("loss/ctc", "minus the logarithm of the probability of targets under all alignments", loss::ctc),
    entry!("loss/kl_divergence", "mean over rows of sum p (ln p - ln q)", loss::pair::kl_divergence),
    entry!("loss/mean_squared_error", "mean of (a - b)^2", loss::pair::mean_squared_error),
    entry!("matmul", "batched matrix product, either operand transposed", matmul),
    entry!("normalize/l2_normalize", "rows of length 1", normalize::l2_normalize),
    entry!("normalize/layer_norm", "rows of mean 0 and variance 1", normalize::norm::layer_norm),
    entry!("normalize/rms_norm", "rows of mean square 1", normalize::norm::rms_norm),
    entry!("optimizer/accumulate", "total + gradient, in place", optimizer::accumulate),
    entry!("optimizer/adamw", "a step of AdamW, in place", optimizer::adamw),
    entry!(
        "optimizer/global_norm",
        "the norm of all gradients, and the factor that bounds it",
        optimizer::global_norm
    ),
    entry!("optimizer/sgd", "a step of gradient descent with momentum, in place", optimizer::sgd),
    entry!("pool", "mean, maximum or first along time, whole or by segment", pool),
    entry!("pool/windows", "mean or maximum along time of windows that may overlap", pool::windows),
    entry!(view "reshape", "the same elements under another shape", reshape),
    entry!("rotary", "pairs of channels turned by their position", rotary),
    entry!("softmax", "softmax along the last axis", softmax::plain),
    entry!("sparsemax", "sparsemax along the last axis", entmax::sparse),
    entry!(view "stop_gradient", "the same values, through which no gradient passes", stop_gradient),
];

const fn count(families: &[&[Entry]]) -> usize {
    let (mut total, mut i) = (0, 0);
    while i < families.len() {
        total += families[i].len();
        i += 1;
    }
    total
}

/// The rows of all families, one behind the other.
const fn joined<const N: usize>(families: &[&[Entry]]) -> [Entry; N] {
    let mut all = [families[0][0]; N];
    let (mut place, mut family) = (0, 0);
    while family < families.len() {
        let mut row = 0;
        while row < families[family].len() {
            all[place] = families[family][row];
            place += 1;
            row += 1;
        }
        family += 1;
    }
    all
}

/// Every conformance case of every op, in the order of the table.
#[cfg(feature = "check")]
pub fn all_cases() -> Vec<Case> {
    CATALOGUE.iter().flat_map(|entry| (entry.cases)()).collect()
}
