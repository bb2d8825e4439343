//! Attention by its definition: every pair, in f64.

use super::support::Tensors;
use super::{HEAD_SIZE, HEADS, WIDTH};

/// `x W^T + bias` for rows of `inner`, with the weights of layer `name`; without bias where it has none.
pub(crate) fn linear(x: &[f64], tensors: &Tensors, name: &str, inner: usize) -> Vec<f64> {
    let bias = tensors.get(&format!("{name}.bias"));
    product(x, &tensors[&format!("{name}.weight")], bias.map(Vec::as_slice), inner)
}

pub(crate) fn product(x: &[f64], weight: &[f64], bias: Option<&[f64]>, inner: usize) -> Vec<f64> {
    let mut result = Vec::with_capacity(x.len() / inner * (weight.len() / inner));
    for row in x.chunks(inner) {
        for (out, column) in weight.chunks(inner).enumerate() {
            result.push(dot(row, column) + bias.map_or(0.0, |bias| bias[out]));
        }
    }
    result
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// One head of one position of `rows: [batch, time, HEADS, HEAD_SIZE]`.
pub(crate) fn head(rows: &[f64], time: usize, batch: usize, at: usize, head: usize) -> &[f64] {
    let start = ((batch * time + at) * HEADS + head) * HEAD_SIZE;
    &rows[start..start + HEAD_SIZE]
}

/// A query and a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) batch: usize,
    pub(crate) head: usize,
    pub(crate) query: usize,
    pub(crate) key: usize,
}

/// `[batch, query_time, WIDTH]`: for each query the mean of `value: [batch, key_time, WIDTH]`, each key weighted by `weight * exp(score)`,
/// which `pair` gives. A query whose weights are all 0 gives 0.
pub(crate) fn attend(
    [batch, query_time, key_time]: [usize; 3],
    value: &[f64],
    pair: impl Fn(Pair) -> (f64, f64),
) -> Vec<f64> {
    let mut gathered = Vec::with_capacity(batch * query_time * WIDTH);
    for batch in 0..batch {
        for query in 0..query_time {
            for of in 0..HEADS {
                let weights: Vec<f64> = (0..key_time)
                    .map(|key| {
                        let (score, weight) = pair(Pair { batch, head: of, query, key });
                        weight * score.exp()
                    })
                    .collect();
                let total: f64 = weights.iter().sum();
                for channel in 0..HEAD_SIZE {
                    let of_key = |(key, weight): (usize, &f64)| {
                        weight * head(value, key_time, batch, key, of)[channel]
                    };
                    let sum: f64 = weights.iter().enumerate().map(of_key).sum();
                    gathered.push(if total > 0.0 { sum / total } else { 0.0 });
                }
            }
        }
    }
    gathered
}

/// The scaled product of a pair.
pub(crate) fn score(query: &[f64], key: &[f64], [query_time, key_time]: [usize; 2], pair: Pair) -> f64 {
    let Pair { batch, head: of, query: i, key: j } = pair;
    let product = dot(head(query, query_time, batch, i, of), head(key, key_time, batch, j, of));
    product / (HEAD_SIZE as f64).sqrt()
}

/// Self-attention with layers of these names for query, key, value and output over `x: [batch, time, WIDTH]`, where `sees` says what is
/// seen.
pub(crate) fn self_attention(
    tensors: &Tensors,
    names: [&str; 4],
    [batch, time]: [usize; 2],
    sees: impl Fn(Pair) -> bool,
) -> Vec<f64> {
    let [query, key, value] = [0, 1, 2].map(|i| linear(&tensors["x"], tensors, names[i], WIDTH));
    let gathered = attend([batch, time, time], &value, |pair| {
        (score(&query, &key, [time, time], pair), f64::from(u8::from(sees(pair))))
    });
    linear(&gathered, tensors, names[3], WIDTH)
}

/// `[batch, first + second, WIDTH]`: two sequences one behind the other.
pub(crate) fn joined(first: &[f64], second: &[f64], batch: usize) -> Vec<f64> {
    let (first_row, second_row) = (first.len() / batch, second.len() / batch);
    let item = |b: usize| {
        [&first[b * first_row..(b + 1) * first_row], &second[b * second_row..(b + 1) * second_row]].concat()
    };
    (0..batch).flat_map(item).collect()
}
