//! Exact softmax attention, computed key tile by key tile (FlashAttention, arXiv 2205.14135; FlashAttention-2, 2307.08691).
//!
//! For query `i` over the keys `j` it may see:
//!
//! ```text
//! s_ij = scale * q_i . k_j              softcap c: s_ij = c tanh(s_ij / c)
//! m_i  = max_j s_ij                     l_i  = sum_j exp(s_ij - m_i)
//! L_i  = m_i + ln l_i                   out_i = sum_j exp(s_ij - m_i) / l_i v_j
//! ```
//!
//! The running maximum `m`, sum `l` and output are rescaled from tile to tile, so no row of scores is ever stored and memory
//! stays linear in length. A row that sees no key gives 0 and a log-sum-exp of [`super::EMPTY_ROW_LSE`].
//!
//! The backward pass gets `m` and `l`, not `L`: of a large `L`, rounding leaves nothing of `ln l`, and weights would no longer sum to 1.
//! What is added to all scores of a row changes nothing but `L`, and what rounding the scores themselves loses.
//!
//! # Numbers that are not finite
//!
//! What a mask hides is as if it were not there: a query, key, value or bias of hidden pairs may hold anything, NaN and infinities included,
//! and changes neither results nor gradients of rows that do not see it. A row that sees a NaN or an infinity in a query, key, value or bias
//! is not finite itself: in all channels and in its log-sum-exp where scores are touched, in the channel of the value otherwise. (A bias of
//! minus infinity hides the key: [`super::HIDDEN_SCORE`].) Products `q_i . k_j` and their sums must fit f32; where they leave it, the row is
//! not finite, never silently another. Gradients follow the same rules. WGSL promises nothing about NaN and infinity, so the kernels tell
//! them by their bits; that they arise in the first place is up to the device, and is tested on the ones at hand.
//!
//! A tile whose sums are not finite is computed once more, column by column, without hidden pairs: 0 times NaN is no 0. That is where a
//! rare row costs time; finite ones cost a test of their bits at the end.
//!
//! # Rules
//!
//! Attention masks and score modifiers are rules ([`super::Mask`], [`super::Score`]). Where a mask shows each query a
//! range of keys, the kernel walks over that range; for any other mask, along block lists that a dispatch before it makes.
//!
//! Sequences packed one behind another along time ([`Blocked::segments`]) cost the sum of their squared lengths, as each tile
//! of queries walks over the keys of its own sequences only (FlashAttention's variable-length interface takes offsets instead).
//!
//! # Keys and values that were written before
//!
//! A cache of keys and values is a key of fixed length, `[batch, key_time, kv_heads, head_size]`, whose rows are written as they come
//! ([`crate::ops::write_rows`], into a parameter in place), and [`Blocked::query_start`] tells the device where the queries of each batch item
//! stand among them. [`Mask::causal`] then shows a query the keys up to its own position and no other is read, so that one program serves
//! every step: prefill in chunks, single tokens, streams of different lengths side by side. Where one query leaves workgroups idle, the keys
//! that it sees are split over them.
//!
//! A cache as `[batch, key_time, kv_heads, head_size]` takes the rows of a step as a linear layer gives them. One query
//! is faster over `[batch * kv_heads, key_time, 1, head_size]`, where the rows of a head lie side by side and each head is a batch item, which
//! starts where its stream does. New rows of one token only need a reshape for it, those of several a transposition.

mod backward;
#[cfg(feature = "check")]
pub(super) mod cases;
mod cooperative;
mod few_keys;
mod gradient;
mod kernels;
mod reference;
pub(super) mod rows;
pub(super) mod turns;
pub(super) mod walk;

use super::rules::{Prepared, Rule, prepare};
use super::{Dims, Mask, Score};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::{Heads, Matmul, add, matmul, scale};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub use backward::cases::attention_backward;
pub(super) use backward::{Attended, add_splits};
#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};
pub(super) use few_keys::{FewKeys, Keys};
pub(super) use kernels::{log_sum_exps, uses_fragments};

const NAME: &str = "attention/blocked";

/// Settings of [`blocked`]: attention mask and score modifiers. `T` is how a rule refers to tensors that it reads: by [`Value`]s of a graph, or by
/// names.
#[derive(Clone, Debug)]
pub struct Blocked<T = Value> {
    pub(super) mask: Mask<T>,
    pub(super) scores: Vec<Score<T>>,
    pub(super) query_start: Option<T>,
    pub(super) scale: Option<f32>,
    pub(super) softcap: Option<f32>,
}

impl<T> Default for Blocked<T> {
    fn default() -> Self {
        Self { mask: Mask::full(), scores: Vec::new(), query_start: None, scale: None, softcap: None }
    }
}

impl<T> Blocked<T> {
    /// Every key, scores scaled by `1 / sqrt(head_size)`.
    pub fn new() -> Self {
        Self::default()
    }

    /// With settings that other mechanisms may leave out.
    pub(super) fn with(scale: Option<f32>, lengths: Option<T>) -> Self {
        let spec = Self { scale, ..Self::new() };
        match lengths {
            Some(lengths) => spec.lengths(lengths),
            None => spec,
        }
    }

    /// Which keys a query sees, in place of what was set before.
    #[must_use]
    pub fn mask(self, mask: Mask<T>) -> Self {
        Self { mask, ..self }
    }

    /// Adds a rule for scores.
    #[must_use]
    pub fn score(mut self, rule: Score<T>) -> Self {
        self.scores.push(rule);
        self
    }

