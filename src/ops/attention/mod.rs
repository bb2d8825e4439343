//! Attention: shared vocabulary, and the variants.
//!
//! Values are `[batch, time, head, channel]`, the order a linear layer produces. Query heads share key heads in consecutive
//! groups (`heads = kv_heads * group`; one key head is multi-query attention).
//!
//! | variant | what it computes | source |
//! |---|---|---|
//! | [`blocked()`] | exact softmax attention, key tile by key tile, memory linear in length | FlashAttention, arXiv 2205.14135 and 2307.08691 |
//! | [`blocked_backward()`] | its gradients from the log-sum-exp, without atomics | the same |

pub(crate) mod blocked;
pub(crate) mod blocked_backward;

pub use blocked::{Blocked, blocked, blocked_with_lse};
pub use blocked_backward::{Attended, blocked_backward};

use super::contract::Contract;
use crate::tensor::{DType, TensorDesc};
use crate::{Error, ErrorKind, Result};

/// The largest head and value size.
pub const MAX_HEAD_SIZE: usize = 256;

/// The log-sum-exp of a row that sees no key: finite, because WGSL may assume that infinities do not occur.
pub const EMPTY_ROW_LSE: f32 = -1e30;

/// Which key stands opposite a query when there are more of the one than of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Alignment {
    /// The last query stands opposite the last key: query `i` at key `i + key_time - query_time`. What decoding with a
    /// cache needs, and what flash-attn does since 2.1.
    #[default]
    BottomRight,
    /// The first query stands opposite the first key: query `i` at key `i`. PyTorch's `is_causal`.
    TopLeft,
}

/// Which keys a query may see, by their distance from the key that stands opposite it. Both bounds are inclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mask {
    /// How many keys before it; all when absent.
    pub left: Option<u32>,
    /// How many keys after it; all when absent.
    pub right: Option<u32>,
    /// Which key stands opposite a query.
    pub alignment: Alignment,
}

impl Mask {
    /// Every key.
    pub fn full() -> Self {
        Self::default()
    }

    /// The key opposite the query and all before it.
    pub fn causal() -> Self {
        Self { right: Some(0), ..Self::default() }
    }

    /// From `left` keys before the one opposite the query to `right` keys after it.
    pub fn window(left: u32, right: u32) -> Self {
        Self { left: Some(left), right: Some(right), ..Self::default() }
    }

    /// The same mask under another alignment.
    #[must_use]
    pub fn aligned(self, alignment: Alignment) -> Self {
        Self { alignment, ..self }
    }

    /// Whether it hides any key.
    pub(crate) fn is_band(self) -> bool {
        self.left.is_some() || self.right.is_some()
    }

    /// The key opposite query 0; negative when it lies before the first key.
    pub(crate) fn shift(self, query_time: usize, key_time: usize) -> i64 {
        match self.alignment {
            Alignment::BottomRight => key_time as i64 - query_time as i64,
            Alignment::TopLeft => 0,
        }
    }
}

/// Extents of one attention problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dims {
    pub(crate) batch: usize,
    pub(crate) query_time: usize,
    pub(crate) key_time: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_size: usize,
    pub(crate) value_size: usize,
}

impl Dims {
    /// The extents of `query: [batch, query_time, heads, head_size]`, `key: [batch, key_time, kv_heads, head_size]`,
    /// `value: [batch, key_time, kv_heads, value_size]`, or what does not fit together.
    pub(crate) fn bind(
        op: &'static str,
        query: &TensorDesc,
        key: &TensorDesc,
        value: &TensorDesc,
    ) -> Result<Self> {
        let mut contract = Contract::new(op).may_be_empty(&["query_time", "key_time"]);
        contract.float("query", query)?;
        contract.dtype("key", key, query.dtype)?;
        contract.dtype("value", value, query.dtype)?;
        contract.bind("query", query, &["batch", "query_time", "heads", "head_size"])?;
        contract.bind("key", key, &["batch", "key_time", "kv_heads", "head_size"])?;
        contract.bind("value", value, &["batch", "key_time", "kv_heads", "value_size"])?;
        let dims = Self::of(query, key, value);
        if !dims.heads.is_multiple_of(dims.kv_heads) {
            return Err(contract
                .shape_error("key")
                .expecting(format!("axis 2 (kv_heads) to divide the {} heads of query", dims.heads))
                .but_found(dims.kv_heads));
        }
        for (argument, axis, size) in
            [("query", "head_size", dims.head_size), ("value", "value_size", dims.value_size)]
        {
            if size > MAX_HEAD_SIZE {
                return Err(Error::new(ErrorKind::Limit, op, argument)
                    .expecting(format!("{axis} of at most {MAX_HEAD_SIZE}"))
                    .but_found(size));
            }
        }
        Ok(dims)
    }

    /// The extents of values that have passed [`Dims::bind`].
    pub(crate) fn of(query: &TensorDesc, key: &TensorDesc, value: &TensorDesc) -> Self {
        Self::from_dims(query.shape.dims(), key.shape.dims(), value.shape.dims())
    }

    pub(crate) fn from_dims(query: &[usize], key: &[usize], value: &[usize]) -> Self {
        Self {
            batch: query[0],
            query_time: query[1],
            key_time: key[1],
            heads: query[2],
            kv_heads: key[2],
            head_size: query[3],
            value_size: value[3],
        }
    }

    /// Query heads that share one key head.
    pub(crate) fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}

/// Refuses `lengths` that are not `i32 [batch]`.
pub(crate) fn check_lengths(op: &'static str, lengths: &TensorDesc, dims: &Dims) -> Result<()> {
    check_integers(op, "lengths", lengths, &[dims.batch], "one count of keys a batch item")
}

/// Refuses `segments` that are not `i32 [batch, time]`, and queries and keys that are not the same tokens.
pub(crate) fn check_segments(op: &'static str, segments: &TensorDesc, dims: &Dims) -> Result<()> {
    if dims.key_time != dims.query_time {
        return Err(Error::new(ErrorKind::Shape, op, "key")
            .expecting(format!("axis 1 (key_time) = {} as in query, which segments demand", dims.query_time))
            .but_found(dims.key_time));
    }
    check_integers(op, "segments", segments, &[dims.batch, dims.query_time], "one id a token")
}

fn check_integers(
    op: &'static str,
    argument: &'static str,
    found: &TensorDesc,
    shape: &[usize],
    meaning: &str,
) -> Result<()> {
    let wanted = TensorDesc::new(DType::I32, shape);
    if *found == wanted {
        return Ok(());
    }
    let kind = if found.dtype == DType::I32 { ErrorKind::Shape } else { ErrorKind::Dtype };
    Err(Error::new(kind, op, argument).expecting(format!("{wanted}, {meaning}")).but_found(found))
}
