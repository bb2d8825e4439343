//! Transformer-XL's attention (Dai et al., arXiv 1901.02860, section 3).

use super::OP;
use super::heads::{join_heads, split_heads};
use super::memory::with_memory;
use crate::graph::{Graph, Value};
use crate::nn::{Linear, parameter};
use crate::ops::attention::{Blocked, Mask, Score, blocked};
use crate::ops::{self, Activation, linear, reshape};
use crate::tensor::{DType, HostTensor};
use crate::weights::{Scope, Weight};
use crate::{Error, ErrorKind, Result};

/// The extents and settings of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransformerXl {
    /// Channels of what it reads and gives: `d_model`.
    pub width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Channels of a head: `d_head`. Heads need not share the width.
    pub head_size: usize,
    /// How many keys a query sees at most, its own among them; all when absent. With `Some(mem_len)` it is the code's `same_length`.
    pub same_length: Option<u32>,
}

impl TransformerXl {
    /// Distances that are seen in a segment of `time` tokens behind `memory` others, from 0 on.
    pub fn distances(&self, memory: usize, time: usize) -> usize {
        self.same_length.map_or(memory.saturating_add(time), |seen| seen as usize)
    }
}

/// Causal attention over a segment and the memory of those before it, with relative positions, as in the authors' code
/// (<https://github.com/kimiyoung/transformer-xl>, `pytorch/mem_transformer.py`, `RelPartialLearnableMultiHeadAttn`) without the residual
/// and the normalisation around it:
///
/// ```text
/// s_ij = ((q_i + u) . k_j + (q_i + v) . r_(i - j)) / sqrt(head_size)
/// ```
#[derive(Clone, Debug)]
pub struct TransformerXlAttention {
    /// `[3 heads * head_size, width]`: makes queries, keys and values.
    pub qkv: Weight,
    /// Makes `r` from positions.
    pub positions: Linear,
    /// The output projection.
    pub output: Linear,
    /// `u: [heads, head_size]`, the code's `r_w_bias`.
    pub content_bias: Weight,
    /// `v: [heads, head_size]`, the code's `r_r_bias`.
    pub position_bias: Weight,
    /// The extents and settings.
    pub spec: TransformerXl,
}

impl TransformerXlAttention {
    /// Declares the weights under `scope`, a `dec_attn` of Hugging Face's.
    ///
    /// Fails when there is no head, or heads have no channel, or `same_length` is 0.
    pub fn declare(scope: &mut Scope<'_>, spec: TransformerXl) -> Result<Self> {
        let biases = Self::declare_biases(scope, &spec)?;
        Self::declare_with_biases(scope, spec, biases)
    }

    /// Declares `r_w_bias` and `r_r_bias` under `scope`: [`TransformerXlAttention::content_bias`] and
    /// [`TransformerXlAttention::position_bias`].
    pub fn declare_biases(scope: &mut Scope<'_>, spec: &TransformerXl) -> Result<[Weight; 2]> {
        let shape = [spec.heads, spec.head_size];
        Ok([scope.weight("r_w_bias", shape)?, scope.weight("r_r_bias", shape)?])
    }

    /// [`TransformerXlAttention::declare`] with biases that are declared already, as models have it whose layers share them.
    pub fn declare_with_biases(
        scope: &mut Scope<'_>,
        spec: TransformerXl,
        [content_bias, position_bias]: [Weight; 2],
    ) -> Result<Self> {
        let TransformerXl { width, heads, head_size, same_length } = spec;
        let refused = |argument: &str, expected: &str, found: String| {
            Err(Error::new(ErrorKind::Argument, OP, argument).expecting(expected).but_found(found))
        };
        if same_length == Some(0) {
            return refused("same_length", "at least 1", "0".into());
        }
        let Some(inner) = heads.checked_mul(head_size).filter(|inner| (1..=1 << 30).contains(inner)) else {
            return refused("heads", "1 to 2^30 channels in all", format!("{heads} heads of {head_size}"));
        };
        Ok(Self {
            qkv: scope.at("qkv_net").weight("weight", [3 * inner, width])?,
            positions: Linear::declare_without_bias(&mut scope.at("r_net"), width, inner)?,
            output: Linear::declare_without_bias(&mut scope.at("o_net"), inner, width)?,
            content_bias,
            position_bias,
            spec,
        })
    }

