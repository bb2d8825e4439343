//! Scores that know those of the layers before (RealFormer, He et al., arXiv 2012.11747, equation 3), and attention by scores that are
//! given (`prior`: from another layer, or from a network of their own).

use super::{Blocked, Dims, MAX_HEAD_SIZE, Score, blocked, factor, residual_scores};
use crate::graph::{Graph, Value};
use crate::ops::{concat, fill, repeat_each, scale};
use crate::tensor::TensorDesc;
use crate::{Error, ErrorKind, Result};

const NAME: &str = "attention/residual";
const PRIOR: &str = "attention/prior";

/// What a layer hands on to the next: the scores so far, `s_l = scale q_l k_l^T + s_(l-1)`.
///
/// A sum of dot products is one dot product of concatenated vectors. As long as queries and keys of the layers so far, concatenated, have at most
/// [`MAX_HEAD_SIZE`] channels, these vectors are handed on, and no scores are stored. Beyond that the scores so far are stored, `[batch, heads,
/// query_time, key_time]`, and vectors of later layers are collected anew. Masks and score modifiers are each layer's own.
#[derive(Clone, Debug, Default)]
pub struct PreviousScores {
    /// Queries times their scale, and keys, of layers whose scores are not stored.
    vectors: Option<[Value; 2]>,
    /// Scores of the layers before these.
    stored: Option<Value>,
}

impl PreviousScores {
    /// Of the first layer: none.
    pub fn none() -> Self {
        Self::default()
    }

    /// The scores in memory, where there are any: `[batch, heads, query_time, key_time]`.
    pub fn stored(&self) -> Option<Value> {
        self.stored
    }
}

/// [`blocked`](super::blocked()) with the scores of the layers before added to its own, before masks; and what the next layer gets.
///
/// Queries and keys of all layers have the same times and heads. Fails as `blocked` does, and when `spec` has a softcap, which would be of the
/// sum in one layer and of the parts in another.
pub fn residual_attention(
    graph: &mut Graph,
    query: Value,
    key: Value,
    value: Value,
    previous: &PreviousScores,
    spec: &Blocked,
) -> Result<(Value, PreviousScores)> {
    let [q, k, v] = [query, key, value].map(|value| graph.desc(value).cloned());
    let dims = Dims::bind(NAME, [&q?, &k?, &v?], 1)?;
    if spec.softcap.is_some() {
        return Err(Error::new(ErrorKind::Unsupported, NAME, "softcap").expecting("none").but_found("one"));
    }
    let factor = factor(spec.scale, dims.head_size);
    let own = [scale(graph, query, factor)?, key];
    let (vectors, stored) = match previous.vectors {
        None => (own, previous.stored),
        Some(before) if graph.desc(before[0])?.shape.dims()[3] + dims.head_size <= MAX_HEAD_SIZE => {
            let [queries, keys] = [0, 1].map(|place| concat(graph, &[before[place], own[place]], 3));
            ([queries?, keys?], previous.stored)
        }
        Some([queries, keys]) => {
            let keys = repeat_each(graph, keys, 2, dims.group())?;
            (own, Some(residual_scores(graph, queries, keys, previous.stored, 1.0)?))
        }
    };
    let mut attention = spec.clone().scale(1.0);
    if let Some(stored) = stored {
        attention = attention.score(Score::bias(stored));
    }
    let out = blocked(graph, vectors[0], vectors[1], value, &attention)?;
    Ok((out, PreviousScores { vectors: Some(vectors), stored }))
}

/// Softmax attention by a prior alone, without queries and keys: `softmax(prior) value` under the masks and score modifiers of `spec`
/// (Synthesizer, Tay et al., arXiv 2005.00743, equation 3; or the scores of another layer).
///
/// `prior: [batch or 1, heads or 1, query_time, key_time]` of a float type and `value: [batch, key_time, kv_heads, value_size]` give `[batch,
/// query_time, heads, value_size]`; a prior of one head is for all `kv_heads`. With queries and keys, a prior is [`Score::bias`]. Fails when
/// shapes, types or settings do not fit.
pub fn prior_attention(graph: &mut Graph, prior: Value, value: Value, spec: &Blocked) -> Result<Value> {
    let (of_prior, of_value) = (graph.desc(prior)?.clone(), graph.desc(value)?.clone());
    let (&[_, heads, query_time, _], &[batch, key_time, kv_heads, _]) =
        (of_prior.shape.dims(), of_value.shape.dims())
    else {
        return Err(Error::new(ErrorKind::Shape, PRIOR, "prior")
            .expecting("[batch or 1, heads or 1, query_time, key_time], and values of rank 4")
            .but_found(format!("{} and {}", of_prior.shape, of_value.shape)));
    };
    let heads = if heads == 1 { kv_heads } else { heads };
    let mut zeros = |time, heads| fill(graph, TensorDesc::new(of_value.dtype, [batch, time, heads, 1]), 0.0);
    let (query, key) = (zeros(query_time, heads)?, zeros(key_time, kv_heads)?);
    blocked(graph, query, key, value, &spec.clone().score(Score::bias(prior)))
}
