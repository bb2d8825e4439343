//! The CPU reference: one row of scores at a time, in the letters of the formula. Heads run in parallel.

use std::ops::Range;

use rayon::prelude::*;

use super::super::rules::reference::Data;
use super::super::rules::{Pair, Rule};
use super::super::{Dims, EMPTY_ROW_LSE, HIDDEN_SCORE};
use super::REQUIRED;
use crate::tensor::{Array, Real};

/// `out`, `lse` and `statistics` for inputs `q`, `k`, `v` and the tensors of the rule.
pub(super) fn forward<R: Real>(inputs: &[&Array<R>], rule: &Rule) -> Vec<Array<R>> {
    let dims = Dims::from_dims(inputs[0].dims(), inputs[1].dims(), inputs[2].dims());
    let Dims { batch, query_time, heads, value_size, .. } = dims;
    let seen = Seen::new(inputs, rule, &dims, REQUIRED);

    let rows_of_heads: Vec<[Vec<R>; 3]> = (0..batch * heads)
        .into_par_iter()
        .map(|pair| head(inputs, rule, &dims, (pair / heads, pair % heads), &seen))
        .collect();

    let mut out = vec![R::zero(); batch * query_time * heads * value_size];
    let mut lse = Vec::with_capacity(batch * heads * query_time);
    let mut statistics = Vec::with_capacity(2 * batch * heads * query_time);
    for (pair, [out_h, lse_h, statistics_h]) in rows_of_heads.into_iter().enumerate() {
        let (b, h) = (pair / heads, pair % heads);
        for (i, out_i) in out_h.chunks_exact(value_size).enumerate() {
            let row = ((b * query_time + i) * heads + h) * value_size;
            out[row..row + value_size].copy_from_slice(out_i);
        }
        lse.extend(lse_h);
        statistics.extend(statistics_h);
    }
    vec![
        Array::real([batch, query_time, heads, value_size], out),
        Array::real([batch, heads, query_time], lse),
        Array::real([batch, heads, query_time, 2], statistics),
    ]
}

/// Whether a key of this score counts as hidden. A score that is no number does not.
pub(in crate::ops::attention) fn is_hidden<R: Real>(score: R) -> bool {
    score <= R::of(HIDDEN_SCORE.into())
}

/// `[query_time, value_size]` of `out`, `[query_time]` of `lse` and `[query_time, 2]` of `statistics` for one batch item and query head.
fn head<R: Real>(
    inputs: &[&Array<R>],
    rule: &Rule,
    dims: &Dims,
    (b, h): (usize, usize),
    seen: &Seen<'_, R>,
) -> [Vec<R>; 3] {
    let [q, k, v] = [inputs[0].reals(), inputs[1].reals(), inputs[2].reals()];
    let kv_row = |j: usize| (b * dims.key_time + j) * dims.kv_heads + h / dims.group();
    // Keys as [channel, time]: a sum over channels cannot be vectorised in order, many such sums beside each other can.
    let mut k_h = vec![R::zero(); dims.head_size * dims.key_time];
    for j in 0..dims.key_time {
        for c in 0..dims.head_size {
            k_h[c * dims.key_time + j] = k[kv_row(j) * dims.head_size + c];
        }
    }
    let mut out = vec![R::zero(); dims.query_time * dims.value_size];
    let mut lse = vec![R::of(EMPTY_ROW_LSE.into()); dims.query_time];
    let mut statistics = [R::of(EMPTY_ROW_LSE.into()), R::zero()].repeat(dims.query_time);
    for i in 0..dims.query_time {
        let keys = seen.keys(b, i);
        let query_size = rule.query_vectors() * dims.head_size;
        let row = ((b * dims.query_time + i) * dims.heads + h) * query_size;
        let (q_i, position_q_i) = q[row..row + query_size].split_at(dims.head_size);
        let mut products = vec![R::zero(); keys.len()];
        for (c, &q) in q_i.iter().enumerate() {
            let k_c = &k_h[c * dims.key_time..][keys.clone()];
            products.iter_mut().zip(k_c).for_each(|(product, &k)| *product += q * k);
        }
        // Score and ramp of the keys that are seen.
        let shown: Vec<(usize, R, R)> = keys
            .zip(products)
            .filter_map(|(j, product)| {
                let pair = Pair { batch: b, head: h, query: i, key: j };
                if !seen.shows(pair) {
                    return None;
                }
                let product = product + seen.data.relative(rule, pair, position_q_i);
                let score = seen.data.score(rule, pair, product).score;
                (!is_hidden(score)).then(|| (j, score, seen.data.ramp(rule, pair)))
            })
            .collect();
        let Some(m) = shown.iter().map(|&(_, s, _)| s).reduce(R::max) else { continue };
        let e: Vec<R> = shown.iter().map(|&(_, s, ramp)| ramp * (s - m).exp()).collect();
        let l: R = e.iter().copied().sum();
        let out_i = &mut out[i * dims.value_size..][..dims.value_size];
        for (&(j, ..), e) in shown.iter().zip(e) {
            let p = e / l;
            let v_j = &v[kv_row(j) * dims.value_size..][..dims.value_size];
            out_i.iter_mut().zip(v_j).for_each(|(out, &v)| *out += p * v);
        }
        lse[i] = m + l.ln();
        statistics[2 * i..][..2].copy_from_slice(&[m, l]);
    }
    [out, lse, statistics]
}

