use foveate::nn::LogSparseAttention;
use foveate::ops::attention::LogSparse;
use foveate::weights::Declarations;
use foveate::{Graph, TensorDesc};

use super::conv::convolution;
use super::dense::{Pair, attend, linear, score};
use super::support::{Tensors, Trial, Values, assert_causal, random};
use super::{BATCH, HEADS, TIME, WIDTH};

const SPEC: LogSparse = LogSparse { local: 3, restart: Some(11) };

fn layer(kernel: usize, spec: LogSparse) -> (Trial, LogSparseAttention) {
    let mut declarations = Declarations::new();
    let layer = LogSparseAttention::declare(&mut declarations.root(), WIDTH, HEADS, kernel, spec).unwrap();
    (Trial::new(&declarations, &[("x", random("x", &[BATCH, TIME, WIDTH], 1.0))]), layer)
}

/// Section 4.2: of each `restart` keys back from the query, `local` without gaps and then distances 1, 2, 4, 8 from the last of these.
fn distances() -> Vec<usize> {
    let mut distances = Vec::new();
    for start in (0..TIME).step_by(11) {
        let within = [0, 1, 2, 3, 4, 6, 10];
        distances.extend(within.iter().map(|distance| start + distance));
    }
    distances
}

fn dense(tensors: &Tensors, kernel: usize) -> Vec<f64> {
    let [query, key] = ["query", "key"].map(|name| convolution(tensors, name, [BATCH, TIME], kernel));
    let value = linear(&tensors["x"], tensors, "value", WIDTH);
    let distances = distances();
    let gathered = attend([BATCH, TIME, TIME], &value, |pair| {
        let Pair { query: i, key: j, .. } = pair;
        let sees = j <= i && distances.contains(&(i - j));
        (score(&query, &key, [TIME; 2], pair), f64::from(u8::from(sees)))
    });
    linear(&gathered, tensors, "output", WIDTH)
}

#[test]
fn equals_dense_attention_over_convolved_queries_and_keys() {
    let (trial, layer) = layer(3, SPEC);
    let record = |graph: &mut Graph, values: &Values| layer.record(graph, values["x"]);
    trial.check(&record, &|tensors| dense(tensors, 3));
    assert_causal(trial, &record);
}

#[test]
fn kernels_of_one_and_longer_than_the_sequence() {
    for kernel in [1, TIME + 6] {
        let (trial, layer) = layer(kernel, SPEC);
        let record = |graph: &mut Graph, values: &Values| layer.record(graph, values["x"]);
        trial.check_reference(&record, &|tensors| dense(tensors, kernel));
    }
}

#[test]
fn wrong_settings_are_refused() {
    let declare = |heads, kernel| {
        let mut declarations = Declarations::new();
        LogSparseAttention::declare(&mut declarations.root(), WIDTH, heads, kernel, SPEC)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(declare(4, 0), "causal convolution: kernel: expected at least 1, found 0");
    assert_eq!(declare(0, 1), "self-attention: heads: expected a divisor of the width, 32, found 0");
    let (_, layer) = layer(2, LogSparse { local: 0, restart: None });
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([1, TIME, WIDTH])).unwrap();
    let error = layer.record(&mut graph, x).unwrap_err();
    assert_eq!(error.to_string(), "attention rule: log_sparse.local: expected at least 1, found 0");
}
