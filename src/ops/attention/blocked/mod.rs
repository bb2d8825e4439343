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
pub(super) mod cases;
mod kernels;
pub(super) mod reference;
pub(super) mod walk;

use super::{Attended, Dims, Mask, blocked_backward, check_lengths, check_segments};
use crate::graph::{Adjoint, Gradient, Graph, Op, Problem, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::fill;
use crate::tensor::{Array, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

#[cfg(feature = "check")]
pub(crate) use cases::cases;

const NAME: &str = "attention/blocked";

/// Settings of [`blocked`]: which keys are seen, and what becomes of a score.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blocked {
    pub(super) mask: Mask,
    pub(super) scale: Option<f32>,
    pub(super) softcap: Option<f32>,
    pub(super) lengths: Option<Value>,
    pub(super) segments: Option<Value>,
}

/// Where the optional inputs stand among a step's inputs, behind all others.
#[derive(Clone, Copy, Debug)]
pub(super) struct OptionalInputs {
    pub(super) lengths: Option<usize>,
    pub(super) segments: Option<usize>,
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

    /// What a step reads: `required`, and behind them what the settings hold.
    pub(super) fn inputs(&self, required: &[Value]) -> Vec<Value> {
        required.iter().copied().chain(self.lengths).chain(self.segments).collect()
    }

    /// The places that [`Blocked::inputs`] gives to what it chains behind `required` inputs.
    pub(super) fn optional_inputs(&self, required: usize) -> OptionalInputs {
        OptionalInputs {
            lengths: self.lengths.map(|_| required),
            segments: self.segments.map(|_| required + usize::from(self.lengths.is_some())),
        }
    }

    /// The same settings for a step that reads `inputs`: a replay may read other lengths or segments than were recorded.
    fn reading(&self, inputs: &[Value]) -> Self {
        let OptionalInputs { lengths, segments } = self.optional_inputs(REQUIRED);
        let input = |place: Option<usize>| place.map(|place| inputs[place]);
        Self { lengths: input(lengths), segments: input(segments), ..*self }
    }

    pub(super) fn scale_of(&self, head_size: usize) -> f64 {
        self.scale.map_or_else(|| 1.0 / (head_size as f64).sqrt(), f64::from)
    }

    /// The extents of a step of `op` that starts with query, key and value and has `required` inputs before those of the
    /// settings, or what does not fit together.
    pub(super) fn check(&self, op: &'static str, inputs: &[TensorDesc], required: usize) -> Result<Dims> {
        let refused = |argument, expected: &str, found: f32| {
            Err(Error::new(ErrorKind::Argument, op, argument).expecting(expected).but_found(found))
        };
        if let Some(scale) = self.scale.filter(|scale| !scale.is_finite()) {
            return refused("scale", "a finite number", scale);
        }
        // Further out, a score over the cap or a capped score leaves f32.
        if let Some(cap) = self.softcap.filter(|cap| !(1e-10..=1e10).contains(cap)) {
            return refused("softcap", "a number from 1e-10 to 1e10", cap);
        }
        let dims = Dims::bind(op, &inputs[0], &inputs[1], &inputs[2])?;
        let optional = self.optional_inputs(required);
        if let (Some(_), Some(_)) = (optional.lengths, optional.segments) {
            return Err(Error::new(ErrorKind::Argument, op, "segments")
                .expecting("either segments or lengths")
                .but_found("both"));
        }
        if let Some(at) = optional.lengths {
            check_lengths(op, &inputs[at], &dims)?;
        }
        if let Some(at) = optional.segments {
            check_segments(op, &inputs[at], &dims)?;
        }
        Ok(dims)
    }
}

/// What [`blocked`] reads before the inputs of its settings: query, key, value.
const REQUIRED: usize = 3;

/// Attention of `query: [batch, query_time, heads, head_size]` over `key: [batch, key_time, kv_heads, head_size]` and
/// `value: [batch, key_time, kv_heads, value_size]`, f32 or f16. The result is `[batch, query_time, heads, value_size]`.
///
/// `kv_heads` divides `heads`; head and value sizes are 1 to 256; either time may be 0. Scores, statistics and sums are f32
/// whatever the storage. Fails when shapes, types or settings do not fit.
pub fn blocked(graph: &mut Graph, query: Value, key: Value, value: Value, spec: &Blocked) -> Result<Value> {
    Ok(blocked_with_lse(graph, query, key, value, spec)?.0)
}

/// [`blocked`], and the natural log-sum-exp of every row of scores: f32 `[batch, heads, query_time]`.
pub fn blocked_with_lse(
    graph: &mut Graph,
    query: Value,
    key: Value,
    value: Value,
    spec: &Blocked,
) -> Result<(Value, Value)> {
    let outputs = graph.push(BlockedAttention { spec: *spec }, &spec.inputs(&[query, key, value]))?;
    Ok((outputs[0], outputs[1]))
}

#[derive(Clone, Copy, Debug)]
struct BlockedAttention {
    spec: Blocked,
}

impl Op for BlockedAttention {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let Dims { batch, query_time, heads, value_size, .. } = self.spec.check(NAME, inputs, REQUIRED)?;
        Ok(vec![
            TensorDesc::new(inputs[0].dtype, [batch, query_time, heads, value_size]),
            TensorDesc::f32([batch, heads, query_time]),
        ])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        reference::forward(inputs, &self.spec)
    }

    fn lower(&self, problem: &Problem, caps: &Caps) -> Result<Lowered> {
        kernels::lower(&self.spec, problem, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let [query, key, value] = [0, 1, 2].map(|input| adjoint.inputs()[input]);
        let [out, lse] = [0, 1].map(|output| adjoint.outputs()[output]);
        let d_out = match adjoint.upstream(0) {
            Some(d_out) => d_out,
            // Only the log-sum-exp was used.
            None => {
                let desc = graph.desc(out)?.clone();
                fill(graph, desc, 0.0)?
            }
        };
        let attended = Attended { out, lse, d_out, d_lse: adjoint.upstream(1) };
        let spec = self.spec.reading(adjoint.inputs());
        let gradients = blocked_backward(graph, query, key, value, &attended, &spec)?;
        let mut all = vec![Gradient::None; adjoint.inputs().len()];
        for (input, gradient) in gradients.into_iter().enumerate() {
            if adjoint.wants(input) {
                all[input] = Gradient::Whole(gradient);
            }
        }
        Ok(all)
    }
}
