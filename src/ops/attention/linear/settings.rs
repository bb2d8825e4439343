//! The settings of linear attention as users give them, and what is wrong with them.

use super::rule::{Decay, Rule};
use super::{FeatureMap, NAME};
use crate::graph::{Graph, Value};
use crate::ops::Activation;
use crate::ops::contract::Contract;
use crate::tensor::HostTensor;
use crate::{Error, ErrorKind, Result};

/// What a row's sum of weighted values is divided by.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Denominator {
    /// The sum of the row's scores, and this.
    Plus(f32),
    /// The sum of the row's scores, but at least this.
    AtLeast(f32),
}

/// The state of linear attention behind the last key of a text, f32: sums over its keys, from which the text can be continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearState<T = Value> {
    /// `sum_j y_j v_j^T`: `[batch, kv_heads, head_size, value_size]`.
    pub sums: T,
    /// `sum_j y_j`: `[batch, kv_heads, head_size]`, where there is a denominator.
    pub normalizer: Option<T>,
}

/// Settings of [`linear_attention`](super::linear_attention). `T` is how settings refer to tensors: by values of a graph, or by names.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearAttention<T = Value> {
    maps: [FeatureMap; 2],
    is_causal: bool,
    denominator: Option<Denominator>,
    scale: f32,
    chunk: Option<u32>,
    lengths: Option<T>,
    segments: Option<T>,
    state: Option<LinearState<T>>,
    decay: Option<T>,
    beta: Option<T>,
}

impl<T> Default for LinearAttention<T> {
    fn default() -> Self {
        Self {
            maps: [Activation::EluPlusOne; 2].map(FeatureMap::Elementwise),
            is_causal: false,
            denominator: Some(Denominator::Plus(1e-6)),
            scale: 1.0,
            chunk: None,
            lengths: None,
            segments: None,
            state: None,
            decay: None,
            beta: None,
        }
    }
}

impl<T> LinearAttention<T> {
    /// Every key, features `elu(x) + 1`, and a denominator to which 1e-6 is added (arXiv 2006.16236 and its published code).
    pub fn new() -> Self {
        Self::default()
    }

    /// The features of queries and keys.
    #[must_use]
    pub fn feature_map(self, map: FeatureMap) -> Self {
        Self { maps: [map.clone(), map], ..self }
    }

    /// The features of queries, and those of keys.
    #[must_use]
    pub fn feature_maps(self, query: FeatureMap, key: FeatureMap) -> Self {
        Self { maps: [query, key], ..self }
    }

    /// A query sees the keys up to its own position.
    #[must_use]
    pub fn causal(self) -> Self {
        Self { is_causal: true, ..self }
    }

    /// The denominator, in place of what was set before.
    #[must_use]
    pub fn denominator(self, denominator: Denominator) -> Self {
        Self { denominator: Some(denominator), ..self }
    }

    /// No denominator.
    #[must_use]
    pub fn unnormalised(self) -> Self {
        Self { denominator: None, ..self }
    }

    /// The factor of all scores; 1 when not set.
    #[must_use]
    pub fn scale(self, scale: f32) -> Self {
        Self { scale, ..self }
    }

    /// Positions of a chunk, in place of the kernels' choice. Where the states of all chunks would not fit a storage binding, chunks are longer.
    #[must_use]
    pub fn chunk(self, times: u32) -> Self {
        Self { chunk: Some(times), ..self }
    }

    /// How many keys of each batch item there are, `i32 [batch]`: no query sees one behind. Numbers below 0 count as 0, and those above
    /// `key_time` as that.
    #[must_use]
    pub fn lengths(self, lengths: T) -> Self {
        Self { lengths: Some(lengths), ..self }
    }

    /// Packed sequences, `i32 [batch, time]`: neighbours of equal id are a sequence, and a query sees the keys of its own.
    #[must_use]
    pub fn segments(self, ids: T) -> Self {
        Self { segments: Some(ids), ..self }
    }

