//! Memory-compressed attention: keys and values are shortened by a convolution whose stride is its kernel (Liu et al., arXiv 1801.10198,
//! section 4.2.4).
//!
//! ```text
//! k'_c = bias + sum_r W_r k_(c ratio + r - p)      out = softmax(scale q K'^T) V'
//! ```
//!
//! with one convolution for each head and `p` rows of zeros in front, so that the last slot ends with the last key. Under a causal rule a query sees
//! a slot only if it sees all keys of the slot: the first queries may see no slot and give 0, unless there is a null key.

use super::{Blocked, CustomMask, Dims, Mask, Score, blocked};
use crate::graph::{Graph, Value};
use crate::ops::contract::extents;
use crate::ops::{Matmul, add, broadcast, concat, matmul, pad, padding, reshape, transpose};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "attention/memory_compressed";

/// A convolution along time for each head: `weight: [kv_heads, out, in, ratio]`, `bias: [kv_heads, out]`.
#[derive(Clone, Copy, Debug)]
pub struct Compression {
    /// The kernel, PyTorch's `Conv1d` with heads as groups, by head.
    pub weight: Value,
    /// Added to every slot.
    pub bias: Value,
}

/// Where slots begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Slots {
    /// The last one ends with the last key, and the first has zeros in front: published code.
    #[default]
    ToEnd,
    /// The first one begins with the first key, so that neither padding nor a longer text moves them. What lengths need.
    FromStart,
}

/// Settings of [`memory_compressed`].
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryCompressed {
    is_causal: bool,
    scale: Option<f32>,
    slots: Slots,
    lengths: Option<Value>,
    null: Option<[Value; 2]>,
}

impl MemoryCompressed {
    /// Every query sees every slot; scores scaled by `1 / sqrt(head_size)`.
    pub fn new() -> Self {
        Self::default()
    }

    /// A query sees the slots that end with its own key or before.
    #[must_use]
    pub fn causal(self) -> Self {
        Self { is_causal: true, ..self }
    }

    /// The factor of `q . k`; `1 / sqrt(head_size)` when not set. The package `memory_compressed_attention` has `1 / sqrt(heads * head_size)`.
    #[must_use]
    pub fn scale(self, scale: f32) -> Self {
        Self { scale: Some(scale), ..self }
    }

    /// Where slots begin.
    #[must_use]
    pub fn slots(self, slots: Slots) -> Self {
        Self { slots, ..self }
    }

    /// How many keys each batch item really has: `i32 [batch]`. Keys from there on count as zeros, and slots without keys are hidden. Needs
    /// [`Slots::FromStart`].
    #[must_use]
    pub fn lengths(self, lengths: Value) -> Self {
        Self { lengths: Some(lengths), ..self }
    }

    /// A key `[kv_heads, head_size]` and a value `[kv_heads, value_size]` that every query sees, as the package has them.
    #[must_use]
    pub fn null(self, key: Value, value: Value) -> Self {
        Self { null: Some([key, value]), ..self }
    }
}

