//! Exact softmax attention, computed key tile by key tile (FlashAttention, arXiv 2205.14135; FlashAttention-2, 2307.08691).
//!
//! For query `i` over the keys `j` it may see:
//!
//! ```text
//! s_ij = scale * q_i . k_j              softcap c: s_ij = c tanh(s_ij / c)
//! L_i  = ln sum_j exp(s_ij)             out_i = sum_j exp(s_ij - L_i) v_j
//! ```
//!
//! The running maximum `m`, sum `l` and output are rescaled from tile to tile, so no row of scores is ever stored and memory
//! stays linear in length. A row that sees no key gives 0 and a log-sum-exp of [`super::EMPTY_ROW_LSE`].
//!
//! Sequences packed one behind another along time ([`Blocked::segments`]) cost the sum of their squared lengths, as each tile
//! of queries walks over the keys of its own sequences only (FlashAttention's variable-length interface takes offsets instead).

#[cfg(feature = "check")]
mod cases;
mod kernels;
mod reference;

use super::{Dims, Mask, check_lengths, check_segments};
use crate::graph::{Graph, Op, Problem, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

#[cfg(feature = "check")]
pub(crate) use cases::cases;

const NAME: &str = "attention/blocked";

/// Settings of [`blocked`]: which keys are seen, and what becomes of a score.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blocked {
    mask: Mask,
    scale: Option<f32>,
    softcap: Option<f32>,
    lengths: Option<Value>,
    segments: Option<Value>,
}

/// Where the optional inputs stand among a step's inputs, behind query, key and value.
#[derive(Clone, Copy, Debug)]
struct OptionalInputs {
    lengths: Option<usize>,
    segments: Option<usize>,
}

impl Blocked {
    /// Every key, scores scaled by `1 / sqrt(head_size)`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Which keys a query sees.
    #[must_use]
    pub fn mask(self, mask: Mask) -> Self {
        Self { mask, ..self }
    }

    /// The factor of `q . k`; `1 / sqrt(head_size)` when not set.
    #[must_use]
    pub fn scale(self, scale: f32) -> Self {
        Self { scale: Some(scale), ..self }
    }

    /// Bounds scores smoothly: `cap * tanh(score / cap)`, before the mask. From 1e-10 to 1e10.
    #[must_use]
    pub fn softcap(self, cap: f32) -> Self {
        Self { softcap: Some(cap), ..self }
    }

    /// How many keys each batch item really has: `i32 [batch]`. Keys from there on are not seen; counts below 0 mean 0, and
    /// counts above `key_time` mean all. The mask's alignment goes by `key_time`, not by these.
    #[must_use]
    pub fn lengths(self, lengths: Value) -> Self {
        Self { lengths: Some(lengths), ..self }
    }

    /// Packs sequences of different lengths one behind another along time: `i32 [batch, time]`, an id for each token. A query
    /// sees only keys with its own id, and of those the ones the mask shows; the time of queries and keys must be equal.
    ///
    /// Ids may be any numbers but never decrease along time. Positions that belong to no sequence take ids of their own
    /// behind all others; cheapest is a different one for each. Where ids decrease, a query sees itself and unspecified other
    /// keys of its batch item, as far as the mask shows them. Excludes [`Blocked::lengths`].
    #[must_use]
    pub fn segments(self, ids: Value) -> Self {
        Self { segments: Some(ids), ..self }
    }

    fn inputs(&self, query: Value, key: Value, value: Value) -> Vec<Value> {
        [query, key, value].into_iter().chain(self.lengths).chain(self.segments).collect()
    }

    /// The places that [`Blocked::inputs`] gives to what it chains.
    fn optional_inputs(&self) -> OptionalInputs {
        let first = 3;
        OptionalInputs {
            lengths: self.lengths.map(|_| first),
            segments: self.segments.map(|_| first + usize::from(self.lengths.is_some())),
        }
    }
}

/// Attention of `query: [batch, query_time, heads, head_size]` over `key: [batch, key_time, kv_heads, head_size]` and
/// `value: [batch, key_time, kv_heads, value_size]`, f32 or f16. The result is `[batch, query_time, heads, value_size]`.
///
/// `kv_heads` divides `heads`; head and value sizes are 1 to 256; either time may be 0. Scores, statistics and sums are f32
/// whatever the storage. Fails when shapes, types or settings do not fit.
pub fn blocked(graph: &mut Graph, query: Value, key: Value, value: Value, spec: &Blocked) -> Result<Value> {
    graph.push_single(BlockedAttention { spec: *spec, lse: false }, &spec.inputs(query, key, value))
}

/// [`blocked`], and the natural log-sum-exp of every row of scores: f32 `[batch, heads, query_time]`.
pub fn blocked_with_lse(
    graph: &mut Graph,
    query: Value,
    key: Value,
    value: Value,
    spec: &Blocked,
) -> Result<(Value, Value)> {
    let outputs = graph.push(BlockedAttention { spec: *spec, lse: true }, &spec.inputs(query, key, value))?;
    Ok((outputs[0], outputs[1]))
}

#[derive(Clone, Copy, Debug)]
struct BlockedAttention {
    spec: Blocked,
    lse: bool,
}

impl BlockedAttention {
    fn scale(&self, head_size: usize) -> f64 {
        self.spec.scale.map_or_else(|| 1.0 / (head_size as f64).sqrt(), f64::from)
    }
}

impl Op for BlockedAttention {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let refused = |argument, expected: &str, found: f32| {
            Err(Error::new(ErrorKind::Argument, NAME, argument).expecting(expected).but_found(found))
        };
        if let Some(scale) = self.spec.scale.filter(|scale| !scale.is_finite()) {
            return refused("scale", "a finite number", scale);
        }
        // Further out, a score over the cap or a capped score leaves f32.
        if let Some(cap) = self.spec.softcap.filter(|cap| !(1e-10..=1e10).contains(cap)) {
            return refused("softcap", "a number from 1e-10 to 1e10", cap);
        }
        let dims = Dims::bind(NAME, &inputs[0], &inputs[1], &inputs[2])?;
        let optional = self.spec.optional_inputs();
        if let (Some(_), Some(_)) = (optional.lengths, optional.segments) {
            return Err(Error::new(ErrorKind::Argument, NAME, "segments")
                .expecting("either segments or lengths")
                .but_found("both"));
        }
        if let Some(at) = optional.lengths {
            check_lengths(NAME, &inputs[at], &dims)?;
        }
        if let Some(at) = optional.segments {
            check_segments(NAME, &inputs[at], &dims)?;
        }
        let Dims { batch, query_time, heads, value_size, .. } = dims;
        let mut outputs = vec![TensorDesc::new(inputs[0].dtype, [batch, query_time, heads, value_size])];
        if self.lse {
            outputs.push(TensorDesc::f32([batch, heads, query_time]));
        }
        Ok(outputs)
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (out, lse) = reference::forward(inputs, self);
        if self.lse { vec![out, lse] } else { vec![out] }
    }

    fn lower(&self, problem: &Problem, caps: &Caps) -> Result<Lowered> {
        kernels::lower(self, problem, caps)
    }
}
