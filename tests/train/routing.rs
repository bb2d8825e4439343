//! Language models of local and routed heads (Routing Transformer): centroids that move with each step, and a loss that draws tokens to them.

use std::collections::BTreeMap;
use std::path::Path;

use foveate::models::{LanguageModelConfig, Mixing, Model};
use foveate::nn::Training;
use foveate::ops::optimizer::AdamW;
use foveate::runtime::Device;
use foveate::train::{
    Description, Inputs, Mode, Optimizer, Schedule, Settings, Start, Trainer, language_loss,
};
use foveate::weights::Checkpoint;
use foveate::{DType, Graph, HostTensor, Result, Value};

use crate::support::{gpu, named, outputs_of};

const TIME: usize = 24;
const MEANS: [&str; 2] = ["layer.0.routed.means", "layer.1.routed.means"];

fn config(settings: &str) -> LanguageModelConfig {
    let mixing = format!(r#"{{"routing_transformer": {settings}}}"#);
    LanguageModelConfig {
        vocab_size: 11,
        width: 16,
        heads: 4,
        layers: 2,
        feed_forward: 24,
        length: TIME,
        mixing: Some(serde_json::from_str::<Mixing>(&mixing).unwrap()),
        ..LanguageModelConfig::default()
    }
}

fn inputs(first: usize) -> Inputs {
    let row = |step: usize| (0..2 * TIME).map(move |at| ((at * at * step + at + first) % 11) as i32);
    let tensor = |row| HostTensor::i32([2, TIME], row).unwrap();
    vec![("ids", tensor(row(3).collect())), ("targets", tensor(row(5).collect()))]
}

fn weights(config: &LanguageModelConfig, model: &Model) -> BTreeMap<String, HostTensor> {
    config.initial_weights(model.declarations(), 5).collect::<Result<_>>().unwrap()
}

fn loss(model: &Model, training: Training) -> impl Fn(&mut Graph, Mode) -> Result<Value> {
    move |graph, mode| {
        let training = mode.prepare(graph, training)?;
        language_loss(graph, model, [2, TIME], DType::F32, training)
    }
}

fn trainer(
    device: &Device,
    config: &LanguageModelConfig,
    training: Training,
    start: Option<&Checkpoint>,
) -> Trainer {
    let model = config.model().unwrap();
    let weights = weights(config, &model);
    let start = start.map_or(Start::Weights(&weights), Start::Checkpoint);
    let settings = Settings::new(Optimizer::AdamW(AdamW::default()), Schedule::constant(0.01));
    let record = loss(&model, training);
    Trainer::new(device, model.declarations(), &record, start, Description::default(), settings).unwrap()
}

fn bits(trainer: &Trainer, name: &str) -> Vec<u32> {
    trainer.read(name).unwrap().to_f32().into_iter().map(f32::to_bits).collect()
}

#[test]
fn centroids_move_with_each_step_and_are_saved() {
    let config = config(r#"{"clusters": 3, "window": 8, "decay": 0.5}"#);
    let mut trainer = self::trainer(&gpu(), &config, Training::default(), None);
    assert!(trainer.unused().is_empty(), "{:?}", trainer.unused());
    // No gradient reaches them: the optimiser keeps nothing for them.
    assert!(!trainer.names().any(|name| name.ends_with("means") && !MEANS.contains(&name)));
    let before = MEANS.map(|name| trainer.read(name).unwrap());
    trainer.evaluate(&named(&inputs(1))).unwrap();
    assert_eq!(before, MEANS.map(|name| trainer.read(name).unwrap()), "an evaluation moves none");
    trainer.step(&[&named(&inputs(1))]).unwrap();
    for (name, before) in MEANS.iter().zip(&before) {
        let after = trainer.read(name).unwrap().to_f32();
        let rows = |x: &[f32]| x.chunks(4).map(<[f32]>::to_vec).collect::<Vec<_>>();
        let moved = rows(&before.to_f32()).iter().zip(rows(&after)).filter(|(a, b)| *a != b).count();
        assert!(moved > 0, "{name}");
        // Half of what they were and half of a direction.
        for (before, after) in rows(&before.to_f32()).iter().zip(rows(&after)).filter(|(a, b)| *a != b) {
            let added: f32 = before.iter().zip(&after).map(|(a, b)| (b - 0.5 * a).powi(2)).sum();
            assert!((added.sqrt() - 0.5).abs() < 1e-4, "{name}: {}", added.sqrt());
        }
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("routing.safetensors");
    trainer.save(&path).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let mut resumed = self::trainer(&gpu(), &config, Training::default(), Some(&checkpoint));
    for trainer in [&mut trainer, &mut resumed] {
        trainer.step(&[&named(&inputs(2))]).unwrap();
    }
    let names: Vec<String> = trainer.names().map(str::to_owned).collect();
    for name in names {
        assert_eq!(bits(&trainer, &name), bits(&resumed, &name), "{name}");
    }
}

#[test]
fn steps_on_the_device_are_those_of_the_reference() {
    let config = config(r#"{"clusters": 3, "window": 8, "decay": 0.9, "commitment": 0.1}"#);
    let mut trainers =
        [gpu(), Device::CpuF64].map(|device| trainer(&device, &config, Training::default(), None));
    for number in 0..3 {
        let inputs = inputs(number);
        let losses = trainers.each_mut().map(|trainer| {
            let report = trainer.step(&[&named(&inputs)]).unwrap();
            [report.loss, trainer.evaluate(&named(&inputs)).unwrap()]
        });
        for (found, expected) in losses[0].iter().zip(losses[1]) {
            assert!((found - expected).abs() < 1e-4, "step {number}: {losses:?}");
        }
    }
    for name in MEANS {
        let [found, expected] = trainers.each_ref().map(|trainer| trainer.read(name).unwrap().to_f32());
        let off = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off < 1e-4, "{name}: {off}");
    }
}

/// What segments compute again, and layers that run backwards, lose neither the loss nor the movement.
#[test]
fn steps_that_compute_layers_again_are_the_same_steps() {
    let plain = config(r#"{"clusters": 3, "window": 8, "commitment": 2.0}"#);
    let reversible = LanguageModelConfig { reversible: true, ..plain.clone() };
    let step = |config: &LanguageModelConfig, recompute| {
        let training = Training { recompute, ..Training::default() };
        let mut trainer = trainer(&Device::Cpu, config, training, None);
        let loss = trainer.step(&[&named(&inputs(1))]).unwrap().loss;
        let evaluated = trainer.evaluate(&named(&inputs(1))).unwrap();
        (loss, evaluated, MEANS.map(|name| trainer.read(name).unwrap()))
    };
    let expected = step(&plain, 0);
    assert_eq!(step(&plain, 1), expected);
    let (loss, _, means) = step(&reversible, 0);
    // The two streams begin alike, so the first layer reads what it reads in a plain model.
    assert_eq!(means[0], expected.2[0]);
    assert!(loss > expected.1 - 1.0 && means[1] != weights(&plain, &plain.model().unwrap())[MEANS[1]]);
}

#[test]
fn a_step_adds_the_commitment_loss_and_an_evaluation_does_not() {
    let losses = [0.0, 3.0].map(|commitment| {
        let config = config(&format!(r#"{{"clusters": 3, "window": 8, "commitment": {commitment:?}}}"#));
        let model = config.model().unwrap();
        [Mode::Train, Mode::Evaluate].map(|mode| {
            let mut graph = Graph::new();
            let loss = loss(&model, Training::default())(&mut graph, mode).unwrap();
            graph.output("loss", loss).unwrap();
            let weights = weights(&config, &model).into_iter().map(Ok);
            let inputs = inputs(1);
            let inputs: Vec<_> = named(&inputs);
            outputs_of(&Device::Cpu, &graph.into(), weights, &inputs)["loss"].to_f32()[0]
        })
    });
    let [[without, evaluated], [with, evaluated_with]] = losses;
    assert_eq!((without, without), (evaluated, evaluated_with));
    // Mean squares of unit rows of 4 channels and centroids, 3 times, in each of two layers.
    assert!(with > without + 0.1, "{with} and {without}");
}

/// Where a cluster has all tokens, which they are hangs on none.
#[test]
fn tokens_see_none_behind_themselves() {
    let config = config(&format!(r#"{{"clusters": 2, "window": {TIME}, "local_window": 4}}"#));
    let model = config.model().unwrap();
    let first = |last: i32| {
        let mut graph = Graph::new();
        let loss = loss(&model, Training::default())(&mut graph, Mode::Evaluate).unwrap();
        graph.output("loss", loss).unwrap();
        let [(_, ids), (_, targets)] = <[_; 2]>::try_from(inputs(1)).unwrap();
        let kept = |tensor: &HostTensor, other: i32| {
            let numbers = tensor.to_f64().into_iter().enumerate();
            let numbers = numbers.map(|(at, id)| if at % TIME < 9 { id as i32 } else { other });
            HostTensor::i32([2, TIME], numbers.collect()).unwrap()
        };
        let inputs = [("ids", &kept(&ids, last)), ("targets", &kept(&targets, -1))];
        let weights = weights(&config, &model).into_iter().map(|(name, tensor)| {
            // Large enough to tell.
            let numbers = tensor.to_f32().into_iter().map(|x| if x.abs() < 0.3 { 10.0 * x } else { x });
            Ok((name, HostTensor::f32(tensor.shape().clone(), numbers.collect())?))
        });
        outputs_of(&Device::Cpu, &graph.into(), weights, &inputs)["loss"].to_f32()[0]
    };
    assert!((first(4) - first(9)).abs() < 1e-6, "{} and {}", first(4), first(9));
}

#[test]
fn settings_that_mean_nothing_are_refused() {
    for (settings, field) in [
        (r#"{"clusters": 0, "window": 8}"#, "clusters"),
        (r#"{"clusters": 3, "window": 0}"#, "window"),
        (r#"{"clusters": 3, "window": 25}"#, "window"),
        (r#"{"clusters": 3, "window": 8, "local_heads": 4}"#, "local_heads"),
        (r#"{"clusters": 3, "window": 8, "local_window": 0}"#, "local_window"),
        (r#"{"clusters": 3, "window": 8, "memory": 1025}"#, "memory"),
        (r#"{"clusters": 3, "window": 8, "commitment": -0.5}"#, "commitment"),
        (r#"{"clusters": 3, "window": 8, "decay": 1.5}"#, "decay"),
    ] {
        let error = config(settings).model().unwrap_err();
        assert_eq!(error.kind(), foveate::ErrorKind::Config, "{error}");
        assert_eq!(error.argument(), format!("routing_transformer.{field}"), "{error}");
    }
    let error = serde_json::from_str::<Mixing>(r#"{"routing_transformer": {"clusters": 3}}"#).unwrap_err();
    assert!(error.to_string().starts_with("mixing: routing_transformer: expected its settings"), "{error}");
}
