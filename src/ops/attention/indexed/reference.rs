//! The CPU reference: slot by slot, in the letters of the formula.

use rayon::prelude::*;

use super::backward::IndexedBackward;
use super::{Border, Chunked, HIDDEN_ENTRY, INDEX, IndexedAttention, Parts, Results};
use crate::ops::attention::{Dims, EMPTY_ROW_LSE};
use crate::tensor::{Array, Real};

/// The index of one batch item and head.
struct Index<'a> {
    spec: &'a Chunked,
    parts: Parts,
    time: usize,
    line: &'a [i64],
}

/// A key that a slot's query sees: its slot among those of all rounds, its position, its score, and how that goes with the product.
struct Seen<R> {
    slot: usize,
    position: usize,
    score: R,
    slope: R,
}

impl Index<'_> {
    /// The position in a slot, and whether nobody else sees it.
    fn entry(&self, at: usize) -> Option<(usize, bool)> {
        let entry = usize::try_from(self.line[at]).ok()?;
        let hidden = HIDDEN_ENTRY as usize;
        Some((entry % hidden, entry >= hidden))
    }

    fn position_of_query(&self, slot: usize) -> Option<usize> {
        self.entry(slot).map(|(position, _)| position)
    }

    /// How often a chunk of queries meets a chunk of keys, counted over all rounds.
    fn times(&self, query_chunk: usize, key_chunk: usize) -> usize {
        let Chunked { chunks, rounds, before, after, border, .. } = *self.spec;
        let (own, other) = (query_chunk as i64, key_chunk as i64);
        let is_met = |chunk: i64| (own - before as i64..=own + after as i64).contains(&chunk);
        match border {
            Border::Stop => usize::from(own / chunks as i64 == other / chunks as i64 && is_met(other)),
            Border::Ring => {
                let turn = (chunks * rounds) as i64;
                [other - turn, other, other + turn].into_iter().filter(|&chunk| is_met(chunk)).count()
            }
        }
    }

    fn is_same_bucket(&self, rounds: [usize; 2], positions: [usize; 2]) -> bool {
        let bucket = |position| self.line[self.parts.buckets + rounds[0] * self.time + position];
        rounds[0] == rounds[1] && bucket(positions[0]) == bucket(positions[1])
    }

    /// How often two positions meet in all rounds together, where they may.
    fn meetings(&self, query: usize, key: usize) -> usize {
        let Chunked { chunks, rounds, same_bucket, .. } = *self.spec;
        let chunk = |round: usize, position: usize| {
            round * chunks + self.line[self.parts.chunks + round * self.time + position] as usize
        };
        let pairs = (0..rounds).flat_map(|round| (0..rounds).map(move |other| [round, other]));
        pairs
            .filter(|&rounds| !same_bucket || self.is_same_bucket(rounds, [query, key]))
            .map(|[round, other]| self.times(chunk(round, query), chunk(other, key)))
            .sum()
    }

    /// What the query in `slot` sees, as often as it sees it; `product` is of its query and a position's key.
    fn seen<R: Real>(&self, slot: usize, product: impl Fn(usize) -> R) -> Vec<Seen<R>> {
        let Chunked { query_chunk, key_chunk, chunks, rounds, .. } = *self.spec;
        let Some(query) = self.position_of_query(slot) else { return Vec::new() };
        let mut seen = Vec::new();
        for chunk in 0..chunks * rounds {
            let times = self.times(slot / query_chunk, chunk);
            if times == 0 {
                continue;
            }
            for key_slot in chunk * key_chunk..(chunk + 1) * key_chunk {
                let Some((key, is_hidden)) = self.entry(self.parts.keys + key_slot) else { continue };
                let in_rounds = [slot / (chunks * query_chunk), key_slot / (chunks * key_chunk)];
                let Some((score, slope)) = self.score(in_rounds, [query, key], is_hidden, || product(key))
                else {
                    continue;
                };
                seen.extend((0..times).map(|_| Seen { slot: key_slot, position: key, score, slope }));
            }
        }
        seen
    }

    /// The score of a pair and its slope, unless the pair is hidden.
    fn score<R: Real>(
        &self,
        rounds: [usize; 2],
        [query, key]: [usize; 2],
        is_hidden: bool,
        product: impl Fn() -> R,
    ) -> Option<(R, R)> {
        let spec = self.spec;
        if is_hidden {
            return None;
        }
        if let Some(score) = spec.self_score.filter(|_| query == key) {
            let less = if spec.is_deduplicated { spec.rounds as f64 } else { 1.0 };
            return Some((R::of(f64::from(score) - less.ln()), R::zero()));
        }
        let hidden = spec.is_causal && key > query && key < spec.shown_from
            || spec.same_bucket && !self.is_same_bucket(rounds, [query, key]);
        if hidden {
            return None;
        }
        let less = if spec.is_deduplicated { self.meetings(query, key) as f64 } else { 1.0 };
        Some((product() * R::of(spec.scale.into()) - R::of(less.ln()), R::one()))
    }
}

