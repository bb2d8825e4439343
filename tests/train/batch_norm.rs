//! Batch normalisation in a training: running averages are moved by the batches and by nothing else, and evaluations take them.

use std::collections::BTreeMap;

use foveate::nn::{BatchNorm, Layout, Recorder, Training};
use foveate::ops::{self, optimizer::Sgd};
use foveate::runtime::Device;
use foveate::train::{Description, Mode, Optimizer, Schedule, Settings, Start, Trainer};
use foveate::weights::Declarations;
use foveate::{DType, ErrorKind, Graph, HostTensor, Random, Result, TensorDesc, Value};

use crate::support::gpu;

const BATCH: usize = 3;
const TIME: usize = 5;
const WIDTH: usize = 4;
const LENGTHS: [usize; BATCH] = [5, 2, 4];
const EPS: f64 = 1e-5;

/// The mean square of what a batch norm makes of a padded batch, less a target.
fn record(graph: &mut Graph, layer: &BatchNorm, trains: bool) -> Result<Value> {
    let desc = TensorDesc::f32([BATCH, TIME, WIDTH]);
    let (x, target) = (graph.input("x", desc.clone())?, graph.input("target", desc)?);
    let lengths = graph.input("lengths", TensorDesc::i32([BATCH]))?;
    let mut recorder = Recorder::new(graph, DType::F32);
    if trains {
        recorder = recorder.training(Training::default());
    }
    let y = layer.record(&mut recorder, x, &Layout::Padded { lengths })?;
    ops::mean_squared_error(&mut recorder, y, target)
}

fn layer() -> (Declarations, BatchNorm) {
    let mut declarations = Declarations::new();
    let layer = BatchNorm::declare(&mut declarations.root(), WIDTH, EPS as f32).unwrap().momentum(0.25);
    (declarations, layer)
}

fn weights() -> BTreeMap<String, HostTensor> {
    let tensor = |value: f32| HostTensor::f32([WIDTH], vec![value; WIDTH]).unwrap();
    [("weight", 1.5), ("bias", -0.5), ("running_mean", 0.2), ("running_var", 0.7)]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), tensor(value)))
        .collect()
}

fn batch(seed: u64) -> [HostTensor; 3] {
    let mut random = Random::new(seed);
    let mut tensor = || {
        let numbers = (0..BATCH * TIME * WIDTH).map(|_| 1.0 + 2.0 * random.next_normal()).collect();
        HostTensor::f32([BATCH, TIME, WIDTH], numbers).unwrap()
    };
    let lengths = LENGTHS.map(|length| length as i32).to_vec();
    [tensor(), tensor(), HostTensor::i32([BATCH], lengths).unwrap()]
}

fn named(batch: &[HostTensor; 3]) -> [(&str, &HostTensor); 3] {
    [("x", &batch[0]), ("target", &batch[1]), ("lengths", &batch[2])]
}

fn trainer(device: &Device, accumulate: usize) -> Trainer {
    let (declarations, layer) = layer();
    let record = |graph: &mut Graph, mode: Mode| record(graph, &layer, mode == Mode::Train);
    let optimizer = Optimizer::Sgd(Sgd { momentum: 0.0, weight_decay: 0.0, nesterov: false });
    let settings = Settings { accumulate, ..Settings::new(optimizer, Schedule::constant(0.1)) };
    let start = weights();
    let start = Start::Weights(&start);
    Trainer::new(device, &declarations, &record, start, Description::default(), settings).unwrap()
}

/// The running averages after a batch: towards the mean and the unbiased variance of its tokens.
fn moved([mean, variance]: [Vec<f64>; 2], x: &HostTensor) -> [Vec<f64>; 2] {
    let x = x.to_f64();
    let count = LENGTHS.iter().sum::<usize>() as f64;
    let tokens: Vec<&[f64]> = (0..BATCH)
        .flat_map(|item| (0..LENGTHS[item]).map(move |t| (item * TIME + t) * WIDTH))
        .map(|at| &x[at..at + WIDTH])
        .collect();
    let of_channel = |c: usize| {
        let own = tokens.iter().map(|row| row[c]).sum::<f64>() / count;
        let squares: f64 = tokens.iter().map(|row| (row[c] - own).powi(2)).sum();
        (0.75 * mean[c] + 0.25 * own, 0.75 * variance[c] + 0.25 * squares / (count - 1.0))
    };
    let (means, variances) = (0..WIDTH).map(of_channel).unzip();
    [means, variances]
}

fn assert_near(found: &[f64], expected: &[f64]) {
    let is_near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(is_near && found.len() == expected.len(), "{found:?} {expected:?}");
}

#[test]
fn running_averages_follow_the_batches_and_evaluations_take_them() {
    for (device, accumulate) in [(Device::Cpu, 1), (gpu(), 1), (gpu(), 2)] {
        let mut trainer = trainer(&device, accumulate);
        assert!(trainer.unused().is_empty(), "{:?}", trainer.unused());
        let mut expected = [vec![f64::from(0.2f32); WIDTH], vec![f64::from(0.7f32); WIDTH]];
        let mut number = 0;
        for _ in 0..3 {
            let batches: Vec<[HostTensor; 3]> = (0..accumulate as u64).map(|i| batch(number + i)).collect();
            number += accumulate as u64;
            expected = batches.iter().fold(expected, |averages, batch| moved(averages, &batch[0]));
            let named: Vec<_> = batches.iter().map(named).collect();
            trainer.step(&named.iter().map(|batch| &batch[..]).collect::<Vec<_>>()).unwrap();
            let read = |name: &str| trainer.read(name).unwrap().to_f64();
            assert_near(&read("running_mean"), &expected[0]);
            assert_near(&read("running_var"), &expected[1]);
        }
        let read = |trainer: &Trainer, name: &str| trainer.read(name).unwrap().to_f64();
        assert!(read(&trainer, "weight").iter().all(|weight| (weight - 1.5).abs() > 1e-3));
        let other = batch(99);
        let loss = f64::from(trainer.evaluate(&named(&other)).unwrap());
        let (x, target) = (other[0].to_f64(), other[1].to_f64());
        let [weight, bias] = ["weight", "bias"].map(|name| read(&trainer, name));
        let squares = x.iter().zip(&target).enumerate().map(|(at, (x, target))| {
            let c = at % WIDTH;
            let y = (x - expected[0][c]) / (expected[1][c] + EPS).sqrt() * weight[c] + bias[c];
            (y - target).powi(2)
        });
        let by_hand = squares.sum::<f64>() / x.len() as f64;
        assert!((loss - by_hand).abs() < 1e-4 * by_hand, "{loss} {by_hand}");
        assert_near(&read(&trainer, "running_mean"), &expected[0]);
    }
}

#[test]
fn an_evaluation_that_would_move_them_is_refused() {
    let (declarations, layer) = layer();
    let record = |graph: &mut Graph, _: Mode| record(graph, &layer, true);
    let optimizer = Optimizer::Sgd(Sgd { momentum: 0.0, weight_decay: 0.0, nesterov: false });
    let settings = Settings::new(optimizer, Schedule::constant(0.1));
    let start = weights();
    let start = Start::Weights(&start);
    let error = Trainer::new(&Device::Cpu, &declarations, &record, start, Description::default(), settings)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Argument);
    assert_eq!(
        error.to_string(),
        "train: loss: expected one that changes nothing in an evaluation, found an update of `running_mean`"
    );
}
