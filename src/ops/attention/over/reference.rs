//! The CPU references: pair by pair.

use crate::ops::attention::{Dims, EMPTY_ROW_LSE};
use crate::tensor::{Array, Real};

/// The pairs of a problem.
struct Pairs<'a, R> {
    dims: Dims,
    count: usize,
    scale: R,
    rows: [&'a [R]; 3],
    keys: &'a [i64],
}

impl<'a, R: Real> Pairs<'a, R> {
    fn of(inputs: &[&'a Array<R>], scale: f32) -> Self {
        let [query, key, value] = [0, 1, 2].map(|input| inputs[input].dims());
        Self {
            dims: Dims::from_dims(query, key, value),
            count: inputs[3].dims()[3],
            scale: R::of(f64::from(scale)),
            rows: [inputs[0].reals(), inputs[1].reals(), inputs[2].reals()],
            keys: inputs[3].indices(),
        }
    }

    /// Batch item, head and token of a row, counted as `[batch, heads, time]` and as `[batch, time, heads]`.
    fn all(&self) -> impl Iterator<Item = (usize, usize)> {
        let Dims { batch, heads, query_time, .. } = self.dims;
        (0..batch * heads * query_time).map(move |row| {
            let (line, token) = (row / query_time, row % query_time);
            (row, (line / heads * query_time + token) * heads + line % heads)
        })
    }

    /// Of each key of a row, the row of key and value, if it is one.
    fn of_row(&self, row: usize) -> Vec<Option<usize>> {
        let Dims { heads, kv_heads, query_time, key_time, .. } = self.dims;
        let (item, head) = (row / query_time / heads, row / query_time % heads);
        let keys = &self.keys[row * self.count..][..self.count];
        let key = |&position: &i64| {
            let position = usize::try_from(position).ok().filter(|&position| position < key_time)?;
            Some((item * key_time + position) * kv_heads + head / (heads / kv_heads))
        };
        keys.iter().map(key).collect()
    }

    fn product(a: &[R], b: &[R]) -> R {
        a.iter().zip(b).fold(R::zero(), |sum, (&a, &b)| sum + a * b)
    }

    /// The score of the query that lies at `place` and a key.
    fn score(&self, place: usize, key: usize) -> R {
        let size = self.dims.head_size;
        let [query, keys, _] = self.rows;
        self.scale * Self::product(&query[place * size..][..size], &keys[key * size..][..size])
    }
}

/// Output, log-sum-exp and statistics.
pub(super) fn forward<R: Real>(inputs: &[&Array<R>], scale: f32) -> Vec<Array<R>> {
    let pairs = Pairs::of(inputs, scale);
    let Dims { batch, query_time, heads, value_size: size, .. } = pairs.dims;
    let mut out = vec![R::zero(); batch * query_time * heads * size];
    let (mut lse, mut statistics) = (Vec::new(), Vec::new());
    for (row, place) in pairs.all() {
        let keys: Vec<usize> = pairs.of_row(row).into_iter().flatten().collect();
        let scores: Vec<R> = keys.iter().map(|&key| pairs.score(place, key)).collect();
        let largest = scores.iter().copied().reduce(R::max).unwrap_or(R::of(f64::from(EMPTY_ROW_LSE)));
        let weights: Vec<R> = scores.iter().map(|&score| (score - largest).exp()).collect();
        let sum = weights.iter().fold(R::zero(), |sum, &weight| sum + weight);
        let out = &mut out[place * size..][..size];
        for (&weight, &key) in weights.iter().zip(&keys) {
            for (out, &value) in out.iter_mut().zip(&pairs.rows[2][key * size..]) {
                *out += weight / sum * value;
            }
        }
        lse.push(if keys.is_empty() { largest } else { largest + sum.ln() });
        statistics.extend([largest, sum]);
    }
    let of_rows = [batch, heads, query_time];
    vec![
        Array::real([batch, query_time, heads, size], out),
        Array::real(of_rows, lse),
        Array::real([&of_rows[..], &[2]].concat(), statistics),
    ]
}

/// The gradient of the query, and two numbers of each pair.
pub(super) fn backward<R: Real>(inputs: &[&Array<R>], scale: f32) -> Vec<Array<R>> {
    let pairs = Pairs::of(inputs, scale);
    let Dims { head_size, value_size, .. } = pairs.dims;
    let [out, statistics, d_out] = [4, 5, 6].map(|input| inputs[input].reals());
    let mut dq = vec![R::zero(); pairs.rows[0].len()];
    let mut numbers = Vec::new();
    for (row, place) in pairs.all() {
        let largest = statistics[2 * row];
        let sum = statistics[2 * row + 1];
        let d_out = &d_out[place * value_size..][..value_size];
        let d_lse = inputs.get(7).map_or(R::zero(), |d_lse| d_lse.reals()[row]);
        let d = Pairs::product(d_out, &out[place * value_size..][..value_size]) - d_lse;
        for key in pairs.of_row(row) {
            let Some(key) = key else {
                numbers.extend([R::zero(); 2]);
                continue;
            };
            let weight = (pairs.score(place, key) - largest).exp() / sum;
            let d_weight = Pairs::product(d_out, &pairs.rows[2][key * value_size..][..value_size]);
            let d_score = pairs.scale * weight * (d_weight - d);
            numbers.extend([weight, d_score]);
            let dq = &mut dq[place * head_size..][..head_size];
            for (dq, &element) in dq.iter_mut().zip(&pairs.rows[1][key * head_size..]) {
                *dq += d_score * element;
            }
        }
    }
    let of_pairs = [inputs[3].dims(), &[2]].concat();
    vec![Array::real(inputs[0].dims(), dq), Array::real(of_pairs, numbers)]
}
