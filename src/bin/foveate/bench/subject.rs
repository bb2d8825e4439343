//! A length's inputs: what runs on them, which rows are verified, and how far results lie from exact attention.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::Range;

use foveate::{DType, Error, ErrorKind, Graph, HostTensor, Result, TensorDesc};
use rayon::prelude::*;
use serde::Serialize;

use super::activations::{Activations, Inputs, NAMES, rows_of};
use super::methods::{Exact, Method};
use super::patterns::{Extent, Pattern};
use crate::cosine::cosine;

/// Rows that are verified at the full length: as many stretches, spread evenly over time, the first, the middle and the last rows
/// among them, which is where the global tokens of methods are.
const STRETCHES: usize = 9;
/// Rows of a stretch.
const ROWS: usize = 8;

/// Queries, spread evenly over time, by which the distance from exact attention is measured.
const SAMPLED_ROWS: usize = 32;

/// How far a result lies from exact attention.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Distance {
    /// From which.
    pub(super) exact: Exact,
    pub(super) max_abs: f64,
    /// Over the largest exact value.
    pub(super) relative: f64,
    /// The mean distance of an element.
    pub(super) mean_abs: f64,
    /// The mean over sampled queries and heads of the cosine between a row and the exact one; rows without a direction count as 1 where both
    /// have none, and as 0 where one has.
    pub(super) cosine: f64,
}

/// Some queries of a long call, all keys that any of them sees, and which of the pairs are seen: a short problem with the same rows.
#[derive(Clone, Debug)]
pub(super) struct Excerpt {
    pub(super) inputs: Inputs,
    /// i32 `[1, head, query, key]`: 1 where a pair is seen.
    pub(super) seen: HostTensor,
    /// f32 likewise: logarithms of what weights are multiplied by, where that is anything but 1.
    pub(super) bias: Option<HostTensor>,
}

/// A length's inputs, and exact attention for some of its queries.
#[derive(Debug)]
pub(super) struct Subject {
    extent: Extent,
    pub(super) inputs: Inputs,
    sampled: Vec<usize>,
    /// `[sampled query, head, channel]` over the first keys, for each [`Exact`] that some row has asked for.
    exact: [OnceCell<Vec<f64>>; 3],
}

impl Subject {
    pub(super) fn new(activations: &Activations, time: usize, dtype: DType) -> Result<Self> {
        let inputs = activations.inputs(time, dtype)?;
        let count = SAMPLED_ROWS.min(time);
        let sampled = (0..count).map(|i| i * (time - 1) / (count - 1).max(1)).collect();
        let extent = Extent { time, heads: activations.heads };
        Ok(Self { extent, inputs, sampled, exact: Default::default() })
    }

    /// The rows that are verified.
    pub(super) fn stretches(&self) -> Vec<Range<usize>> {
        let rows = ROWS.min(self.extent.time);
        let first = |stretch: usize| (self.extent.time - rows) * stretch / (STRETCHES - 1);
        let mut stretches: Vec<_> = (0..STRETCHES).map(|i| first(i)..first(i) + rows).collect();
        stretches.dedup();
        stretches
    }

    /// The pattern of a method at this length, where it has one.
    pub(super) fn pattern(&self, method: &Method) -> Result<Option<Box<dyn Pattern>>> {
        method.pattern(self.extent)
    }

    /// The problem whose result is `rows` of that of `pattern`.
    pub(super) fn excerpt(&self, pattern: &dyn Pattern, rows: &Range<usize>) -> Result<Excerpt> {
        let heads = self.extent.heads;
        let pairs = || (0..heads).flat_map(|head| rows.clone().map(move |query| (head, query)));
        let keys = |(head, query)| pattern.keys(head, query).into_iter().flatten();
        let mut place = vec![None; self.extent.time];
        pairs().flat_map(keys).for_each(|key| place[key] = Some(0));
        let mut union = Vec::new();
        for (key, place) in place.iter_mut().enumerate() {
            if let Some(place) = place {
                *place = union.len();
                union.push(key);
            }
        }

        let shape = [1, heads, rows.len(), union.len()];
        let mut seen = vec![0; heads * rows.len() * union.len()];
        let mut bias = vec![0.0; seen.len()];
        for (row, (head, query)) in pairs().enumerate() {
            for key in keys((head, query)) {
                let Some(place) = place[key] else { continue };
                let at = row * union.len() + place;
                seen[at] = 1;
                bias[at] = pattern.weight(head, query, key).ln() as f32;
            }
        }
        let is_weighted = bias.iter().any(|&logarithm| logarithm != 0.0);
        Ok(Excerpt {
            inputs: self.inputs.excerpt(rows.clone(), union.iter().copied())?,
            seen: HostTensor::i32(shape, seen)?,
            bias: if is_weighted { Some(HostTensor::f32(shape, bias)?) } else { None },
        })
    }

