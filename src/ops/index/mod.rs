//! Ops on positions: running sums, sorting, rows by index.
//!
//! Nothing here uses atomics, and every sum is made in a fixed order: the same inputs give the same bits, run after run. Positions count from
//! 0 within their row or axis.

pub(in crate::ops) mod cumulative_sum;
pub(in crate::ops) mod even_segments;
pub(in crate::ops) mod gather_rows;
pub(in crate::ops) mod inverse_lists;
pub(in crate::ops) mod one_hot;
mod radix;
pub(in crate::ops) mod rotation_buckets;
mod scan;
pub(in crate::ops) mod scatter_add_rows;
pub(in crate::ops) mod sort;
pub(in crate::ops) mod top_k;
pub(in crate::ops) mod write_rows;

pub use cumulative_sum::{CumulativeSum, cumulative_sum};
pub use even_segments::even_segments;
pub(super) use even_segments::part_of;
pub use gather_rows::{gather_rows, gather_rows_summed};
pub use inverse_lists::{InverseLists, inverse_lists};
pub use one_hot::one_hot;
pub use rotation_buckets::rotation_buckets;
pub use scatter_add_rows::scatter_add_rows;
pub(super) use scatter_add_rows::scatter_add_scaled_rows;
pub use sort::{Order, Sorted, argsort, sort};
pub(super) use top_k::positions_of_largest;
pub use top_k::top_k;
pub use write_rows::{read_rows, write_rows};
