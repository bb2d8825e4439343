//! Score modifiers: the rules that users combine, and the terms that kernels get of them.

use super::{Alignment, CustomScore};
use crate::graph::Value;

/// Score rules of one attention step.
pub(super) const MOST_SCORES: usize = 128;

/// A rule that changes scores, of which a step takes up to 128. Whatever their order in the settings, the score of query `i` and key `j` is, from the inside out,
///
/// 1. `scale * (q_i . k_j + content terms)`: [`Score::relative_keys`], [`Score::disentangled`]
/// 2. softcap
/// 3. plus [`Score::bias`], [`Score::alibi`], [`Score::buckets`], [`Score::gaussian`]
/// 4. custom rules, in order
///
/// and [`Score::adaptive_span`] multiplies its weight. Distances are those from the key opposite the query back to `j`, positive for keys before it,
/// under [`Alignment::BottomRight`] unless [`Score::aligned`] says otherwise. `T` is how a rule refers to tensors: by values of a graph, or by names.
/// Gradients reach every tensor.
#[derive(Clone, Debug)]
pub struct Score<T = Value> {
    pub(super) rule: ScoreRule<T>,
    pub(super) alignment: Alignment,
}

#[derive(Clone, Debug)]
pub(super) enum ScoreRule<T> {
    Bias(T),
    Alibi(T),
    Buckets { table: T, buckets: Buckets },
    Gaussian(T),
    RelativeKeys { content_bias: Option<T>, position_bias: Option<T>, keys: T, farthest_after: u32 },
    Disentangled { keys: Option<T>, queries: Option<T>, span: u32, max_distance: Option<u32> },
    AdaptiveSpan { span: T, ramp: f32 },
    Custom(CustomScore),
}

impl<T> Score<T> {
    fn new(rule: ScoreRule<T>) -> Self {
        Self { rule, alignment: Alignment::default() }
    }

    /// Adds `bias: [batch or 1, heads or 1, query_time or 1, key_time or 1]` of a float type. Its gradient is summed over what it is repeated along;
    /// of a bias for each query and key it takes `[batch, heads, query_time, key_time]` in f32 on the way. Below -5e29 a key counts as hidden.
    /// RealFormer's scores of earlier layers (arXiv 2012.11747) are added this way; [`residual_scores`](super::super::residual_scores) computes those
    /// for the next layer.
    pub fn bias(bias: T) -> Self {
        Self::new(ScoreRule::Bias(bias))
    }

    /// Subtracts `slopes[head] * |distance|`, f32 `[heads]` (ALiBi, arXiv 2108.12409). [`alibi_slopes`] has the paper's.
    pub fn alibi(slopes: T) -> Self {
        Self::new(ScoreRule::Alibi(slopes))
    }

    /// Adds `table[bucket(distance), head]`, f32 `[buckets, heads]` (T5, arXiv 1910.10683).
    pub fn buckets(table: T, buckets: Buckets) -> Self {
        Self::new(ScoreRule::Buckets { table, buckets })
    }

    /// Subtracts `distance^2 / (2 sigma[head]^2)`, f32 `[heads]` (localness, Yang et al. 2018, arXiv 1810.10182; Gaussian prior, Guo et
    /// al. 2019).
    pub fn gaussian(sigma: T) -> Self {
        Self::new(ScoreRule::Gaussian(sigma))
    }

    /// Adds `q_i . keys[distance, head]` to the product, and, where given, `content_bias[head] . k_j` and `position_bias[head] .
    /// keys[distance, head]` (Transformer-XL's `r`, `u` and `v`, arXiv 1901.02860, section 3.3; also XLNet's and Conformer's).
    ///
    /// `keys: [distances, heads, head_size]` starts with the distance `-farthest_after`: 0 for causal attention, where row `d` is distance
    /// `d`. Every distance that the mask shows must be there. Biases are `[heads, head_size]`; all are of the query's type. No table of
    /// queries by keys is made. Keys have as many heads as queries.
    pub fn relative_keys(
        keys: T,
        content_bias: Option<T>,
        position_bias: Option<T>,
        farthest_after: u32,
    ) -> Self {
        Self::new(ScoreRule::RelativeKeys { content_bias, position_bias, keys, farthest_after })
    }