    /// The state before the first key, as an earlier run has returned it. Of packed sequences it belongs to the first.
    #[must_use]
    pub fn state(self, state: LinearState<T>) -> Self {
        Self { state: Some(state), ..self }
    }

    /// Each key's step first multiplies the state by `exp(log_decay)`, `S_t = exp(g_t) S_(t-1) + y_t v_t^T`, so that a key of its own step is not
    /// decayed. f32, one number for
    ///
    /// - each key head, `[kv_heads]` (retention, arXiv 2307.08621, equation 3);
    /// - each of its steps, `[batch, time, kv_heads]` (Mamba-2, arXiv 2405.21060, section 3);
    /// - each channel of keys and step, `[batch, time, kv_heads, head_size]`, which multiplies that channel's row of the state (gated linear
    ///   attention, arXiv 2312.06635, equation 3). Chunks are short by default, as each pair of times has an exponent for each channel.
    ///
    /// The logarithms must be at most 0, which [`check_log_decay`](super::check_log_decay) tells of a tensor; far below, as at -8 a step, nothing
    /// overflows. Those behind an item's length are not read.
    ///
    /// For causal rules.
    #[must_use]
    pub fn decay(self, log_decay: T) -> Self {
        Self { decay: Some(log_decay), ..self }
    }

    /// The delta rule (Schlag et al., arXiv 2102.11174, equation 23; chunks: Yang et al., arXiv 2406.06484, section 3.2): a key's step replaces
    /// `beta`, f32 `[batch, time, kv_heads]`, of what the state gives for the key, `S_t = S_(t-1) + beta_t k_t (v_t - S_(t-1)^T k_t)^T`. With
    /// decays, the state is decayed before the key reads it (gated delta rule, arXiv 2412.06464, equation 10; decays of each channel: Kimi delta
    /// attention, arXiv 2510.26692).
    ///
    /// Keys must be of length 1, or shorter, and `beta` within 0 and 1, or up to 2 where the state's eigenvalues may be negative (arXiv
    /// 2411.12537); [`check_beta`](super::check_beta) tells of a tensor. For causal rules without a denominator. Chunks have at most
    /// 128 times.
    #[must_use]
    pub fn delta_rule(self, beta: T) -> Self {
        Self { beta: Some(beta), ..self }
    }

    /// Whether a query sees no key behind its own position.
    pub fn is_causal(&self) -> bool {
        self.is_causal
    }

    /// Whether scores are divided by their sum.
    pub fn is_normalised(&self) -> bool {
        self.denominator.is_some()
    }
}

impl LinearAttention {
    /// The settings apart from their tensors, and those, in the order of [`Rule`], apart from the keys that read the state under the delta rule, which the caller appends. Fails for settings
    /// that mean nothing.
    pub(super) fn bind(&self, graph: &Graph) -> Result<(Rule, Vec<Value>)> {
        self.check_maps()?;
        let rule = Rule {
            maps: self.maps.each_ref().map(|map| map.as_read(self.applies_maps())),
            is_causal: self.is_causal,
            denominator: self.denominator,
            scale: self.scale,
            chunk: self.chunk,
            has_state: self.state.is_some(),
            has_lengths: self.lengths.is_some(),
            has_segments: self.segments.is_some(),
            decay: self.decay_of(graph)?,
            is_delta: self.beta.is_some(),
        };
        rule.check_settings()?;
        let normalizer = self.state.and_then(|state| state.normalizer);
        if let Some(state) = self.state
            && state.normalizer.is_some() != self.is_normalised()
        {
            let words = |has| if has { "one" } else { "none" };
            return Err(Error::new(ErrorKind::Argument, NAME, "state.normalizer")
                .expecting(format!("{}, as of the denominator", words(self.is_normalised())))
                .but_found(words(normalizer.is_some())));
        }
        let sums = self.state.map(|state| state.sums);
        let tensors = [sums, normalizer, self.lengths, self.segments, self.decay];
        Ok((rule, tensors.into_iter().flatten().collect()))
    }

