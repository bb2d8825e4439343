//! The CPU reference: a key at a time, in the letters of the formula. Key heads run in parallel.

use std::ops::Range;

use rayon::prelude::*;

use super::rule::{Decay, Rule};
use super::settings::Denominator;
use super::{Dims, REQUIRED};
use crate::ops::attention::vectors::dot;
use crate::tensor::{Array, Real};

/// `out`, the state behind the last key and, with a denominator, that of every row, for inputs `q`, `k`, `v` and the tensors of the rule.
pub(super) fn forward<R: Real>(inputs: &[&Array<R>], rule: &Rule) -> Vec<Array<R>> {
    let problem = Problem::new(inputs, rule, REQUIRED);
    let dims = problem.dims;
    let Dims { batch, query_time, heads, kv_heads, head_size, value_size, .. } = dims;
    let of_heads: Vec<Attended<R>> = (0..batch * kv_heads)
        .into_par_iter()
        .map(|pair| problem.attend(pair / kv_heads, pair % kv_heads))
        .collect();
    let out = rows_of_heads(&of_heads, |head| &head.out, kv_heads, query_time, dims.group() * value_size);
    let mut outputs = vec![Array::real([batch, query_time, heads, value_size], out)];
    let states: Vec<&State<R>> = of_heads.iter().map(|head| &head.last).collect();
    outputs.extend(state_arrays(&states, rule, &dims));
    if rule.is_normalised() {
        let denominators =
            rows_of_heads(&of_heads, |head| &head.denominators, kv_heads, query_time, dims.group());
        outputs.push(Array::real([batch, query_time, heads], denominators));
    }
    debug_assert_eq!(outputs[1].dims()[2..], [head_size, value_size]);
    outputs
}

/// `[batch, time, kv_heads, width]` of what each head has as `[time, width]`.
pub(super) fn rows_of_heads<R: Real, H>(
    heads: &[H],
    of: impl Fn(&H) -> &Vec<R>,
    kv_heads: usize,
    time: usize,
    width: usize,
) -> Vec<R> {
    let mut all = Vec::with_capacity(heads.len() * time * width);
    for item in heads.chunks(kv_heads) {
        for t in 0..time {
            item.iter().for_each(|head| all.extend(&of(head)[t * width..][..width]));
        }
    }
    all
}

/// Sums and, with a denominator, the normalizer of all heads.
pub(super) fn state_arrays<R: Real>(heads: &[&State<R>], rule: &Rule, dims: &Dims) -> Vec<Array<R>> {
    let joined =
        |of: fn(&State<R>) -> &Vec<R>| heads.iter().flat_map(|head| of(head).iter().copied()).collect();
    let parts: [Vec<R>; 2] = [joined(|state| &state.sums), joined(|state| &state.normalizer)];
    rule.state_descs(dims)
        .into_iter()
        .zip(parts)
        .map(|(desc, reals)| Array::real(desc.shape, reals))
        .collect()
}

/// `S: [head_size, value_size]` and `z: [head_size]`, or their gradients.
#[derive(Clone, Debug)]
pub(super) struct State<R> {
    pub(super) sums: Vec<R>,
    pub(super) normalizer: Vec<R>,
}

impl<R: Real> State<R> {
    pub(super) fn zeros(dims: &Dims) -> Self {
        Self {
            sums: vec![R::zero(); dims.head_size * dims.value_size],
            normalizer: vec![R::zero(); dims.head_size],
        }
    }

    /// Each channel's row of `S`, and its element of `z`, times a number.
    pub(super) fn scale(&mut self, factors: impl Fn(usize) -> R) {
        let width = self.sums.len() / self.normalizer.len();
        let rows = self.sums.chunks_exact_mut(width).zip(&mut self.normalizer).enumerate();
        for (channel, (row, z)) in rows {
            let factor = factors(channel);
            row.iter_mut().for_each(|sum| *sum = *sum * factor);
            *z = *z * factor;
        }
    }

    /// `S += y v^T`, `z += y c`
    pub(super) fn add(&mut self, y: &[R], v: &[R], c: R) {
        for ((&y, row), z) in y.iter().zip(self.sums.chunks_exact_mut(v.len())).zip(&mut self.normalizer) {
            row.iter_mut().zip(v).for_each(|(sum, &v)| *sum += y * v);
            *z += y * c;
        }
    }

