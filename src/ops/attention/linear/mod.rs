//! Linear attention: scores are products of features of queries and keys, so that sums over keys need not be formed for each query anew
//! (Katharopoulos et al., arXiv 2006.16236, equations 4 to 12; Shen et al., 1812.01243; Choromanski et al., 2009.14794, section 2.2).
//!
//! For query `i` over the keys `j` that it sees, with features `x_i = scale f(q_i)` and `y_j = g(k_j)`:
//!
//! ```text
//! w_ij  = x_i . y_j
//! out_i = sum_j w_ij v_j / (sum_j w_ij + eps)      or over max(sum_j w_ij, eps), or without a denominator
//!       = x_i S / (x_i . z + eps)                  S = sum_j y_j v_j^T      z = sum_j y_j
//! ```
//!
//! Time and memory are linear in length, and what a text has added to `S` and `z` is all that its continuation needs: [`LinearState`].
//! A row whose denominator is exactly 0 gives 0.
//!
//! # Chunks
//!
//! Without a mask, `S` is one sum. Where a query sees the keys up to its own, or those of its own sequence, time is cut into chunks
//! (Hua et al., arXiv 2202.10447, section 3.2; Yang et al., 2312.06635, section 4.1): each chunk's own sum, the state that stands before each
//! chunk, by a scan over their sums, and, for each row, what that state gives and what the pairs of its own chunk give:
//!
//! ```text
//! S_(c+1) = S_c + sum_(j in c) y_j v_j^T           out_i ~ x_i S_c + sum_(j in c, j <= i) w_ij v_j
//! ```
//!
//! Decays multiply the state at each key's step ([`LinearAttention::decay`]). With `G_t` the sum of the log decays from the chunk's beginning up
//! to `t`, `S_(c+1) = exp(G_C) S_c + sum_j exp(G_C - G_j) y_j v_j^T`, and what a row gathers from `S_c` is weighed by `exp(G_i)`, its scores by
//! `exp(G_i - G_j)`: exponents are differences of at most 0, so that nothing overflows. Of decays of each channel, `exp(G_i - G_j)` stands within the
//! product, channel by channel. The sums are kept in two parts, multiples of 2^-8, which f32 adds without rounding, and what is left of each
//! logarithm: a difference of two sums is as exact at -8 a step as near 0.
//!
//! The delta rule ([`LinearAttention::delta_rule`]) puts `r_t = v_t - P_t` in the place of values, `P_t` being what the key reads of the state before
//! its step, which is linear attention with the keys `e` as queries (arXiv 2406.06484, section 3.2, with `beta` at the keys that are written):
//!
//! ```text
//! r_t + sum_(s in c, s < t) M_ts r_s = v_t - exp(G_t) S_c^T e_t       M_ts = exp(G_t - G_s) (e_t . y_s)       y_s = beta_s k_s
//! ```
//!
//! Within a chunk that is a triangular system, solved once for the values and once for what is read of `S_c`; states then go from chunk to chunk
//! ([`kernels`]), and all that follows is linear attention on `y` and `r`. Decays of each channel stand within these products, too.
//!
//! Any length of the chunks gives the same numbers, to rounding. The backward pass is the same three steps, along time reversed where keys
//! own the rows ([`backward`]).
//!
//! # Numbers that are not finite
//!
//! Keys behind an item's length may hold anything, and what one packed sequence holds reaches no other. All other numbers must be finite: one that is
//! not spoils the rows of its own sequence in its chunk as well as those that see it.

mod backward;
#[cfg(feature = "check")]
pub(super) mod cases;
mod custom;
mod features;
mod kernels;
mod maps;
mod projection;
mod reference;
mod rule;
mod settings;

pub use custom::CustomFeature;
pub use features::{
    FeaturesOf, SoftmaxKernel, Stabilizer, cosine_features, generalized_kernel_features,
    softmax_kernel_features,
};
pub use maps::FeatureMap;
pub use projection::{RandomProjection, RowNorms};
use rule::Rule;
pub use settings::{Denominator, LinearAttention, LinearState, check_beta, check_log_decay};

