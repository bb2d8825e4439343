//! Exact attention, full and causal, forward and with the gradients of query, key and value.

use foveate::ops::attention::{Blocked, Mask, blocked};
use foveate::{DType, Graph, Result, TensorDesc, ops};

use crate::host::{Sampled, noise};
use crate::{Row, Tensors};

/// What of attention runs.
#[derive(Clone, Copy)]
pub(crate) struct Pass {
    is_causal: bool,
    has_gradients: bool,
}

/// All of them.
pub(crate) const PASSES: [Pass; 4] = [
    Pass { is_causal: false, has_gradients: false },
    Pass { is_causal: true, has_gradients: false },
    Pass { is_causal: false, has_gradients: true },
    Pass { is_causal: true, has_gradients: true },
];

/// One sequence of `time` tokens, and `heads` heads of `size` channels.
#[derive(Clone, Copy)]
pub(crate) struct Problem {
    pub(crate) time: usize,
    pub(crate) heads: usize,
    pub(crate) size: usize,
    pub(crate) pass: Pass,
    pub(crate) dtype: DType,
}

impl Problem {
    pub(crate) fn name(&self) -> String {
        let Self { time, heads, size, pass, .. } = self;
        let mask = if pass.is_causal { "causal" } else { "full" };
        let gradients = if pass.has_gradients { " with gradients" } else { "" };
        format!("attention {mask}{gradients}, {time} tokens, {heads} heads of {size}")
    }

    pub(crate) fn row(self) -> Result<Row> {
        let Self { time, heads, size, pass, dtype } = self;
        let mut graph = Graph::new();
        let desc = TensorDesc::new(dtype, [1, time, heads, size]);
        let [query, key, value] = ["query", "key", "value"].map(|name| graph.input(name, desc.clone()));
        let qkv = [query?, key?, value?];
        let [query, key, value] = qkv;
        let rule = if pass.is_causal { Blocked::new().mask(Mask::causal()) } else { Blocked::new() };
        let out = blocked(&mut graph, query, key, value, &rule)?;
        graph.output("out", out)?;
        let mut inputs =
            vec![("query", noise(&desc, 0)?), ("key", noise(&desc, 1)?), ("value", noise(&desc, 2)?)];
        if pass.has_gradients {
            let d_out = graph.input("d_out", desc.clone())?;
            let weighted = ops::multiply(&mut graph, out, d_out)?;
            let loss = ops::sum(&mut graph, weighted, &[0, 1, 2, 3])?;
            let loss = ops::reshape(&mut graph, loss, [])?;
            let gradients = graph.gradients(loss, &qkv)?;
            for (name, gradient) in ["d_query", "d_key", "d_value"].into_iter().zip(gradients) {
                graph.output(name, gradient)?;
            }
            inputs.push(("d_out", noise(&desc, 3)?));
        }
        let verify = Box::new(move |inputs: &Tensors, outputs: &Tensors| self.of_bound(inputs, outputs));
        Ok(Row { flops: self.flops(), inputs, graph, verify })
    }

    /// Two products forward and five backward, each of a multiply-add for every channel of every score; causal attention has half of the
    /// scores.
    fn flops(&self) -> f64 {
        let products = if self.pass.has_gradients { 7.0 } else { 2.0 };
        let scores = (self.heads * self.time * self.time) as f64;
        products * 2.0 * scores * self.size as f64 * if self.pass.is_causal { 0.5 } else { 1.0 }
    }

    /// The largest error of some rows of the results over its bound.
    fn of_bound(&self, inputs: &Tensors, outputs: &Tensors) -> f64 {
        let mut sampled = Sampled::new(self.dtype);
        let rows = (0..4).map(|i| (i * 7919 + self.time / 3) % self.time).chain([0, self.time - 1]);
        for (i, row) in rows.enumerate() {
            self.sample_row([row, i % self.heads], inputs, outputs, &mut sampled);
        }
        if self.pass.has_gradients {
            for head in [0, self.heads - 1] {
                self.sample_sums(head, inputs, outputs, &mut sampled);
            }
        }
        sampled.of_bound()
    }