    /// `S^T x`
    pub(super) fn gathered(&self, x: &[R]) -> Vec<R> {
        let width = self.sums.len() / x.len();
        let mut values = vec![R::zero(); width];
        for (&x, row) in x.iter().zip(self.sums.chunks_exact(width)) {
            values.iter_mut().zip(row).for_each(|(value, &sum)| *value += x * sum);
        }
        values
    }

    /// `S g + c z`
    pub(super) fn weighed(&self, g: &[R], c: R) -> Vec<R> {
        let rows = self.sums.chunks_exact(g.len()).zip(&self.normalizer);
        rows.map(|(row, &z)| dot(row, g) + c * z).collect()
    }
}

/// Queries and the keys that stand with them: one sequence of a batch item.
pub(super) struct Run {
    pub(super) queries: Range<usize>,
    pub(super) keys: Range<usize>,
}

/// The inputs, with features in place of queries and keys.
pub(super) struct Problem<'a, R> {
    pub(super) rule: &'a Rule,
    pub(super) dims: Dims,
    x: Vec<R>,
    y: Vec<R>,
    v: &'a [R],
    given: Option<[&'a [R]; 2]>,
    lengths: Option<&'a [i64]>,
    segments: Option<&'a [i64]>,
    log_decay: Option<&'a [R]>,
    erase: Option<&'a [R]>,
}

/// What one key head makes: `out` as `[time, group, value_size]`, `denominators` as `[time, group]`.
struct Attended<R> {
    out: Vec<R>,
    denominators: Vec<R>,
    last: State<R>,
}

