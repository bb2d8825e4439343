//! The rules on the CPU, pair by pair.

use super::mask::{Band, Blocks, Dilated, Node};
use super::{Alignment, Pair, Rule, Term};
use crate::ops::attention::Dims;
use crate::tensor::{Array, Real};

/// Tensors of a rule, and the extents they belong to.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops::attention) struct Data<'a, R> {
    dims: &'a Dims,
    tensors: &'a [&'a Array<R>],
    /// The position of the first query of each batch item, where a tensor has it.
    starts: Option<&'a [i64]>,
}

/// A score on its way from the product of query and key to the weight.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops::attention) struct Scored<R> {
    pub(in crate::ops::attention) score: R,
    /// The derivative of the score by what softcap is taken of.
    pub(in crate::ops::attention) slope: R,
    /// The derivative of the score by what is added after softcap.
    pub(in crate::ops::attention) added_slope: R,
}

impl<'a, R: Real> Data<'a, R> {
    pub(in crate::ops::attention) fn new(rule: &Rule, dims: &'a Dims, tensors: &'a [&'a Array<R>]) -> Self {
        Self { dims, tensors, starts: rule.query_start.map(|starts| tensors[starts].indices()) }
    }

    /// For rules without tensors.
    pub(super) fn none(dims: &'a Dims) -> Self {
        Self { dims, tensors: &[], starts: None }
    }

    fn real(&self, tensor: usize, at: usize) -> R {
        self.tensors[tensor].reals()[at]
    }

    fn integers(&self, tensor: usize) -> &'a [i64] {
        self.tensors[tensor].indices()
    }

    /// Where the first query of a batch item stands, no farther from the keys than that all queries lie before or behind them.
    fn start(&self, batch: usize) -> Option<i64> {
        let (query_time, key_time) = (self.dims.query_time as i64, self.dims.key_time as i64);
        self.starts.map(|starts| starts[batch].clamp(-query_time, key_time))
    }

    /// The position of the key opposite a query of a batch item, which may lie before the first key or behind the last.
    pub(in crate::ops::attention) fn opposite(
        &self,
        alignment: Alignment,
        batch: usize,
        query: usize,
    ) -> i64 {
        query as i64 + self.start(batch).unwrap_or_else(|| alignment.shift(self.dims))
    }

    /// The position of a query among what rules hold by position, unless it has none.
    pub(in crate::ops::attention) fn position(&self, batch: usize, query: usize) -> Option<usize> {
        let Some(start) = self.start(batch) else { return Some(query) };
        usize::try_from(start + query as i64).ok().filter(|&position| position < self.dims.key_time)
    }

    /// The pair as rules of users are asked about it.
    fn asked(&self, pair: Pair) -> Pair {
        let Some(start) = self.start(pair.batch) else { return pair };
        let last = self.dims.key_time.saturating_sub(1);
        Pair { query: (start + pair.query as i64).clamp(0, last as i64) as usize, ..pair }
    }

    fn distance(&self, alignment: Alignment, pair: Pair) -> i64 {
        self.opposite(alignment, pair.batch, pair.query) - pair.key as i64
    }

    /// Whether the mask shows the pair.
    pub(super) fn sees(&self, node: &Node<usize>, pair: Pair) -> bool {
        let Pair { batch, head, query, key } = pair;
        let dims = self.dims;
        let within = |distance: i64, left: Option<i64>, right: Option<i64>| {
            left.is_none_or(|left| distance <= left) && right.is_none_or(|right| distance >= -right)
        };
        match node {
            &Node::Band(Band { left, right, alignment }) => {
                within(self.distance(alignment, pair), left.map(i64::from), right.map(i64::from))
            }
            Node::Dilated(Dilated { left, right, dilation, alignment }) => {
                let step = i64::from(if dilation.len() == 1 { dilation[0] } else { dilation[head] });
                let bound = |steps: &Option<u32>| steps.map(|steps| i64::from(steps).saturating_mul(step));
                let distance = self.distance(*alignment, pair);
                within(distance, bound(left), bound(right)) && distance % step == 0
            }
            &Node::SameBlock { size, alignment } => {
                let opposite = self.opposite(alignment, batch, query);
                opposite.div_euclid(size.into()) == key as i64 / i64::from(size)
            }
            &Node::Columns { period, from } => key % period as usize >= from as usize,
            &Node::LogSparse { spec, alignment } => spec.sees(self.distance(alignment, pair)),
            &Node::Prefix(count) => key < count as usize,
            &Node::Lengths(tensor) => (key as i64) < self.integers(tensor)[batch],
            &Node::Segments(tensor) => {
                let ids = &self.integers(tensor)[batch * dims.key_time..][..dims.key_time];
                self.position(batch, query).is_some_and(|own| {
                    let (first, last) = (own.min(key), own.max(key));
                    ids[first..=last].iter().all(|&id| id == ids[own])
                })
            }
            &Node::GlobalKeys(tensor) => self.holds(tensor, batch, key),
            &Node::GlobalQueries(tensor) => {
                self.position(batch, query).is_some_and(|own| self.holds(tensor, batch, own))
            }
            Node::Blocks(Blocks { layout, .. }) => {
                let size = layout.block_size() as usize;
                self.position(batch, query).is_some_and(|own| layout.meets(head, own / size, key / size))
            }
            &Node::Dense(tensor) => self.integers(tensor)[self.broadcast(tensor, pair)] != 0,
            Node::Custom(rule) => (rule.reference)(self.asked(pair)),
            // Made a layout by prepare, and refused by the contract.
            Node::BigBird(_) | Node::TooMany(_) => false,
            Node::All(parts) => parts.iter().all(|part| self.sees(part, pair)),
            Node::Any(parts) => parts.iter().any(|part| self.sees(part, pair)),
            Node::Not(part) => !self.sees(part, pair),
        }
    }