    /// Where the first query of each batch item stands among the keys: `starts: i32 [batch]`, read on the device. Query `i` of item `b` is at
    /// position `starts[b] + i`, opposite the key of that position, whatever alignments say. Any number will do: those below `-query_time`
    /// count as `-query_time` and those above `key_time` as `key_time`, from where on no query stands at a key.
    ///
    /// - Rules by distance ([`Mask::causal`], windows, dilated and strided ones, [`Mask::log_sparse`], [`Mask::block_diagonal`],
    ///   [`Score::alibi`], [`Score::gaussian`], [`Score::buckets`], [`Score::disentangled`], [`Score::adaptive_span`]) go by these positions,
    ///   before the first key and behind the last, too. [`Score::relative_keys`] needs a row for every distance that the mask shows between
    ///   positions of keys; pairs farther apart are hidden.
    /// - What lies along positions is that of keys: [`Mask::segments`] has an id for each of `key_time`, [`Mask::global_queries`] has
    ///   positions below `key_time`, the layouts of [`Mask::blocks`] and [`Mask::big_bird`] are of `key_time` by `key_time`. Queries that stand
    ///   at no key are of no sequence, no list and no block.
    /// - Rules of users are given the query's position, or that of the nearest key where it stands at none.
    /// - [`Mask::dense`] and [`Score::bias`] have a row for each query of the step, wherever it stands.
    #[must_use]
    pub fn query_start(self, starts: T) -> Self {
        Self { query_start: Some(starts), ..self }
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

    /// Hides padding, in addition to the mask: see [`Mask::lengths`].
    #[must_use]
    pub fn lengths(self, lengths: T) -> Self {
        Self { mask: self.mask & Mask::lengths(lengths), ..self }
    }

    /// Keeps packed sequences apart, in addition to the mask: see [`Mask::segments`].
    #[must_use]
    pub fn segments(self, ids: T) -> Self {
        Self { mask: self.mask & Mask::segments(ids), ..self }
    }

    /// The same settings with other tensors: the results of `map`, called in an order that never changes.
    pub fn map<U>(&self, mut map: impl FnMut(&T) -> U) -> Blocked<U> {
        Blocked {
            mask: self.mask.map(&mut map),
            scores: self.scores.iter().map(|score| score.map(&mut map)).collect(),
            query_start: self.query_start.as_ref().map(&mut map),
            scale: self.scale,
            softcap: self.softcap,
        }
    }
}

/// What [`blocked`] reads before the tensors of its rule: query, key, value.
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
    let Forward { out, lse, .. } = append_forward(graph, [query, key, value], spec)?;
    Ok((out, lse))
}

/// All results of [`blocked`]. What nobody reads is not computed.
#[derive(Clone, Copy, Debug)]
struct Forward {
    /// `[batch, query_time, heads, value_size]`
    out: Value,
    /// The natural log-sum-exp of every row of scores: f32 `[batch, heads, query_time]`.
    lse: Value,
    /// f32 `[batch, heads, query_time, 2]`, for the backward pass of the same run: of every row, the largest score `m_i` (kernels keep it
    /// in units of log2), and the sum `l_i` of `exp(s_ij - m_i)`, 0 in rows that see no key.
    #[cfg_attr(
        not(feature = "check"),
        expect(dead_code, reason = "the backward pass takes it from its adjoint; cases start from it")
    )]
    statistics: Value,
}

fn append_forward(graph: &mut Graph, [query, key, value]: [Value; 3], spec: &Blocked) -> Result<Forward> {
    let Prepared { rule, query, tensors } = prepare(NAME, spec, graph, [query, key, value])?;
    let inputs: Vec<Value> = [query, key, value].into_iter().chain(tensors).collect();
    let outputs = graph.push_builtin(BlockedAttention { rule }, &inputs)?;
    Ok(Forward { out: outputs[0], lse: outputs[1], statistics: outputs[2] })
}

/// `factor * query key^T + previous`, `[batch, heads, query_time, key_time]`: the scores that a layer with residual attention hands on to the next
/// (RealFormer, arXiv 2012.11747, section 3.2), which takes them as [`Score::bias`]. They are stored: memory is the product of both times, as the
/// method asks for it.
///
/// `query` and `key` have as many heads.
pub fn residual_scores(
    graph: &mut Graph,
    query: Value,
    key: Value,
    previous: Option<Value>,
    factor: f32,
) -> Result<Value> {
    let scores = Matmul::new().transpose_b().heads(Heads::Inner, Heads::Inner, Heads::Outer);
    let scores = matmul(graph, query, key, &scores)?;
    let scores = scale(graph, scores, factor)?;
    match previous {
        Some(previous) => add(graph, scores, previous),
        None => Ok(scores),
    }
}

#[derive(Clone, Debug)]
struct BlockedAttention {
    rule: Rule,
}

impl Op for BlockedAttention {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let dims = Dims::bind(NAME, [&inputs[0], &inputs[1], &inputs[2]], self.rule.query_vectors())?;
        self.rule.check(NAME, &dims, &inputs[REQUIRED..])?;
        let Dims { batch, query_time, heads, value_size, .. } = dims;
        Ok(vec![
            TensorDesc::new(inputs[0].dtype, [batch, query_time, heads, value_size]),
            TensorDesc::f32([batch, heads, query_time]),
            TensorDesc::f32([batch, heads, query_time, 2]),
        ])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        reference::forward(inputs, &self.rule)
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(&self.rule, step, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        gradient::backward(&self.rule, graph, adjoint)
    }
}