impl<'a, R: Real> Problem<'a, R> {
    /// The tensors of the rule stand behind `first` other inputs.
    pub(super) fn new(inputs: &'a [&'a Array<R>], rule: &'a Rule, first: usize) -> Self {
        let [query_map, key_map] = rule.maps;
        let scale = R::of(rule.scale.into());
        let normalizer = |place: Option<usize>| place.map_or(&[][..], |place| inputs[place].reals());
        let given = |place: usize| [inputs[place].reals(), normalizer(rule.normalizer_at(first))];
        Self {
            rule,
            dims: Dims::from_dims(inputs[0].dims(), inputs[1].dims(), inputs[2].dims()),
            x: inputs[0].reals().iter().map(|&q| scale * query_map.at(q)).collect(),
            y: inputs[1].reals().iter().map(|&k| key_map.at(k)).collect(),
            v: inputs[2].reals(),
            given: rule.state_at(first).map(given),
            lengths: rule.lengths_at(first).map(|place| inputs[place].indices()),
            segments: rule.segments_at(first).map(|place| inputs[place].indices()),
            log_decay: rule.decay_at(first).map(|place| inputs[place].reals()),
            erase: rule.erase_at(first).map(|place| inputs[place].reals()),
        }
    }

    /// The features of the query at `t` of a member of the group of key head `g`.
    pub(super) fn x(&self, b: usize, t: usize, g: usize, member: usize) -> &[R] {
        let Dims { query_time, heads, head_size, .. } = self.dims;
        let head = g * self.dims.group() + member;
        &self.x[((b * query_time + t) * heads + head) * head_size..][..head_size]
    }

    pub(super) fn y(&self, b: usize, t: usize, g: usize) -> &[R] {
        let Dims { key_time, kv_heads, head_size, .. } = self.dims;
        &self.y[((b * key_time + t) * kv_heads + g) * head_size..][..head_size]
    }

    pub(super) fn v(&self, b: usize, t: usize, g: usize) -> &[R] {
        let Dims { key_time, kv_heads, value_size, .. } = self.dims;
        &self.v[((b * key_time + t) * kv_heads + g) * value_size..][..value_size]
    }

    /// The key that reads the state before its step, of the delta rule.
    pub(super) fn e(&self, b: usize, t: usize, g: usize) -> Option<&[R]> {
        let Dims { key_time, kv_heads, head_size, .. } = self.dims;
        self.erase.map(|keys| &keys[((b * key_time + t) * kv_heads + g) * head_size..][..head_size])
    }

    /// The state times what the step of a key leaves of it.
    pub(super) fn decay(&self, state: &mut State<R>, b: usize, t: usize, g: usize) {
        let Dims { key_time, kv_heads, head_size, .. } = self.dims;
        let Some(logs) = self.log_decay else { return };
        let place = (b * key_time + t) * kv_heads + g;
        match self.rule.decay {
            Decay::Channels => state.scale(|channel| logs[place * head_size + channel].exp()),
            _ => {
                let left = logs[place].exp();
                state.scale(|_| left);
            }
        }
    }

    /// What the key at `t` adds to the state, which is decayed already, beside its features: its value, or, by the delta rule, what that is
    /// beyond what the state gives for the key.
    pub(super) fn added(&self, state: &State<R>, b: usize, t: usize, g: usize) -> Vec<R> {
        let v = self.v(b, t, g);
        match self.e(b, t, g) {
            None => v.to_vec(),
            Some(e) => v.iter().zip(state.gathered(e)).map(|(&v, read)| v - read).collect(),
        }
    }

    /// The sequences of a batch item, in order.
    pub(super) fn runs(&self, b: usize) -> Vec<Run> {
        let Dims { query_time, key_time, .. } = self.dims;
        let end = self.lengths.map_or(key_time, |lengths| lengths[b].clamp(0, key_time as i64) as usize);
        let run = |queries: Range<usize>, keys: Range<usize>| Run {
            queries,
            keys: keys.start.min(end)..keys.end.min(end),
        };
        let Some(ids) = self.segments else { return vec![run(0..query_time, 0..key_time)] };
        let ids = &ids[b * key_time..][..key_time];
        let mut runs = Vec::new();
        let mut start = 0;
        for part in ids.chunk_by(|a, b| a == b) {
            let times = start..start + part.len();
            start = times.end;
            runs.push(run(times.clone(), times));
        }
        runs
    }

    /// The state that stands before the first key.
    pub(super) fn given(&self, b: usize, g: usize) -> State<R> {
        let mut state = State::zeros(&self.dims);
        if let Some([sums, normalizer]) = self.given {
            let head = b * self.dims.kv_heads + g;
            let (count, size) = (state.sums.len(), self.dims.head_size);
            state.sums.copy_from_slice(&sums[head * count..][..count]);
            if self.rule.is_normalised() {
                state.normalizer.copy_from_slice(&normalizer[head * size..][..size]);
            }
        }
        state
    }

    /// Calls `read` with every query and the state of the keys that it sees, and gives the state behind the last key. Of a causal rule, calls
    /// `before` with every key and the state, decayed already, that its step finds.
    pub(super) fn walk(
        &self,
        b: usize,
        g: usize,
        mut before: impl FnMut(usize, &State<R>),
        mut read: impl FnMut(usize, &State<R>),
    ) -> State<R> {
        let mut state = self.given(b, g);
        for (number, Run { queries, keys }) in self.runs(b).into_iter().enumerate() {
            if number > 0 {
                state = State::zeros(&self.dims);
            }
            if !self.rule.is_causal {
                keys.clone().for_each(|t| state.add(self.y(b, t, g), self.v(b, t, g), R::one()));
            }
            for t in queries {
                if self.rule.is_causal && keys.contains(&t) {
                    self.decay(&mut state, b, t, g);
                    before(t, &state);
                    let added = self.added(&state, b, t, g);
                    state.add(self.y(b, t, g), &added, R::one());
                }
                read(t, &state);
            }
        }
        state
    }

    fn attend(&self, b: usize, g: usize) -> Attended<R> {
        let Dims { query_time, value_size, .. } = self.dims;
        let mut out = Vec::with_capacity(query_time * self.dims.group() * value_size);
        let mut denominators = Vec::new();
        let read = |t: usize, state: &State<R>| {
            for member in 0..self.dims.group() {
                let x = self.x(b, t, g, member);
                let numerator = state.gathered(x);
                let Some(denominator) = self.rule.denominator else {
                    out.extend(numerator);
                    continue;
                };
                let sum = dot(x, &state.normalizer);
                let denominator = match denominator {
                    Denominator::Plus(eps) => sum + R::of(eps.into()),
                    Denominator::AtLeast(eps) => sum.max(R::of(eps.into())),
                };
                let inverse = if denominator == R::zero() { R::zero() } else { R::one() / denominator };
                out.extend(numerator.into_iter().map(|value| value * inverse));
                denominators.push(denominator);
            }
        };
        let last = self.walk(b, g, |_, _| {}, read);
        Attended { out, denominators, last }
    }
}
