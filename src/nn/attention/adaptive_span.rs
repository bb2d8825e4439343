//! Attention with learned spans (Sukhbaatar et al., arXiv 1905.07799).

use super::heads::head_size;
use super::memory::with_memory;
use super::{Mixer, OP, SelfAttention, check_one_sequence_a_row};
use crate::graph::{Graph, Value};
use crate::nn::{Layout, Recorder, parameter};
use crate::ops::attention::{Blocked, Mask, Score, blocked};
use crate::ops::{add, broadcast, fill, pad, relu, reshape, scale, subtract, sum};
use crate::tensor::{DType, TensorDesc};
use crate::weights::{Scope, Weight};
use crate::{Error, ErrorKind, Result};

/// How far spans reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveSpan {
    /// The farthest distance that any head may see: the paper's `S`, the code's `attn_span`.
    pub max_span: u32,
    /// Distances over which a key's weight falls from all to nothing: the paper's `R`. The authors take 32.
    pub ramp: f32,
}

impl Default for AdaptiveSpan {
    fn default() -> Self {
        Self { max_span: 1024, ramp: 32.0 }
    }
}

/// Causal attention in which each head learns how far back it looks, as in the authors' code
/// (<https://github.com/facebookresearch/adaptive-span>, `adaptive_span.py` and `models.py`).
///
/// A query sees the `max_span` keys before it, not its own. The weight of the key at distance `d` is multiplied by `clamp((ramp + span -
/// (d - 1)) / ramp, 0, 1)` before weights are normalised: the code counts from the key before the query on. Keys beyond `span + ramp`
/// are not visited. Where no key is seen, as at the first position without memory, the row is 0. The code adds 1e-8 to the sum of
/// weights, this does not; it fills an empty memory with zeros, whose keys take part, which here the caller may do.
#[derive(Clone, Debug)]
pub struct AdaptiveSpanAttention {
    /// The projections, without biases.
    pub attention: SelfAttention,
    /// `[heads, 1, 1]`: each head's span as a share of the largest, the paper's `z / S`. From 0 to 1, see
    /// [`AdaptiveSpanAttention::clamped`].
    pub shares: Weight,
    /// How far spans reach.
    pub spec: AdaptiveSpan,
}

impl AdaptiveSpanAttention {
    /// Declares the weights under `scope`, by the names of the authors' `MultiHeadSeqAttention`.
    ///
    /// Fails when the heads do not divide the width, and when `max_span` is 0.
    pub fn declare(scope: &mut Scope<'_>, width: usize, heads: usize, spec: AdaptiveSpan) -> Result<Self> {
        if spec.max_span == 0 {
            return Err(Error::new(ErrorKind::Argument, OP, "max_span").expecting("at least 1").but_found(0));
        }
        let names = ["proj_query", "proj_key", "proj_val", "proj_out"];
        let attention = SelfAttention::declare_without_bias(scope, names, [width, width], heads)?;
        let shares = scope.at("attn.adaptive_span._mask").weight("current_val", [heads, 1, 1])?;
        Ok(Self { attention, shares, spec })
    }

    /// Causal attention of `x: [batch, time, width]` over itself and over `memory: [batch, memory_time, width]`, which lies before `x`
    /// ([`next_memory`](super::next_memory)): `[batch, time, width]`.
    ///
    /// `positions: [max_span, head_size]` are keys of relative positions that all heads share, row `i` for distance `i + 1`: the code's
    /// `key_pe`, transposed and its columns in reverse. Spans stay f32 whatever `x` is. Fails when memory or positions do not fit, and as
    /// [`blocked`] does.
    pub fn record(
        &self,
        graph: &mut Graph,
        x: Value,
        memory: Option<Value>,
        positions: Option<Value>,
    ) -> Result<Value> {
        let AdaptiveSpan { max_span, ramp } = self.spec;
        let SelfAttention { projections, heads, .. } = &self.attention;
        let seen = with_memory(graph, x, memory)?;
        let query = projections.query(graph, x, *heads)?;
        let [key, value] = projections.keys_and_values(graph, seen, *heads)?;
        let shares = self.shares(graph)?;
        let span = scale(graph, shares, max_span as f32)?;
        // Distance 1 is the code's 0.
        let nearest = fill(graph, TensorDesc::f32([*heads]), 1.0)?;
        let span = add(graph, span, nearest)?;
        let mask = Mask::window(max_span, 0) & !Mask::window(0, 0);
        let mut spec = Blocked::new().mask(mask).score(Score::adaptive_span(span, ramp));
        if let Some(positions) = positions {
            let keys = self.position_keys(graph, x, positions)?;
            spec = spec.score(Score::relative_keys(keys, None, None, 0));
        }
        let gathered = blocked(graph, query, key, value, &spec)?;
        self.attention.record_output(graph, gathered)
    }

    /// `[max_span + 1, heads, head_size]`, a row for each distance; that of 0, which nobody sees, is 0.
    fn position_keys(&self, graph: &mut Graph, x: Value, positions: Value) -> Result<Value> {
        let (rows, heads) = (self.spec.max_span as usize, self.attention.heads);
        let desc = graph.desc(x)?;
        let width = desc.shape.dims().last().copied().unwrap_or(0);
        let size = head_size(width, heads)?;
        let wanted = TensorDesc::new(desc.dtype, [rows, size]);
        let found = graph.desc(positions)?;
        if *found != wanted {
            let kind = if found.dtype == wanted.dtype { ErrorKind::Shape } else { ErrorKind::Dtype };
            return Err(Error::new(kind, OP, "positions").expecting(wanted).but_found(found));
        }
        let padded = pad(graph, positions, 0, 1, rows + 1)?;
        let padded = reshape(graph, padded, [rows + 1, 1, size])?;
        broadcast(graph, padded, [rows + 1, heads, size])
    }

    /// What to add to the loss so that spans stay as short as they can: `coefficient * max_span * mean(shares)`, f32 `[1]`, the code's
    /// `get_loss` and the paper's penalty. The authors take 2e-6, and 5e-7 for spans of 8192.
    pub fn span_loss(&self, graph: &mut Graph, coefficient: f32) -> Result<Value> {
        let shares = self.shares(graph)?;
        let total = sum(graph, shares, &[0])?;
        scale(graph, total, coefficient * self.spec.max_span as f32 / self.attention.heads as f32)
    }

    /// `shares`, as an optimiser's step has left them, kept between 0 and 1: the code's `clamp_param`. Give it to [`Graph::update`] in the
    /// step's place; outside, a span has no gradient or no meaning.
    pub fn clamped(graph: &mut Graph, shares: Value) -> Result<Value> {
        let desc = graph.desc(shares)?.clone();
        let one = fill(graph, desc, 1.0)?;
        let above = subtract(graph, shares, one)?;
        let (positive, excess) = (relu(graph, shares)?, relu(graph, above)?);
        subtract(graph, positive, excess)
    }

    fn shares(&self, graph: &mut Graph) -> Result<Value> {
        let shares = parameter(graph, &self.shares, DType::F32)?;
        reshape(graph, shares, [self.attention.heads])
    }
}

impl Mixer for AdaptiveSpanAttention {
    /// [`AdaptiveSpanAttention::record`] of a row for each sequence, without keys of relative positions.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        check_one_sequence_a_row(OP, layout)?;
        self.record(recorder, x, memory, None)
    }
}