/// Memory-compressed attention of `query: [batch, query_time, heads, head_size]` over `key: [batch, key_time, kv_heads, head_size]` and `value:
/// [batch, key_time, kv_heads, value_size]`, f32 or f16: `[batch, query_time, heads, value_size]`.
///
/// `compressions` are those of keys, from `head_size` channels to as many, and of values; the two may be one, as in the package. Both have one
/// ratio. A causal rule needs as many queries as keys. Fails when shapes, types or settings do not fit.
pub fn memory_compressed(
    graph: &mut Graph,
    query: Value,
    key: Value,
    value: Value,
    compressions: [Compression; 2],
    spec: &MemoryCompressed,
) -> Result<Value> {
    let [q, k, v] = [query, key, value].map(|value| graph.desc(value).cloned());
    let dims = Dims::bind(NAME, [&q?, &k?, &v?], 1)?;
    spec.check(&dims)?;
    // Compressed keys meet queries, whose channels they keep; values may become of any size.
    let ratio_of_keys = ratio(graph, "key_compression", key, &compressions[0], Some(dims.head_size))?;
    let ratio_of_values = ratio(graph, "value_compression", value, &compressions[1], None)?;
    if ratio_of_keys != ratio_of_values {
        return Err(Error::new(ErrorKind::Shape, NAME, "value_compression")
            .expecting(format!("a ratio of {ratio_of_keys}, as that of keys"))
            .but_found(ratio_of_values));
    }
    let ratio = ratio_of_keys;
    let mut rows = padding::tokens_of(NAME, graph, [key, value], spec.lengths)?;
    let count = dims.key_time.div_ceil(ratio);
    let in_front = if spec.slots == Slots::ToEnd { count * ratio - dims.key_time } else { 0 };
    for (rows, compression) in rows.iter_mut().zip(compressions) {
        let padded = pad(graph, *rows, 1, in_front, count * ratio)?;
        *rows = compress(graph, padded, &compression)?;
    }
    if let Some(null) = spec.null {
        for ((rows, null), argument) in rows.iter_mut().zip(null).zip(["null_key", "null_value"]) {
            *rows = with_null(graph, *rows, null, argument)?;
        }
    }
    let attention = spec.attention(graph, &dims, [ratio, count, in_front])?;
    blocked(graph, query, rows[0], rows[1], &attention)
}

impl MemoryCompressed {
    fn check(&self, dims: &Dims) -> Result<()> {
        if self.is_causal && dims.query_time != dims.key_time {
            return Err(Error::new(ErrorKind::Shape, NAME, "query")
                .expecting(format!("{} positions, as many as keys, under a causal rule", dims.key_time))
                .but_found(dims.query_time));
        }
        if self.lengths.is_some() && self.slots == Slots::ToEnd {
            return Err(Error::new(ErrorKind::Argument, NAME, "slots")
                .expecting("FromStart, or no lengths: padding would move the slots")
                .but_found("ToEnd with lengths"));
        }
        Ok(())
    }

    /// Attention over `count` slots, behind the null key where there is one.
    fn attention(&self, graph: &mut Graph, dims: &Dims, slots: [usize; 3]) -> Result<Blocked> {
        let [ratio, count, in_front] = slots;
        let nulls = usize::from(self.null.is_some());
        let mut attention = Blocked::with(self.scale, None);
        if self.is_causal {
            attention = attention.mask(Mask::custom(ends_before(nulls, ratio, in_front)?));
        }
        if let Some(lengths) = self.lengths {
            let has_keys = padding::is_below(graph, lengths, count, ratio)?;
            let bias = padding::hiding_bias(graph, has_keys)?;
            let bias = pad(graph, bias, 1, nulls, nulls + count)?;
            let bias = reshape(graph, bias, [dims.batch, 1, 1, nulls + count])?;
            attention = attention.score(Score::bias(bias));
        }
        Ok(attention)
    }
}

/// Slots whose last key is no later than the query, and null keys, which stand before them.
fn ends_before(nulls: usize, ratio: usize, in_front: usize) -> Result<CustomMask> {
    let number = |count: usize| {
        i32::try_from(count).map_err(|_| {
            Error::new(ErrorKind::Limit, NAME, "ratio").expecting("at most 2^31 - 1").but_found(count)
        })
    };
    let (nulls, ratio, in_front) = (number(nulls)?, number(ratio)?, number(in_front)?);
    // The last key of the slot, in terms of its place among the keys that attention sees.
    let last = format!("(key + {}) * {ratio} - {}", 1 - nulls, in_front + 1);
    let wgsl = format!(
        "fn slot_ends_before(batch: u32, head: u32, query: i32, key: i32) -> bool {{
    return {last} <= query;
}}