    /// Adds DeBERTa's content-to-position term `q_i . keys[d, head]` and position-to-content term `k_j . queries[d, head]` to the product,
    /// with `d = clamp(distance + span, 0, 2 span - 1)` in both, as the released code has it (arXiv 2006.03654, section 3.1). Both are
    /// `[2 span, heads, head_size]` of the query's type. The usual scale is `1 / sqrt(3 head_size)`.
    pub fn disentangled(keys: Option<T>, queries: Option<T>, span: u32) -> Self {
        Self::new(ScoreRule::Disentangled { keys, queries, span, max_distance: None })
    }

    /// [`Score::disentangled`] with `d = clamp(bucket(distance) + span, 0, 2 span - 1)`, as DeBERTa has it from version 2 on.
    pub fn disentangled_in_buckets(keys: Option<T>, queries: Option<T>, buckets: LogBuckets) -> Self {
        let LogBuckets { span, max_distance } = buckets;
        Self::new(ScoreRule::Disentangled { keys, queries, span, max_distance: Some(max_distance) })
    }

    /// Multiplies the weight of a key by `clamp((ramp + span[head] - distance) / ramp, 0, 1)` before weights are normalised, f32 `[heads]`
    /// (adaptive attention span, arXiv 1905.07799). Keys beyond `span + ramp` are not visited at all.
    pub fn adaptive_span(span: T, ramp: f32) -> Self {
        Self::new(ScoreRule::AdaptiveSpan { span, ramp })
    }

    /// A rule of your own.
    pub fn custom(rule: CustomScore) -> Self {
        Self::new(ScoreRule::Custom(rule))
    }

    /// The same rule with distances under another alignment.
    #[must_use]
    pub fn aligned(self, alignment: Alignment) -> Self {
        Self { alignment, ..self }
    }

    /// The same rule with other tensors: the results of `map`, called in an order that never changes.
    pub fn map<U>(&self, map: &mut impl FnMut(&T) -> U) -> Score<U> {
        let rule = match &self.rule {
            ScoreRule::Bias(bias) => ScoreRule::Bias(map(bias)),
            ScoreRule::Alibi(slopes) => ScoreRule::Alibi(map(slopes)),
            ScoreRule::Buckets { table, buckets } => {
                ScoreRule::Buckets { table: map(table), buckets: *buckets }
            }
            ScoreRule::Gaussian(sigma) => ScoreRule::Gaussian(map(sigma)),
            ScoreRule::RelativeKeys { content_bias, position_bias, keys, farthest_after } => {
                ScoreRule::RelativeKeys {
                    content_bias: content_bias.as_ref().map(&mut *map),
                    position_bias: position_bias.as_ref().map(&mut *map),
                    keys: map(keys),
                    farthest_after: *farthest_after,
                }
            }
            ScoreRule::Disentangled { keys, queries, span, max_distance } => ScoreRule::Disentangled {
                keys: keys.as_ref().map(&mut *map),
                queries: queries.as_ref().map(&mut *map),
                span: *span,
                max_distance: *max_distance,
            },
            ScoreRule::AdaptiveSpan { span, ramp } => {
                ScoreRule::AdaptiveSpan { span: map(span), ramp: *ramp }
            }
            ScoreRule::Custom(rule) => ScoreRule::Custom(rule.clone()),
        };
        Score { rule, alignment: self.alignment }
    }
}