/// Which keys each query sees.
pub(in crate::ops::attention) struct Seen<'a, R> {
    pub(in crate::ops::attention) data: Data<'a, R>,
    rule: &'a Rule,
    dims: &'a Dims,
    /// For each query of each batch item, all that the rule shows, where that is a range.
    ranges: Option<Vec<Range<usize>>>,
}

impl<'a, R: Real> Seen<'a, R> {
    /// The tensors of the rule stand behind `required` other inputs.
    pub(in crate::ops::attention) fn new(
        inputs: &'a [&'a Array<R>],
        rule: &'a Rule,
        dims: &'a Dims,
        required: usize,
    ) -> Self {
        let tensors = &inputs[required..];
        let data = Data::new(rule, dims, tensors);
        let ranges = rule.ranges().map(|_| {
            let row = |b, i| range(tensors, rule, dims, &data, b, i);
            (0..dims.batch)
                .flat_map(|b| (0..dims.query_time).map(move |i| (b, i)))
                .map(|(b, i)| row(b, i))
                .collect()
        });
        Self { data, rule, dims, ranges }
    }

    /// A range that holds all keys that query `i` of item `b` sees.
    pub(in crate::ops::attention) fn keys(&self, b: usize, i: usize) -> Range<usize> {
        self.ranges
            .as_ref()
            .map_or(0..self.dims.key_time, |ranges| ranges[b * self.dims.query_time + i].clone())
    }

    /// Whether a pair of that range is seen.
    pub(in crate::ops::attention) fn shows(&self, pair: Pair) -> bool {
        self.ranges.is_some() || self.data.shows(self.rule, pair)
    }
}

/// The keys that query `i` of item `b` sees under a rule that shows ranges.
fn range<R: Real>(
    tensors: &[&Array<R>],
    rule: &Rule,
    dims: &Dims,
    data: &Data<'_, R>,
    b: usize,
    i: usize,
) -> Range<usize> {
    let ranges = rule.ranges().unwrap_or_default();
    let real = match (ranges.segments, ranges.lengths) {
        (Some(segments), _) => {
            let Some(own) = data.position(b, i) else { return 0..0 };
            let ids = &tensors[segments].indices()[b * dims.key_time..][..dims.key_time];
            let before = ids[..own].iter().rev().take_while(|&&id| id == ids[own]).count();
            let behind = ids[own..].iter().take_while(|&&id| id == ids[own]).count();
            own - before..own + behind
        }
        (None, Some(lengths)) => 0..tensors[lengths].indices()[b].clamp(0, dims.key_time as i64) as usize,
        (None, None) => 0..dims.key_time,
    };
    let (start, end) = (real.start as i64, real.end as i64);
    let opposite = data.opposite(ranges.band.alignment, b, i);
    let first = ranges.band.left.map_or(start, |left| (opposite - i64::from(left)).max(start));
    let end = ranges.band.right.map_or(end, |right| (opposite + i64::from(right) + 1).clamp(start, end));
    first.min(end) as usize..end as usize
}