use super::Dims;
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::contract::{Contract, extents};
use crate::ops::{converted, multiply, padding, reshape};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "attention/linear";

/// What an op reads before the tensors of its rule: query, key, value.
const REQUIRED: usize = 3;

/// Linear attention of `query: [batch, query_time, heads, head_size]` over `key: [batch, key_time, kv_heads, head_size]` and
/// `value: [batch, key_time, kv_heads, value_size]`, f32 or f16. The result is `[batch, query_time, heads, value_size]`.
///
/// `kv_heads` divides `heads`; head and value sizes are 1 to 256; times may be 0, and are equal where the rule is causal or has segments.
/// Features, states and sums are f32 whatever the storage. Fails when shapes, types or settings do not fit.
pub fn linear_attention(
    graph: &mut Graph,
    query: Value,
    key: Value,
    value: Value,
    spec: &LinearAttention,
) -> Result<Value> {
    Ok(linear_attention_with_state(graph, query, key, value, spec)?.0)
}

/// [`linear_attention`], and the state behind the last key: what the continuation of the text starts from
/// ([`LinearAttention::state`]). Of packed sequences, it is that of the last one.
pub fn linear_attention_with_state(
    graph: &mut Graph,
    query: Value,
    key: Value,
    value: Value,
    spec: &LinearAttention,
) -> Result<(Value, LinearState)> {
    let (rule, tensors) = spec.bind(graph)?;
    let [query, key] = spec.features(graph, [query, key])?;
    let mut tensors = rule.with_steps(graph, key, tensors)?;
    let mut written = key;
    if let Some(beta) = spec.beta() {
        let lengths = rule.lengths_at(0).map(|place| tensors[place]);
        let (reads, weighed) = weighed(graph, key, beta, lengths)?;
        written = weighed;
        tensors.push(reads);
    }
    let inputs: Vec<Value> = [query, written, value].into_iter().chain(tensors).collect();
    let outputs = graph.push_builtin(Linear { rule }, &inputs)?;
    let normalizer = rule.is_normalised().then(|| outputs[NORMALIZER]);
    Ok((outputs[OUT], LinearState { sums: outputs[SUMS], normalizer }))
}

/// The keys, and `beta_t k_t`, for `beta: [batch, time, kv_heads]`. Both are 0 behind an item's length, whatever is there: a gradient of 0 times that
/// would be what it is.
fn weighed(graph: &mut Graph, key: Value, beta: Value, lengths: Option<Value>) -> Result<(Value, Value)> {
    let (of_key, of_beta) = (graph.desc(key)?, graph.desc(beta)?);
    let [batch, time, kv_heads, _] = extents(NAME, "key", of_key)?;
    let dtype = of_key.dtype;
    let wanted = TensorDesc::f32([batch, time, kv_heads]);
    Contract::new(NAME).same("beta", of_beta, "key", &wanted)?;
    let [key, beta] = padding::tokens_of(NAME, graph, [key, beta], lengths)?;
    let beta = reshape(graph, beta, [batch, time, kv_heads, 1])?;
    let beta = converted(graph, beta, dtype)?;
    Ok((key, multiply(graph, key, beta)?))
}

/// Where the outputs stand. The last two are those of a rule with a denominator.
const OUT: usize = 0;
const SUMS: usize = 1;
const NORMALIZER: usize = 2;
/// f32 `[batch, query_time, heads]`, for the backward pass.
const DENOMINATOR: usize = 3;

#[derive(Clone, Copy, Debug)]
struct Linear {
    rule: Rule,
}

impl Op for Linear {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let dims = self.rule.check(NAME, inputs, REQUIRED)?;
        let Dims { batch, query_time, heads, value_size, .. } = dims;
        let mut outputs = vec![TensorDesc::new(inputs[0].dtype, [batch, query_time, heads, value_size])];
        outputs.extend(self.rule.state_descs(&dims));
        outputs.extend(self.rule.is_normalised().then(|| TensorDesc::f32([batch, query_time, heads])));
        Ok(outputs)
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        reference::forward(inputs, &self.rule)
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(&self.rule, step, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        backward::append(&self.rule, graph, adjoint)
    }
}