    pub(super) fn distance(&self, exact: Exact, output: &HostTensor) -> Result<Distance> {
        let found = rows_of(output, self.sampled.iter().copied())?.to_f64();
        let expected = self.exact[exact as usize].get_or_init(|| self.exact_rows(exact));
        let max_abs = found.iter().zip(expected).map(|(f, e)| (f - e).abs()).fold(0.0, f64::max);
        let largest = expected.iter().copied().map(f64::abs).fold(0.0, f64::max);
        let relative = if max_abs == 0.0 { 0.0 } else { max_abs / largest };
        let sum: f64 = found.iter().zip(expected).map(|(f, e)| (f - e).abs()).sum();
        let channels = self.inputs.0[2].shape().dims()[3].max(1);
        let cosines: Vec<f64> =
            found.chunks(channels).zip(expected.chunks(channels)).map(|(f, e)| cosine(f, e)).collect();
        let mean = |sum: f64, count: usize| sum / count.max(1) as f64;
        Ok(Distance {
            exact,
            max_abs,
            relative,
            mean_abs: mean(sum, found.len()),
            cosine: mean(cosines.iter().sum(), cosines.len()),
        })
    }

    /// Exact attention of the sampled queries.
    fn exact_rows(&self, exact: Exact) -> Vec<f64> {
        let Extent { time, heads } = self.extent;
        let channels = self.inputs.0[2].shape().dims()[3];
        let qkv = self.inputs.0.each_ref().map(HostTensor::to_f64);
        let of_query = |&query: &usize| -> Vec<f64> {
            let keys = exact.keys(query, time);
            (0..heads).flat_map(|head| exact_row(&qkv, [heads, channels], head, query, keys)).collect()
        };
        self.sampled.par_iter().flat_map_iter(of_query).collect()
    }

    /// Whether `method` leaves out no key of the exact attention that it is compared with.
    pub(super) fn is_exact(&self, method: &Method) -> Result<bool> {
        let Extent { time, heads } = self.extent;
        let all: u64 = (0..time).map(|query| method.exact.keys(query, time) as u64).sum();
        Ok(method.pairs(self.extent)? == Some(all * heads as u64))
    }

    pub(super) fn flops(&self, method: &Method) -> Result<Option<f64>> {
        let dims = self.inputs.0[2].shape().dims();
        method.flops(self.extent, dims[3])
    }
}

/// The softmax over the first `keys` keys of one query and head, 0 without keys, from tensors of `[heads, channels]` for each token. In
/// f64, and beside the crate's reference, since every row here sees another number of keys:
///
/// ```text
/// s_j = q . k_j / sqrt(channels)        out = sum_j exp(s_j - m) v_j / sum_j exp(s_j - m)
/// ```
fn exact_row(
    [q, k, v]: &[Vec<f64>; 3],
    [heads, channels]: [usize; 2],
    head: usize,
    query: usize,
    keys: usize,
) -> Vec<f64> {
    let at = |token: usize| {
        let first = (token * heads + head) * channels;
        first..first + channels
    };
    let product = |j: usize| q[at(query)].iter().zip(&k[at(j)]).map(|(q, k)| q * k).sum::<f64>();
    let scores: Vec<f64> = (0..keys).map(|j| product(j) / (channels as f64).sqrt()).collect();
    let m = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    let mut out = vec![0.0; channels];
    for (j, score) in scores.into_iter().enumerate() {
        let e = (score - m).exp();
        sum += e;
        out.iter_mut().zip(&v[at(j)]).for_each(|(out, v)| *out += e * v);
    }
    if keys > 0 {
        out.iter_mut().for_each(|out| *out /= sum);
    }
    out
}