fn slot_ends_before_tile(
    batch: u32, head: u32, first_query: i32, last_query: i32, first_key: i32, last_key: i32,
) -> vec2<bool> {{
    return vec2<bool>(
        slot_ends_before(batch, head, last_query, first_key),
        slot_ends_before(batch, head, first_query, last_key),
    );
}}
"
    );
    let sees = move |pair: super::Pair| {
        let last = (pair.key as i64 + i64::from(1 - nulls)) * i64::from(ratio) - i64::from(in_front) - 1;
        last <= pair.query as i64
    };
    CustomMask::new("slot_ends_before", wgsl, sees)?.with_tiles()
}

/// How many positions of `rows` make a slot, after checking the convolution, to `out` channels where that is asked for.
fn ratio(
    graph: &Graph,
    argument: &'static str,
    rows: Value,
    compression: &Compression,
    out: Option<usize>,
) -> Result<usize> {
    let (of_rows, weight) = (graph.desc(rows)?, graph.desc(compression.weight)?);
    let bias = graph.desc(compression.bias)?;
    for desc in [weight, bias] {
        if desc.dtype != of_rows.dtype {
            return Err(Error::new(ErrorKind::Dtype, NAME, argument)
                .expecting(of_rows.dtype)
                .but_found(desc.dtype));
        }
    }
    let [_, _, heads, size] = extents(NAME, argument, of_rows)?;
    match *weight.shape.dims() {
        [of, to, inner, ratio]
            if [of, inner] == [heads, size]
                && ratio > 0
                && out.is_none_or(|out| out == to)
                && bias.shape.dims() == [heads, to] =>
        {
            Ok(ratio)
        }
        _ => {
            let out = out.map_or_else(|| "out".to_owned(), |out| out.to_string());
            Err(Error::new(ErrorKind::Shape, NAME, argument)
                .expecting(format!("[{heads}, {out}, {size}, ratio], and a bias [{heads}, {out}]"))
                .but_found(format!("{} and {}", weight.shape, bias.shape)))
        }
    }
}

/// `[batch, slots, heads, out]` of `rows: [batch, slots * ratio, heads, in]`.
fn compress(graph: &mut Graph, rows: Value, compression: &Compression) -> Result<Value> {
    let [batch, time, heads, inner] = extents(NAME, "rows", graph.desc(rows)?)?;
    let [_, out, _, ratio] = extents(NAME, "weight", graph.desc(compression.weight)?)?;
    let count = time / ratio;
    let slots = reshape(graph, rows, [batch, count, ratio, heads, inner])?;
    let by_head = transpose(graph, slots, &[3, 0, 1, 2, 4])?;
    let by_head = reshape(graph, by_head, [heads, batch * count, ratio * inner])?;
    let weight = transpose(graph, compression.weight, &[0, 3, 2, 1])?;
    let weight = reshape(graph, weight, [heads, ratio * inner, out])?;
    let products = matmul(graph, by_head, weight, &Matmul::new())?;
    let bias = reshape(graph, compression.bias, [heads, 1, out])?;
    let slots = add(graph, products, bias)?;
    let slots = reshape(graph, slots, [heads, batch, count, out])?;
    transpose(graph, slots, &[1, 2, 0, 3])
}

/// `rows: [batch, slots, heads, size]` behind `null: [heads, size]`.
fn with_null(graph: &mut Graph, rows: Value, null: Value, argument: &'static str) -> Result<Value> {
    let [batch, _, heads, size] = extents(NAME, "rows", graph.desc(rows)?)?;
    let of_null = graph.desc(null)?;
    if of_null.shape.dims() != [heads, size] {
        return Err(Error::new(ErrorKind::Shape, NAME, argument)
            .expecting(format!("[{heads}, {size}]"))
            .but_found(&of_null.shape));
    }
    let null = broadcast(graph, null, [batch, 1, heads, size])?;
    concat(graph, &[null, rows], 1)
}