/// The rows of one batch item and head.
struct Rows<'a, R> {
    dims: Dims,
    pair: usize,
    inputs: &'a [&'a Array<R>],
}

impl<'a, R: Real> Rows<'a, R> {
    fn place(&self, time: usize, position: usize) -> usize {
        let (b, h) = (self.pair / self.dims.heads, self.pair % self.dims.heads);
        (b * time + position) * self.dims.heads + h
    }

    fn query(&self, position: usize) -> &'a [R] {
        let size = self.dims.head_size;
        &self.inputs[0].reals()[self.place(self.dims.query_time, position) * size..][..size]
    }

    fn key(&self, position: usize) -> &'a [R] {
        let size = self.dims.head_size;
        &self.inputs[1].reals()[self.place(self.dims.key_time, position) * size..][..size]
    }

    fn value(&self, position: usize) -> &'a [R] {
        let size = self.dims.value_size;
        &self.inputs[2].reals()[self.place(self.dims.key_time, position) * size..][..size]
    }
}

fn dot<R: Real>(a: &[R], b: &[R]) -> R {
    a.iter().zip(b).fold(R::zero(), |sum, (&a, &b)| sum + a * b)
}

/// `sum += factor * x`
fn add<R: Real>(sum: &mut [R], factor: R, x: &[R]) {
    sum.iter_mut().zip(x).for_each(|(sum, &x)| *sum += factor * x);
}

/// The output row of a slot: its position, or its own number.
fn result_of(spec: &Chunked, index: &Index<'_>, slot: usize) -> Option<usize> {
    match spec.results {
        Results::Positions => index.position_of_query(slot),
        Results::Slots => Some(slot),
    }
}

/// Maximum and sum of `scores`.
fn statistics<'s, R: Real>(scores: impl Iterator<Item = &'s R> + Clone) -> (R, R) {
    match scores.clone().copied().reduce(R::max) {
        Some(m) => (m, scores.map(|&s| (s - m).exp()).sum()),
        None => (R::of(EMPTY_ROW_LSE.into()), R::zero()),
    }
}

fn log_sum_exp<R: Real>((m, l): (R, R)) -> R {
    if l > R::zero() { m + l.ln() } else { R::of(EMPTY_ROW_LSE.into()) }
}

/// `out`, `lse`, `statistics` and `lse_rounds`.
pub(super) fn forward<R: Real>(inputs: &[&Array<R>], op: &IndexedAttention) -> Vec<Array<R>> {
    let dims = Dims::from_dims(inputs[0].dims(), inputs[1].dims(), inputs[2].dims());
    let (spec, time) = (&op.spec, op.spec.result_time(&dims));
    let Dims { batch, heads, value_size, .. } = dims;
    let per_head: Vec<[Vec<R>; 4]> = (0..batch * heads)
        .into_par_iter()
        .map(|pair| {
            let index = index_of(inputs[INDEX], op, &dims, pair);
            let rows = Rows { dims, pair, inputs };
            // What each row sees, round by round.
            let mut of_rows: Vec<Vec<Seen<R>>> = (0..time).map(|_| Vec::new()).collect();
            let mut lse_rounds = vec![R::of(EMPTY_ROW_LSE.into()); spec.rounds * time];
            for slot in 0..spec.rounds * spec.query_slots() {
                let Some(row) = result_of(spec, &index, slot) else { continue };
                let query = index.position_of_query(slot).map(|position| rows.query(position));
                let seen = index.seen(slot, |key| query.map_or(R::zero(), |query| dot(query, rows.key(key))));
                lse_rounds[slot / spec.query_slots() * time + row] =
                    log_sum_exp(statistics(seen.iter().map(|seen| &seen.score)));
                of_rows[row].extend(seen);
            }
            let (mut out, mut lse, mut stats) = (Vec::new(), Vec::new(), Vec::new());
            for seen in &of_rows {
                let (m, l) = statistics(seen.iter().map(|seen| &seen.score));
                let mut sum = vec![R::zero(); value_size];
                for key in seen {
                    add(&mut sum, (key.score - m).exp() / l, rows.value(key.position));
                }
                out.extend(sum);
                lse.push(log_sum_exp((m, l)));
                stats.extend([m, l]);
            }
            [out, lse, stats, lse_rounds]
        })
        .collect();
    let joined = |part: usize| per_head.iter().flat_map(|head| head[part].iter().copied()).collect();
    let outs: Vec<&Vec<R>> = per_head.iter().map(|[out, ..]| out).collect();
    vec![
        Array::real([batch, time, heads, value_size], time_first(&outs, heads, time, value_size)),
        Array::real([batch, heads, time], joined(1)),
        Array::real([batch, heads, time, 2], joined(2)),
        Array::real([batch, heads, spec.rounds, time], joined(3)),
    ]
}

