//! Attention by priors, and what stands for it in plain loops: on the references.

use foveate::nn::{ConditionalPrior, Layout, Mixer, Recorder, Synthesis, Synthesizer};
use foveate::ops::attention::Blocked;
use foveate::weights::Declarations;
use foveate::{DType, Graph};

use crate::support::{Tensors, Trial, Values, random};
use crate::{BATCH, HEAD_SIZE, HEADS, TIME, WIDTH};

/// Longer than the texts.
const LONGEST: usize = 30;
const RANK: usize = 3;

fn dense(tensors: &Tensors, name: &str, x: &[f64], inner: usize) -> Vec<f64> {
    let (weight, bias) = (&tensors[&format!("{name}.weight")], &tensors[&format!("{name}.bias")]);
    let row = |row: &[f64]| -> Vec<f64> {
        let sum = |out: usize| -> f64 { (0..inner).map(|i| row[i] * weight[out * inner + i]).sum() };
        (0..bias.len()).map(|out| bias[out] + sum(out)).collect()
    };
    x.chunks(inner).flat_map(row).collect()
}

/// What each head gathers by softmax of `scores(batch, head, query, key)`.
fn by_scores(tensors: &Tensors, scores: &dyn Fn(usize, usize, usize, usize) -> f64) -> Vec<f64> {
    let value = dense(tensors, "value", &tensors["x"], WIDTH);
    let mut gathered = vec![0.0; BATCH * TIME * WIDTH];
    for batch in 0..BATCH {
        for head in 0..HEADS {
            for query in 0..TIME {
                let weights: Vec<f64> = (0..TIME).map(|key| scores(batch, head, query, key).exp()).collect();
                let total: f64 = weights.iter().sum();
                for channel in 0..HEAD_SIZE {
                    let at = |time: usize| (batch * TIME + time) * WIDTH + head * HEAD_SIZE + channel;
                    gathered[at(query)] =
                        (0..TIME).map(|key| weights[key] * value[at(key)]).sum::<f64>() / total;
                }
            }
        }
    }
    dense(tensors, "output", &gathered, WIDTH)
}

/// A row of `count` scores for each token and head.
fn of_tokens(tensors: &Tensors, name: &str, count: usize) -> impl Fn(usize, usize, usize, usize) -> f64 {
    let hidden: Vec<f64> =
        dense(tensors, "hidden", &tensors["x"], WIDTH).into_iter().map(|x| x.max(0.0)).collect();
    let (weight, bias) =
        (tensors[&format!("{name}.weight")].clone(), tensors[&format!("{name}.bias")].clone());
    move |batch, head, query, place| {
        let row = &hidden[(batch * TIME + query) * WIDTH + head * HEAD_SIZE..][..HEAD_SIZE];
        let own = &weight[(head * count + place) * HEAD_SIZE..][..HEAD_SIZE];
        bias[head * count + place] + row.iter().zip(own).map(|(a, b)| a * b).sum::<f64>()
    }
}

fn check(kind: Synthesis, expected: &dyn Fn(&Tensors) -> Vec<f64>) {
    let mut declarations = Declarations::new();
    let spec = Blocked::new();
    let layer = Synthesizer::declare(&mut declarations.root(), kind, WIDTH, HEADS, LONGEST, spec).unwrap();
    let trial = Trial::new(&declarations, &[("x", random("x", &[BATCH, TIME, WIDTH], 1.0))]);
    let record = |graph: &mut Graph, values: &Values| {
        layer.record(&mut Recorder::new(graph, DType::F32), values["x"], None, &Layout::Rows)
    };
    trial.check_reference(&record, expected);
}

#[test]
fn scores_are_synthesised_as_the_paper_has_them() {
    check(Synthesis::Dense, &|tensors| {
        let row = of_tokens(tensors, "scores", LONGEST);
        by_scores(tensors, &|b, h, q, k| row(b, h, q, k))
    });
    check(Synthesis::FactorizedDense { first: 5, second: 6 }, &|tensors| {
        let (first, second) = (of_tokens(tensors, "first", 5), of_tokens(tensors, "second", 6));
        by_scores(tensors, &|b, h, q, k| first(b, h, q, k % 5) * second(b, h, q, k / 5))
    });
    check(Synthesis::Random, &|tensors| {
        let scores = &tensors["scores"];
        by_scores(tensors, &|_, h, q, k| scores[(h * LONGEST + q) * LONGEST + k])
    });
    check(Synthesis::FactorizedRandom { rank: RANK }, &|tensors| {
        let row =
            |name: &str, time: usize, h: usize| tensors[name][(time * HEADS + h) * RANK..][..RANK].to_vec();
        by_scores(tensors, &|_, h, q, k| {
            row("query", q, h).iter().zip(row("key", k, h)).map(|(a, b)| a * b).sum()
        })
    });
}

#[test]
fn a_task_scales_and_shifts_blocks_along_the_diagonal() {
    const TASK: usize = 6;
    const SIZE: usize = 10;
    let mut declarations = Declarations::new();
    let layer = ConditionalPrior::declare(&mut declarations.root(), TASK, 3, SIZE).unwrap();
    let trial = Trial::new(&declarations, &[("task", random("task", &[BATCH, TASK], 1.0))]);
    let record = |graph: &mut Graph, values: &Values| layer.record(graph, values["task"], TIME);
    trial.check_reference(&record, &|tensors| {
        let [scale, shift] = ["scale", "shift"].map(|name| dense(tensors, name, &tensors["task"], TASK));
        let score = |batch: usize, query: usize, key: usize| {
            if query / SIZE != key / SIZE {
                return 0.0;
            }
            let column = batch * 3 * SIZE + key;
            let block = (query / SIZE * SIZE + query % SIZE) * SIZE + key % SIZE;
            tensors["blocks"][block] * scale[column] + shift[column]
        };
        let pairs = (0..BATCH * TIME * TIME).map(|at| score(at / (TIME * TIME), at / TIME % TIME, at % TIME));
        pairs.collect()
    });
}