    /// Features of query and key, but for functions that kernels apply as they read.
    pub(super) fn features(&self, graph: &mut Graph, [query, key]: [Value; 2]) -> Result<[Value; 2]> {
        let whole = self.applies_maps();
        let [query_map, key_map] = &self.maps;
        Ok([query_map.applied(graph, query, whole)?, key_map.applied(graph, key, whole)?])
    }

    /// The factors of the delta rule.
    pub(super) fn beta(&self) -> Option<Value> {
        self.beta
    }

    /// Whether features are made by ops of their own, whatever the map: the gradients of decays and of the delta rule are about features.
    fn applies_maps(&self) -> bool {
        self.decay.is_some() || self.beta.is_some()
    }

    fn decay_of(&self, graph: &Graph) -> Result<Decay> {
        let Some(log_decay) = self.decay else { return Ok(Decay::None) };
        match graph.desc(log_decay)?.shape.rank() {
            1 | 3 => Ok(Decay::Steps),
            4 => Ok(Decay::Channels),
            rank => Err(Error::new(ErrorKind::Shape, NAME, "log_decay")
                .expecting(
                    "rank 1 [kv_heads], 3 [batch, time, kv_heads] or 4 [batch, time, kv_heads, head_size]",
                )
                .but_found(format!("rank {rank}"))),
        }
    }

    fn check_maps(&self) -> Result<()> {
        let refused = |argument: &str| Error::new(ErrorKind::Argument, NAME, argument);
        let contract = Contract::new(NAME);
        for (argument, map) in ["query's feature map", "key's feature map"].into_iter().zip(&self.maps) {
            map.as_read(false).check(&contract)?;
            if self.is_normalised() && !map.is_never_negative() {
                return Err(refused(argument)
                    .expecting("a function that is never negative, as scores are divided by their sum")
                    .but_found(map.name()));
            }
        }
        let [query, key] = &self.maps;
        if *query == FeatureMap::SoftmaxOverTime {
            return Err(refused("query's feature map")
                .expecting("a function of each query alone")
                .but_found("softmax over time"));
        }
        let parts = [self.lengths.is_some(), self.segments.is_some(), self.state.is_some(), self.is_causal];
        if *key == FeatureMap::SoftmaxOverTime && parts.contains(&true) {
            return Err(refused("key's feature map")
                .expecting("a function of each key alone, with a causal rule, lengths, segments or a state")
                .but_found("softmax over time"));
        }
        Ok(())
    }
}

/// Refuses a tensor of log decays that has one above 0, or one that is not finite ([`LinearAttention::decay`]). Kernels do not look: with a
/// decay above 0 the state grows, and exponents of pairs within a chunk are cut off at 0.
pub fn check_log_decay(log_decay: &HostTensor) -> Result<()> {
    refuse_first(log_decay, "log_decay", "finite numbers of at most 0", |log| log.is_finite() && log <= 0.0)
}

/// Refuses a tensor of factors of the delta rule that has one below 0, above `most`, which is 1 or 2, or one that is no number
/// ([`LinearAttention::delta_rule`]). Kernels do not look: beyond 2 the state grows from step to step.
pub fn check_beta(beta: &HostTensor, most: f32) -> Result<()> {
    let most = f64::from(most);
    refuse_first(beta, "beta", &format!("numbers within 0 and {most}"), |beta| (0.0..=most).contains(&beta))
}

/// Refuses `tensor` where an element is not as it should be.
fn refuse_first(
    tensor: &HostTensor,
    argument: &str,
    expected: &str,
    is_fine: impl Fn(f64) -> bool,
) -> Result<()> {
    match tensor.to_f64().into_iter().enumerate().find(|(_, element)| !is_fine(*element)) {
        None => Ok(()),
        Some((at, element)) => Err(Error::new(ErrorKind::Argument, NAME, argument)
            .expecting(expected)
            .but_found(format!("{} at element {at}", element as f32))),
    }
}