fn index_of<'a, R: Real>(
    index: &'a Array<R>,
    op: &'a IndexedAttention,
    dims: &Dims,
    pair: usize,
) -> Index<'a> {
    let parts = Parts::of(&op.spec, dims, op.shares_order);
    Index {
        spec: &op.spec,
        parts,
        time: dims.query_time,
        line: &index.indices()[pair * parts.line..][..parts.line],
    }
}

/// Rows of heads, `[time, width]` each, as `[batch, time, heads, width]`.
fn time_first<R: Real>(per_head: &[&Vec<R>], heads: usize, time: usize, width: usize) -> Vec<R> {
    let mut all = Vec::with_capacity(per_head.len() * time * width);
    for item in per_head.chunks(heads) {
        for t in 0..time {
            item.iter().for_each(|head| all.extend(&head[t * width..][..width]));
        }
    }
    all
}

/// `dq`, `dk` and `dv`, for inputs `q`, `k`, `v`, the index, `out`, `statistics`, `d_out` and, where there is one, `d_lse`.
pub(super) fn backward<R: Real>(inputs: &[&Array<R>], op: &IndexedBackward) -> Vec<Array<R>> {
    let dims = Dims::from_dims(inputs[0].dims(), inputs[1].dims(), inputs[2].dims());
    let (spec, time) = (&op.forward.spec, op.forward.spec.result_time(&dims));
    let Dims { batch, heads, head_size, value_size, .. } = dims;
    let [query_time, key_time] = match spec.results {
        Results::Positions => [dims.query_time, dims.key_time],
        Results::Slots => [spec.query_slots(), spec.key_slots()],
    };
    let per_head: Vec<[Vec<R>; 3]> = (0..batch * heads)
        .into_par_iter()
        .map(|pair| {
            let index = index_of(inputs[INDEX], &op.forward, &dims, pair);
            let rows = Rows { dims, pair, inputs };
            let mut dq = vec![R::zero(); query_time * head_size];
            let mut dk = vec![R::zero(); key_time * head_size];
            let mut dv = vec![R::zero(); key_time * value_size];
            for slot in 0..spec.rounds * spec.query_slots() {
                let Some(row) = result_of(spec, &index, slot) else { continue };
                let Some(position) = index.position_of_query(slot) else { continue };
                let query = rows.query(position);
                let at = rows.place(time, row) * value_size;
                let [out, d_out] = [4, 6].map(|input: usize| &inputs[input].reals()[at..][..value_size]);
                let [m, l] = [0, 1].map(|part| inputs[5].reals()[2 * (pair * time + row) + part]);
                let d_lse = inputs.get(7).map_or(R::zero(), |d_lse| d_lse.reals()[pair * time + row]);
                let d = dot(d_out, out) - d_lse;
                for key in index.seen(slot, |key| dot(query, rows.key(key))) {
                    let p = (key.score - m).exp() / l;
                    let ds =
                        p * (dot(d_out, rows.value(key.position)) - d) * key.slope * R::of(spec.scale.into());
                    let own = if spec.results == Results::Slots { key.slot } else { key.position };
                    add(&mut dq[row * head_size..][..head_size], ds, rows.key(key.position));
                    add(&mut dk[own * head_size..][..head_size], ds, query);
                    add(&mut dv[own * value_size..][..value_size], p, d_out);
                }
            }
            [dq, dk, dv]
        })
        .collect();
    let sizes = [(query_time, head_size), (key_time, head_size), (key_time, value_size)];
    let arrays = sizes.into_iter().enumerate().map(|(part, (time, width))| {
        let of_heads: Vec<&Vec<R>> = per_head.iter().map(|head| &head[part]).collect();
        Array::real([batch, time, heads, width], time_first(&of_heads, heads, time, width))
    });
    arrays.collect()
}
