//! The CPU reference: forwards for the gradients of queries, then a query at a time backwards, in the letters of the formula.

use rayon::prelude::*;

use super::super::Dims;
use super::super::reference::{Problem, Run, State, rows_of_heads, state_arrays};
use super::super::settings::Denominator;
use super::{D_OUT, FORWARD_DENOMINATOR, FORWARD_OUT, LinearBackward};
use crate::ops::Activation;
use crate::ops::attention::vectors::dot;
use crate::tensor::{Array, Real};

/// The outputs of `op`.
pub(super) fn backward<R: Real>(inputs: &[&Array<R>], op: &LinearBackward) -> Vec<Array<R>> {
    let problem = Problem::new(inputs, &op.rule, op.required());
    let Dims { batch, query_time, key_time, kv_heads, head_size, value_size, .. } = problem.dims;
    let group = problem.dims.group();
    let upstream = Upstream::new(inputs, op, &problem);
    let heads: Vec<Head<R>> = (0..batch * kv_heads)
        .into_par_iter()
        .map(|pair| key_head(&problem, &upstream, op.has_steps, pair / kv_heads, pair % kv_heads))
        .collect();
    let dx = rows_of_heads(&heads, |head| &head.dx, kv_heads, query_time, group * head_size);
    let dy = rows_of_heads(&heads, |head| &head.dy, kv_heads, key_time, head_size);
    let dv = rows_of_heads(&heads, |head| &head.dv, kv_heads, key_time, value_size);
    let [query_map, key_map] = op.rule.maps;
    let mut outputs = vec![
        through(inputs[0], query_map, dx, R::of(op.rule.scale.into())),
        through(inputs[1], key_map, dy, R::one()),
        Array::real(inputs[2].shape().clone(), dv),
    ];
    if op.rule.has_state {
        let states: Vec<&State<R>> = heads.iter().map(|head| &head.first).collect();
        outputs.extend(state_arrays(&states, &op.rule, &problem.dims));
    }
    if op.rule.is_delta {
        let de = rows_of_heads(&heads, |head| &head.de, kv_heads, key_time, head_size);
        outputs.push(Array::real(inputs[1].shape().clone(), de));
    }
    if op.has_steps {
        let of_queries =
            rows_of_heads(&heads, |head| &head.query_steps, kv_heads, query_time, group * head_size);
        let of_keys = rows_of_heads(&heads, |head| &head.key_steps, kv_heads, key_time, head_size);
        outputs.push(Array::real(inputs[0].shape().clone(), of_queries));
        outputs.push(Array::real(inputs[1].shape().clone(), of_keys));
    }
    outputs
}

/// From the gradients of features to those of what they are features of.
fn through<R: Real>(of: &Array<R>, map: Activation, d_features: Vec<R>, scale: R) -> Array<R> {
    let pairs = of.reals().iter().zip(d_features);
    Array::real(of.shape().clone(), pairs.map(|(&q, dx)| scale * map.slope_at(q) * dx).collect())
}

/// The gradients of numerators and denominators, and those of the state behind the last key.
struct Upstream<'a, R> {
    numerators: Vec<R>,
    denominators: Vec<R>,
    state: Option<[&'a [R]; 2]>,
    width: usize,
}

impl<'a, R: Real> Upstream<'a, R> {
    fn new(inputs: &'a [&'a Array<R>], op: &LinearBackward, problem: &Problem<'_, R>) -> Self {
        let width = problem.dims.value_size;
        let d_out = inputs[D_OUT].reals();
        let state = op.has_d_state.then(|| {
            let normalizer = op.rule.is_normalised().then(|| inputs[op.d_state_at() + 1].reals());
            [inputs[op.d_state_at()].reals(), normalizer.unwrap_or_default()]
        });
        let Some(rule) = op.rule.denominator else {
            let rows = d_out.len() / width;
            return Self { numerators: d_out.to_vec(), denominators: vec![R::zero(); rows], state, width };
        };
        let out = inputs[FORWARD_OUT].reals().chunks_exact(width);
        let rows = d_out.chunks_exact(width).zip(out).zip(inputs[FORWARD_DENOMINATOR].reals());
        let (mut numerators, mut denominators) = (Vec::new(), Vec::new());
        for ((g, out), &denominator) in rows {
            let inverse = if denominator == R::zero() { R::zero() } else { R::one() / denominator };
            let depends = match rule {
                Denominator::Plus(_) => true,
                Denominator::AtLeast(eps) => denominator > R::of(eps.into()),
            };
            numerators.extend(g.iter().map(|&g| g * inverse));
            denominators.push(if depends { -dot(g, out) * inverse } else { R::zero() });
        }
        Self { numerators, denominators, state, width }
    }

    /// `n_i` and `c_i` of a row `(batch, time, head)`.
    fn row(&self, row: usize) -> (&[R], R) {
        (&self.numerators[row * self.width..][..self.width], self.denominators[row])
    }

    fn state(&self, dims: &Dims, head: usize) -> State<R> {
        let mut state = State::zeros(dims);
        if let Some([sums, normalizer]) = self.state {
            let (count, size) = (state.sums.len(), dims.head_size);
            state.sums.copy_from_slice(&sums[head * count..][..count]);
            if !normalizer.is_empty() {
                state.normalizer.copy_from_slice(&normalizer[head * size..][..size]);
            }
        }
        state
    }
}