    /// Whether a list of positions of the batch item holds `position`.
    fn holds(&self, tensor: usize, batch: usize, position: usize) -> bool {
        let count = self.tensors[tensor].dims()[1];
        self.integers(tensor)[batch * count..][..count].contains(&(position as i64))
    }

    /// Where the element of a pair lies in a tensor whose axes may be repeated.
    pub(in crate::ops::attention) fn broadcast(&self, tensor: usize, pair: Pair) -> usize {
        let indices = [pair.batch, pair.head, pair.query, pair.key];
        let extents = self.tensors[tensor].dims();
        indices
            .iter()
            .zip(extents)
            .fold(0, |at, (&index, &extent)| at * extent + if extent == 1 { 0 } else { index })
    }

    /// What relative keys add to the product, for a query's second vector.
    pub(in crate::ops::attention) fn relative(&self, rule: &Rule, pair: Pair, position_query: &[R]) -> R {
        let Some(row) = self.relative_row(rule, pair) else { return R::zero() };
        let keys = self.tensors[rule.relative_keys().map_or(0, |(keys, ..)| keys)].reals();
        let row = &keys[row * position_query.len()..][..position_query.len()];
        row.iter().zip(position_query).map(|(&key, &query)| key * query).sum()
    }

    /// Which row, of one head's, the relative key of a pair is.
    pub(in crate::ops::attention) fn relative_row(&self, rule: &Rule, pair: Pair) -> Option<usize> {
        let (_, after, alignment) = rule.relative_keys()?;
        let row = self.distance(alignment, pair) + i64::from(after);
        Some(usize::try_from(row).ok()? * self.dims.heads + pair.head)
    }

    /// Where the number of a pair's distance lies in a map.
    fn slot(&self, map: super::Map, pair: Pair) -> usize {
        let possible = map.alignment.distances(self.dims, self.starts.is_some());
        let at = self.distance(map.alignment, pair) - possible.start();
        self.integers(map.slots)[at as usize] as usize
    }

    /// What a table of `[batch, time, heads, width]` holds for row `at` of its time.
    fn entry(&self, table: usize, width: usize, map: super::Map, pair: Pair, at: usize) -> usize {
        let time = self.tensors[table].dims()[1];
        ((pair.batch * time + at) * self.dims.heads + pair.head) * width + self.slot(map, pair)
    }