    /// Causal attention of `x: [batch, time, width]` over itself and over `memory: [batch, memory_time, width]`, which lies before `x`: `[batch,
    /// time, width]`. Memory of any length will do, as at the start of a text.
    ///
    /// `positions: [distances, width]` has a row for every distance that is seen, from 0 on: `memory_time + time` of them, or
    /// [`TransformerXl::same_length`]. [`sinusoidal_positions`] makes one for all layers. About gradients of memory see
    /// [`next_memory`](super::next_memory). Fails when memory or positions do not fit, and as [`blocked`] does.
    pub fn record(
        &self,
        graph: &mut Graph,
        x: Value,
        memory: Option<Value>,
        positions: Value,
    ) -> Result<Value> {
        let TransformerXl { heads, head_size, same_length, .. } = self.spec;
        let dtype = graph.desc(x)?.dtype;
        let seen = with_memory(graph, x, memory)?;
        // Cut from the weight, not from the product, so that memory gets no queries.
        let qkv = parameter(graph, &self.qkv, dtype)?;
        let layers = ops::split(graph, qkv, 0, &[heads * head_size; 3])?;
        let mut projected = [x, seen, seen];
        for (value, weight) in projected.iter_mut().zip(layers) {
            *value = linear(graph, *value, weight, &ops::Linear::new())?;
        }
        let keys = self.position_keys(graph, positions)?;
        self.record_over(graph, projected, keys, same_length, None)
    }

    /// Query, key and value of each position of `x: [batch, time, width]`, each `[batch, time, heads * head_size]`: of what layers keep as
    /// these in place of what they were made of. Fails as [`linear`] does.
    pub fn project(&self, graph: &mut Graph, x: Value) -> Result<[Value; 3]> {
        let TransformerXl { heads, head_size, .. } = self.spec;
        let dtype = graph.desc(x)?.dtype;
        let last = graph.desc(x)?.shape.rank().saturating_sub(1);
        let qkv = parameter(graph, &self.qkv, dtype)?;
        let projected = linear(graph, x, qkv, &ops::Linear::new())?;
        let parts = ops::split(graph, projected, last, &[heads * head_size; 3])?;
        Ok([parts[0], parts[1], parts[2]])
    }

    /// What each query gathers from keys and values that were made before, `[batch, time, width]`. All three are as
    /// [`TransformerXlAttention::project`] gives them, keys and values of any length; `position_keys` are those of
    /// [`TransformerXlAttention::position_keys`]. A query sees `seen` keys at most, its own among them; all before it when absent. The last
    /// query stands at the last key, or the first one of each batch item at the key that `starts: i32 [batch]` names.
    ///
    /// Fails as [`blocked`] does.
    pub fn record_over(
        &self,
        graph: &mut Graph,
        projected: [Value; 3],
        position_keys: Value,
        seen: Option<u32>,
        starts: Option<Value>,
    ) -> Result<Value> {
        let dtype = graph.desc(projected[0])?.dtype;
        let mut in_heads = projected;
        for value in &mut in_heads {
            *value = split_heads(graph, *value, self.spec.heads)?;
        }
        let [query, key, value] = in_heads;
        let content_bias = Some(parameter(graph, &self.content_bias, dtype)?);
        let position_bias = Some(parameter(graph, &self.position_bias, dtype)?);
        let mask = seen.map_or(Mask::causal(), |count| Mask::window(count.saturating_sub(1), 0));
        let score = Score::relative_keys(position_keys, content_bias, position_bias, 0);
        let mut spec = Blocked::new().mask(mask).score(score);
        if let Some(starts) = starts {
            spec = spec.query_start(starts);
        }
        let gathered = blocked(graph, query, key, value, &spec)?;
        let joined = join_heads(graph, gathered)?;
        self.output.record(graph, joined, Activation::Identity)
    }

    /// `r: [distances, heads, head_size]` of `positions: [distances, width]`. Fails when these have other axes.
    pub fn position_keys(&self, graph: &mut Graph, positions: Value) -> Result<Value> {
        let desc = graph.desc(positions)?;
        let [distances, _] = *desc.shape.dims() else {
            return Err(Error::new(ErrorKind::Shape, OP, "positions")
                .expecting("[distances, width]")
                .but_found(desc));
        };
        let keys = self.positions.record(graph, positions, Activation::Identity)?;
        reshape(graph, keys, [distances, self.spec.heads, self.spec.head_size])
    }
}

/// `[distances, width]`: row `d` is `sin(d / 10000^(2 i / width))` for all `i`, and behind them the cosines, where the original
/// Transformer has them in turn (`PositionalEmbedding` of the authors' code). Distances beyond `clamp_len` are taken for it.
///
/// Fails when the width is odd or `dtype` is no float.
pub fn sinusoidal_positions(
    dtype: DType,
    distances: usize,
    width: usize,
    clamp_len: Option<usize>,
) -> Result<HostTensor> {
    if !width.is_multiple_of(2) {
        return Err(Error::new(ErrorKind::Argument, "sinusoidal positions", "width")
            .expecting("an even number")
            .but_found(width));
    }
    let half = width / 2;
    let mut table = Vec::with_capacity(distances * width);
    for distance in 0..distances {
        let distance = clamp_len.map_or(distance, |most| distance.min(most)) as f64;
        let angle = |i: usize| distance / 10000f64.powf((2 * i) as f64 / width as f64);
        table.extend((0..half).map(|i| angle(i).sin() as f32));
        table.extend((0..half).map(|i| angle(i).cos() as f32));
    }
    HostTensor::from_f32(dtype, [distances, width], &table)
}