/// T5's buckets of distances: exact ones near by, growing exponentially up to `max_distance`, beyond which all share the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// How many: the rows of the table.
    pub count: u32,
    /// From which distance on all are in the last bucket.
    pub max_distance: u32,
    /// Whether keys behind the query have buckets of their own, the second half; otherwise they share that of distance 0.
    pub bidirectional: bool,
}

impl Buckets {
    /// The bucket of a distance (`_relative_position_bucket` of Hugging Face's T5, whose relative position is the distance negated).
    pub fn of(&self, distance: i64) -> u32 {
        let (count, start) = match self.bidirectional {
            true => (self.count / 2, if distance < 0 { self.count / 2 } else { 0 }),
            false => (self.count, 0),
        };
        let distance = if self.bidirectional { distance.unsigned_abs() } else { distance.max(0) as u64 };
        let exact = u64::from(count / 2);
        if distance < exact {
            return start + distance as u32;
        }
        // In f32, as the reference computes it: bucket borders are where f32 rounds them to.
        let exact = exact as f32;
        let grown =
            (distance as f32 / exact).ln() / (self.max_distance as f32 / exact).ln() * (count as f32 - exact);
        start + (exact as u32 + grown as u32).min(count.saturating_sub(1))
    }
}

/// DeBERTa's buckets of distances in either direction: exact ones up to half the span, growing exponentially up to `max_distance - 1`,
/// which is in the last (He et al., arXiv 2111.09543; `make_log_bucket_position` of
/// <https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/models/deberta_v2/modeling_deberta_v2.py>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBuckets {
    /// Buckets in each direction: half the rows of a table. At least 2. `position_buckets` in configurations.
    pub span: u32,
    /// One past the distance that is in the last bucket; more than `span / 2 + 1`. `max_relative_positions` in configurations.
    pub max_distance: u32,
}

impl LogBuckets {
    /// The bucket of a distance, with its sign. Distances from `max_distance` on may have buckets beyond the span.
    pub fn of(&self, distance: i64) -> i64 {
        let exact = self.span / 2;
        if distance.unsigned_abs() <= u64::from(exact) {
            return distance;
        }
        // In f32, as the reference computes it: bucket borders are where f32 rounds them to.
        let middle = exact as f32;
        let grown = (distance.unsigned_abs() as f32 / middle).ln()
            / (self.max_distance.saturating_sub(1) as f32 / middle).ln()
            * exact.saturating_sub(1) as f32;
        distance.signum() * (i64::from(exact) + grown.ceil() as i64)
    }
}

/// The slopes of ALiBi's paper for a number of heads: `2^(-8 (h + 1) / heads)` for powers of two, and for other numbers those of the
/// next smaller power with every other slope of the next larger one behind them, as in the authors' code.
pub fn alibi_slopes(heads: usize) -> Vec<f32> {
    let of_power = |heads: usize| (1..=heads).map(move |h| 2f64.powf(-8.0 * h as f64 / heads as f64));
    let power = if heads.is_power_of_two() { heads } else { heads.next_power_of_two() / 2 };
    let further = of_power(2 * power).step_by(2);
    of_power(power).chain(further).take(heads).map(|slope| slope as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_buckets_are_those_of_the_released_code() {
        let small = LogBuckets { span: 6, max_distance: 40 };
        let distances = [0, 1, 3, 4, 8, 10, 11, 39, 40, 141, 142];
        assert_eq!(distances.map(|distance| small.of(distance)), [0, 1, 3, 4, 4, 4, 5, 5, 6, 7, 7]);
        assert_eq!(
            distances.map(|distance| small.of(-distance)),
            [0, 1, 3, 4, 4, 4, 5, 5, 6, 7, 7].map(|bucket: i64| -bucket)
        );
        let base = LogBuckets { span: 256, max_distance: 512 };
        let distances = [127, 128, 129, 130, 200, 333, 510, 511, 512];
        assert_eq!(
            distances.map(|distance| base.of(distance)),
            [127, 128, 129, 130, 169, 216, 255, 255, 256]
        );
    }
}