/// What the graph of a method hands out.
const OUTPUT: &str = "out";

pub(super) fn graph(method: &Method, descs: &[TensorDesc; 3]) -> Result<Graph> {
    let mut graph = Graph::new();
    let [query, key, value] = descs;
    let qkv = [
        graph.input(NAMES[0], query.clone())?,
        graph.input(NAMES[1], key.clone())?,
        graph.input(NAMES[2], value.clone())?,
    ];
    let output = method.append(&mut graph, qkv)?;
    graph.output(OUTPUT, output)?;
    Ok(graph)
}

pub(super) fn only_output(mut outputs: BTreeMap<String, HostTensor>) -> Result<HostTensor> {
    outputs
        .remove(OUTPUT)
        .ok_or_else(|| Error::new(ErrorKind::Binding, "bench", "output").expecting(OUTPUT).but_found("none"))
}

#[cfg(test)]
mod tests {
    use foveate::cpu;

    use super::super::methods::{Build, EXACT, METHODS, PAIRED, Way};
    use super::super::verify::{Expected, excerpt_case};
    use super::*;

    fn subject(time: usize) -> Subject {
        Subject::new(&Activations::noise([time, 3, 8]), time, DType::F32).unwrap()
    }

    fn found(method: &Method, subject: &Subject) -> HostTensor {
        let descs = subject.inputs.0.each_ref().map(HostTensor::desc);
        only_output(cpu::run(&graph(method, &descs).unwrap(), &subject.inputs.named()).unwrap()).unwrap()
    }

    fn build(method: &Method) -> Build {
        let Way::Pairs { build, .. } = method.way else { panic!("{} has no pairs", method.name) };
        build
    }

    #[test]
    fn stretches_hold_the_first_the_middle_and_the_last_rows() {
        for time in [1, 2, 9, 40, 700, 701] {
            let stretches = subject(time).stretches();
            for row in [0, time / 2, time - 1] {
                assert!(stretches.iter().any(|rows| rows.contains(&row)), "{row} of {time}: {stretches:?}");
            }
        }
    }

    #[test]
    fn what_rules_show_is_what_is_spelled_out() {
        for time in [2, 40, 300] {
            let subject = subject(time);
            for method in PAIRED {
                let found = found(method, &subject);
                let pattern = subject.pattern(method).unwrap().unwrap();
                // All rows, as all heads and stretches are short here.
                let rows = 0..time;
                let excerpt = subject.excerpt(&*pattern, &rows).unwrap();
                let expected = Expected::of(&excerpt_case(method.name, build(method), excerpt)).unwrap();
                expected.compare(&found).unwrap_or_else(|failure| panic!("{}: {failure:?}", method.name));
            }
        }
    }

    #[test]
    fn another_pattern_is_not_taken_for_the_rules_own() {
        // Long enough for BigBird to leave blocks out.
        let subject = subject(640);
        let methods = &PAIRED[1..];
        let results: Vec<_> = methods.iter().map(|method| (method.name, found(method, &subject))).collect();
        for method in methods {
            let excerpt = subject.excerpt(&*subject.pattern(method).unwrap().unwrap(), &(0..640)).unwrap();
            let expected = Expected::of(&excerpt_case(method.name, build(method), excerpt)).unwrap();
            for (name, result) in &results {
                let passes = expected.compare(result).is_ok();
                assert_eq!(passes, *name == method.name, "{name} held to the pattern of {}", method.name);
            }
        }
    }

    #[test]
    fn exact_attention_is_at_no_distance_from_itself() {
        let subject = subject(77);
        for method in [&EXACT, METHODS.iter().find(|method| method.name == "blocked-causal").unwrap()] {
            let Distance { exact, max_abs, .. } =
                subject.distance(method.exact, &found(method, &subject)).unwrap();
            assert!(exact == method.exact && max_abs < 1e-7, "{}: {max_abs}", method.name);
            let before = subject.distance(Exact::StrictlyCausal, &found(method, &subject)).unwrap();
            assert!(before.max_abs > 0.01);
        }
    }
}