    /// The score of a pair whose query and keys, relative ones included, have the product `product`.
    pub(in crate::ops::attention) fn score(&self, rule: &Rule, pair: Pair, product: R) -> Scored<R> {
        let mut content = product;
        let mut added = R::zero();
        for term in &rule.terms {
            match *term {
                Term::QueryTable { table, width, map } => {
                    content += self.real(table, self.entry(table, width, map, pair, pair.query))
                }
                Term::KeyTable { table, width, map } => {
                    content += self.real(table, self.entry(table, width, map, pair, pair.key))
                }
                Term::Bias { bias, .. } => added += self.real(bias, self.broadcast(bias, pair)),
                Term::Alibi { slopes, alignment } => {
                    let distance = R::of(self.distance(alignment, pair).abs() as f64);
                    added += -self.real(slopes, pair.head) * distance;
                }
                Term::Gaussian { sigma, alignment } => {
                    let of_sigma = R::of(self.distance(alignment, pair) as f64) / self.real(sigma, pair.head);
                    added += R::of(-0.5) * of_sigma * of_sigma;
                }
                Term::Distances { table, map, .. } => {
                    added += self.real(table, self.slot(map, pair) * self.dims.heads + pair.head);
                }
                Term::RelativeKeys { .. } | Term::Ramp { .. } | Term::Custom(_) => {}
            }
        }
        // A product that is not finite makes the row so, softcap or not, and hides nothing.
        if !content.is_finite() {
            content = R::nan();
        }
        let mut scored =
            Scored { score: R::of(rule.scale) * content, slope: R::one(), added_slope: R::one() };
        if let Some(cap) = rule.softcap.map(|cap| R::of(cap.into())) {
            let t = (scored.score / cap).tanh();
            (scored.score, scored.slope) = (cap * t, R::one() - t * t);
        }
        scored.score += added;
        let asked = self.asked(pair);
        for custom in rule.customs() {
            let score = scored.score.get();
            let slope = R::of(custom.slope.as_ref().map_or(0.0, |slope| slope(asked, score)));
            scored.slope = scored.slope * slope;
            scored.added_slope = scored.added_slope * slope;
            scored.score = R::of((custom.reference)(asked, score));
        }
        scored
    }

    /// What the weight of a pair is multiplied by, from 0 to 1.
    pub(in crate::ops::attention) fn ramp(&self, rule: &Rule, pair: Pair) -> R {
        let ramp_of = |term: &Term| match *term {
            Term::Ramp { span, ramp, alignment } => {
                let distance = R::of(self.distance(alignment, pair) as f64);
                let ramp = R::of(ramp.into());
                Some(((ramp + self.real(span, pair.head) - distance) / ramp).max(R::zero()).min(R::one()))
            }
            _ => None,
        };
        rule.terms.iter().find_map(ramp_of).unwrap_or_else(R::one)
    }

    /// Whether the rule shows the pair, an adaptive span included.
    pub(in crate::ops::attention) fn shows(&self, rule: &Rule, pair: Pair) -> bool {
        self.sees(&rule.mask.0, pair) && self.ramp(rule, pair) > R::zero()
    }

    /// Adds to `sums`, those of a query row, what the gradient of a pair's score contributes: `d_score`, or with the slopes of `scored`
    /// where softcap and rules of users come behind.
    pub(in crate::ops::attention) fn add_query_slots(
        &self,
        rule: &Rule,
        pair: Pair,
        d_score: R,
        scored: &Scored<R>,
        sums: &mut [R],
    ) {
        let content = R::of(rule.scale) * scored.slope * d_score;
        let added = scored.added_slope * d_score;
        let mut first = 0;
        for term in &rule.terms {
            match *term {
                Term::Alibi { alignment, .. } => {
                    sums[first] += -added * R::of(self.distance(alignment, pair).abs() as f64);
                }
                Term::Gaussian { sigma, alignment } => {
                    let distance = R::of(self.distance(alignment, pair) as f64);
                    let sigma = self.real(sigma, pair.head);
                    sums[first] += added * distance * distance / (sigma * sigma * sigma);
                }
                Term::Bias { by_key: false, .. } => sums[first] += added,
                Term::Distances { map, .. } => sums[first + self.slot(map, pair)] += added,
                Term::QueryTable { map, .. } => sums[first + self.slot(map, pair)] += content,
                // The score's gradient has the ramp as a factor, in whose place comes its slope, between its ends.
                Term::Ramp { ramp: length, .. } => {
                    let ramp = self.ramp(rule, pair);
                    if ramp < R::one() {
                        sums[first] += d_score / (ramp * R::of(length.into()));
                    }
                }
                _ => {}
            }
            first += term.query_slots();
        }
    }

    /// The same for those of a key row.
    pub(in crate::ops::attention) fn add_key_slots(
        &self,
        rule: &Rule,
        pair: Pair,
        d_score: R,
        scored: &Scored<R>,
        sums: &mut [R],
    ) {
        let content = R::of(rule.scale) * scored.slope * d_score;
        let mut first = 0;
        for term in &rule.terms {
            match *term {
                Term::KeyTable { map, .. } => sums[first + self.slot(map, pair)] += content,
                Term::Bias { by_query: false, by_key: true, .. } => {
                    sums[first] += scored.added_slope * d_score
                }
                _ => {}
            }
            first += term.key_slots();
        }
    }
}