/// Gradients of one key head: `dx` as `[query_time, group, head_size]`, `dy`, `de` and `dv` as `[key_time, ..]`, and those of the state before
/// the first key. `de` is that of the keys that read the state before their steps, of the delta rule. `query_steps` and `key_steps` are features times
/// what all pairs of other times give of their gradients.
struct Head<R> {
    dx: Vec<R>,
    dy: Vec<R>,
    dv: Vec<R>,
    de: Vec<R>,
    query_steps: Vec<R>,
    key_steps: Vec<R>,
    first: State<R>,
}

fn key_head<R: Real>(
    problem: &Problem<'_, R>,
    upstream: &Upstream<'_, R>,
    has_steps: bool,
    b: usize,
    g: usize,
) -> Head<R> {
    let Dims { query_time, key_time, heads, kv_heads, head_size, value_size, .. } = problem.dims;
    let group = problem.dims.group();
    let is_delta = problem.rule.is_delta;
    let row = |t: usize, member: usize| upstream.row((b * query_time + t) * heads + g * group + member);
    let mut dx = Vec::with_capacity(query_time * group * head_size);
    // What each key finds before its step, which the delta rule reads.
    let mut past: Vec<State<R>> = Vec::new();
    let before = |_: usize, state: &State<R>| past.extend((is_delta || has_steps).then(|| state.clone()));
    problem.walk(b, g, before, |t, state| {
        for member in 0..group {
            let (n, c) = row(t, member);
            dx.extend(state.weighed(n, c));
        }
    });
    let mut query_steps = vec![R::zero(); if has_steps { dx.len() } else { 0 }];
    for (at, steps) in query_steps.chunks_exact_mut(head_size).enumerate() {
        let (t, member) = (at / group, at % group);
        let (n, c) = row(t, member);
        // A query behind the last key has none of its own time.
        let others = match past.get(t) {
            Some(past) => past.weighed(n, c),
            None => dx[at * head_size..][..head_size].to_vec(),
        };
        let x = problem.x(b, t, g, member);
        steps.iter_mut().zip(x).zip(others).for_each(|((step, &x), other)| *step = x * other);
    }
    let mut dy = vec![R::zero(); key_time * head_size];
    let mut dv = vec![R::zero(); key_time * value_size];
    let mut de = vec![R::zero(); if is_delta { key_time * head_size } else { 0 }];
    let mut key_steps = vec![R::zero(); if has_steps { dy.len() } else { 0 }];
    let mut state = upstream.state(&problem.dims, b * kv_heads + g);
    let mut give = |t: usize, state: &State<R>, added: &[R]| {
        dy[t * head_size..][..head_size].copy_from_slice(&state.weighed(added, R::one()));
        dv[t * value_size..][..value_size].copy_from_slice(&state.gathered(problem.y(b, t, g)));
    };
    for (number, Run { queries, keys }) in problem.runs(b).into_iter().rev().enumerate() {
        if number > 0 {
            state = State::zeros(&problem.dims);
        }
        for t in queries.rev() {
            if has_steps && keys.contains(&t) {
                let others = state.weighed(&problem.added(&past[t], b, t, g), R::one());
                let steps = key_steps[t * head_size..][..head_size].iter_mut();
                let pairs = steps.zip(problem.y(b, t, g)).zip(others);
                pairs.for_each(|((step, &y), other)| *step = y * other);
            }
            for member in 0..group {
                let (n, c) = row(t, member);
                state.add(problem.x(b, t, g, member), n, c);
            }
            if !(problem.rule.is_causal && keys.contains(&t)) {
                continue;
            }
            match problem.e(b, t, g) {
                None => give(t, &state, problem.v(b, t, g)),
                // r = v - past^T e
                Some(e) => {
                    give(t, &state, &problem.added(&past[t], b, t, g));
                    let minus_dr: Vec<R> =
                        state.gathered(problem.y(b, t, g)).into_iter().map(|dr| -dr).collect();
                    de[t * head_size..][..head_size].copy_from_slice(&past[t].weighed(&minus_dr, R::zero()));
                    state.add(e, &minus_dr, R::zero());
                }
            }
            problem.decay(&mut state, b, t, g);
        }
        if !problem.rule.is_causal {
            keys.for_each(|t| give(t, &state, problem.v(b, t, g)));
        }
    }
    Head { dx, dy, dv, de, query_steps, key_steps, first: state }
}