    /// The channels of one token and head.
    fn channels<'a>(&self, tensor: &'a [f64], [row, head]: [usize; 2]) -> &'a [f64] {
        let first = (row * self.heads + head) * self.size;
        &tensor[first..first + self.size]
    }

    /// A row of the output, and of the gradient of the query.
    fn sample_row(&self, at: [usize; 2], inputs: &Tensors, outputs: &Tensors, sampled: &mut Sampled) {
        let [row, head] = at;
        let keys = if self.pass.is_causal { row + 1 } else { self.time };
        let [query, key, value] = ["query", "key", "value"].map(|name| &inputs[name]);
        let scale = (self.size as f64).sqrt().recip();
        let scores: Vec<f64> =
            (0..keys).map(|j| scale * dot(self.channels(query, at), self.channels(key, [j, head]))).collect();
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = scores.iter().map(|score| (score - most).exp()).sum();
        let weights: Vec<f64> = scores.iter().map(|score| (score - most).exp() / total).collect();
        let of_out: Vec<[f64; 2]> = weights.iter().map(|&weight| [weight, weight]).collect();
        self.compare(at, &outputs["out"], &of_out, value, sampled);
        if self.pass.has_gradients {
            let d_out = self.channels(&inputs["d_out"], at);
            let of_weight = |j| dot(d_out, self.channels(value, [j, head]));
            let mean: f64 = weights.iter().enumerate().map(|(j, weight)| weight * of_weight(j)).sum();
            let of_score = |(j, weight): (usize, &f64)| {
                let (weight, of_weight) = (scale * weight, of_weight(j));
                [weight * (of_weight - mean), weight * (of_weight.abs() + mean.abs())]
            };
            let of_scores: Vec<[f64; 2]> = weights.iter().enumerate().map(of_score).collect();
            self.compare(at, &outputs["d_query"], &of_scores, key, sampled);
        }
    }

    /// Compares a row of `found` with the sum of the first rows of `tensor` of its head, each times its weight. Beside a weight stands the
    /// magnitude of what it was computed from, as differences of large numbers may be small.
    fn compare(
        &self,
        at: [usize; 2],
        found: &[f64],
        weights: &[[f64; 2]],
        tensor: &[f64],
        sampled: &mut Sampled,
    ) {
        for (channel, found) in self.channels(found, at).iter().enumerate() {
            let (mut sum, mut magnitude) = (0.0, 0.0);
            for (j, [weight, largest]) in weights.iter().enumerate() {
                let x = self.channels(tensor, [j, at[1]])[channel];
                sum += weight * x;
                magnitude += largest * x.abs();
            }
            sampled.add(*found, sum, magnitude);
        }
    }

    /// Sums over all rows that the gradients of key and value must have, whose single rows would each take all queries: weights of a query
    /// add up to 1, so the gradients of the values add up to those of the outputs; and the products of keys with their gradients add up to
    /// those of the queries with theirs, both of them to the products of scores and their gradients.
    fn sample_sums(&self, head: usize, inputs: &Tensors, outputs: &Tensors, sampled: &mut Sampled) {
        let column = |tensor: &[f64], channel: usize| -> Vec<f64> {
            (0..self.time).map(|row| self.channels(tensor, [row, head])[channel]).collect()
        };
        for channel in 0..self.size {
            let expected = column(&inputs["d_out"], channel).iter().sum();
            let found = column(&outputs["d_value"], channel);
            sampled.add(found.iter().sum(), expected, 16.0 * norm(&found));
        }
        let products = |tensor: &str, gradient: &str| -> Vec<f64> {
            let of_row = |row| {
                let [tensor, gradient] = [&inputs[tensor], &outputs[gradient]];
                dot(self.channels(tensor, [row, head]), self.channels(gradient, [row, head]))
            };
            (0..self.time).map(of_row).collect()
        };
        let (of_keys, of_queries) = (products("key", "d_key"), products("query", "d_query"));
        let magnitude = 16.0 * (norm(&of_keys) + norm(&of_queries));
        sampled.add(of_keys.iter().sum(), of_queries.iter().sum(), magnitude);
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The square root of the sum of squares: about what the sum of numbers of either sign is.
fn norm(numbers: &[f64]) -> f64 {
    dot(numbers, numbers).sqrt()
}
