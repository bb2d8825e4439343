//! Recurrent models trained on streams: PyTorch's gradients of a segment behind another, memories that go on from step to step, and the loss of
//! a text in any segments.

use std::path::PathBuf;
use std::sync::Arc;

use foveate::models::{Model, Segments, Task};
use foveate::nn::Training;
use foveate::ops::optimizer::{AdamW, Sgd};
use foveate::runtime::{Device, Runner, State, Store};
use foveate::train::{
    Description, Mode, Optimizer, Schedule, Settings, Start, Trainer, language_loss, window_inputs,
};
use foveate::weights::{Checkpoint, Fields, Weights};
use foveate::{DType, Graph, HostTensor, Result};
use serde_json::json;

use crate::support::{assert_gradients, gpu, named, tensor, with_gradients};

#[test]
fn a_segment_behind_another_has_the_gradients_of_the_other_implementation() {
    for name in ["transfo-xl-div1", "transfo-xl-div2"] {
        let oracle =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oracles/models").join(name);
        let model = Model::open(&oracle, Task::Logits).unwrap();
        let [io, expected] =
            ["io", "grad"].map(|file| Checkpoint::open(oracle.join(format!("{file}.safetensors"))).unwrap());
        let [first, second, labels] =
            ["seg1_input_ids", "seg2_input_ids", "labels"].map(|name| tensor(&io, &format!("in.{name}")));
        for (recompute, device) in [(0, gpu()), (1, gpu()), (0, Device::Cpu)] {
            let training = Training { recompute, ..Training::default() };
            let graph = |ids: &HostTensor| {
                let [batch, time] = *ids.shape().dims() else { panic!("a batch") };
                with_gradients(|graph| language_loss(graph, &model, [batch, time], DType::F32, training))
            };
            let weights = model.load(DType::F32).unwrap();
            let mut runner = Runner::new(&Store::upload(&device, weights.iter()).unwrap());
            let mut streams = State::new(&device, &graph(&first)).unwrap();
            // Of the first segment the memories alone are wanted.
            let targets = HostTensor::i32(first.shape().clone(), vec![0; first.shape().elements()]).unwrap();
            let inputs = [("ids", &first), ("targets", &targets)];
            runner.run_stream(1, &mut streams, &inputs, || Ok(graph(&first))).unwrap();
            let inputs = [("ids", &second), ("targets", &labels)];
            let outputs = runner.run_stream(2, &mut streams, &inputs, || Ok(graph(&second))).unwrap();
            assert_eq!(outputs.len(), 1 + model.declarations().list().len());
            assert_gradients(&outputs, &expected, |_| false);
        }
    }
}

fn transfo_xl(pre_norm: bool) -> Model {
    let config = json!({"model_type": "transfo-xl", "vocab_size": 23, "cutoffs": [5, 12], "div_val": 2,
        "d_model": 16, "d_embed": 12, "d_inner": 20, "d_head": 6, "n_head": 2, "n_layer": 2, "mem_len": 4,
        "same_length": true, "pre_lnorm": pre_norm});
    Model::from_config(&Fields::new("config.json", config).unwrap(), Task::Logits).unwrap()
}

/// Two texts.
const TEXTS: [[u32; 13]; 2] =
    [[0, 11, 3, 22, 7, 7, 14, 1, 9, 2, 5, 21, 0], [4, 17, 1, 0, 20, 8, 2, 2, 15, 6, 6, 3, 19]];

const TIME: usize = 4;

/// Segment `number` of the texts, as the loss reads it.
fn segment(number: usize) -> Vec<(&'static str, HostTensor)> {
    let windows = TEXTS.each_ref().map(|text| &text[number * TIME..=(number + 1) * TIME]);
    window_inputs(&windows, [2, TIME]).unwrap()
}

fn trainer(device: &Device, model: &Model, settings: Settings, recompute: usize) -> Trainer {
    let weights = Weights::random(model.declarations(), DType::F32, 5).unwrap();
    let weights = weights.iter().collect::<Result<_>>().unwrap();
    let loss = move |graph: &mut Graph, mode: Mode| {
        let training = mode.prepare(graph, Training { recompute, ..Training::default() })?;
        language_loss(graph, model, [2, TIME], DType::F32, training)
    };
    let start = Start::Weights(&weights);
    Trainer::new(device, model.declarations(), &loss, start, Description::default(), settings).unwrap()
}

fn fixed() -> Settings {
    let sgd = Sgd { momentum: 0.0, weight_decay: 0.0, nesterov: false };
    Settings::new(Optimizer::Sgd(sgd), Schedule::constant(0.0))
}

/// The losses of an evaluation, segment by segment, are those of the log-probabilities that [`Segments`] gives; steps at a rate of 0 have the
/// same, by which memories go on, and without them they are others.
#[test]
fn a_text_is_judged_as_it_is_read() {
    for pre_norm in [false, true] {
        let model = transfo_xl(pre_norm);
        for (name, device) in [("gpu", gpu()), ("cpu", Device::Cpu)] {
            let mut trainer = trainer(&device, &model, fixed(), 0);
            let [mut trained, mut looked_at] =
                [Mode::Train, Mode::Evaluate].map(|mode| trainer.streams(mode).unwrap());
            let weights = Weights::random(model.declarations(), DType::F32, 5).unwrap();
            let mut segments = Segments::new(&model, &weights, &device).unwrap();
            let mut read = segments.start(2).unwrap();
            for number in 0..3 {
                let inputs = segment(number);
                let ids = TEXTS.each_ref().map(|text| &text[number * TIME..][..TIME]);
                let scores = segments.run(&mut read, &ids).unwrap()["log_probs"].to_f64();
                let target = |at: usize| TEXTS[at / TIME][number * TIME + at % TIME + 1] as usize;
                let expected = -(0..2 * TIME).map(|at| scores[at * 23 + target(at)]).sum::<f64>() / 8.0;
                let evaluated = f64::from(trainer.evaluate_on(&mut looked_at, &named(&inputs)).unwrap());
                let stepped = trainer.step_on(&mut trained, &[&named(&inputs)]).unwrap();
                for found in [evaluated, f64::from(stepped.loss)] {
                    assert!((found - expected).abs() < 1e-5, "{name}, {number}: {found} for {expected}");
                }
                let mut fresh = trainer.streams(Mode::Evaluate).unwrap();
                let alone = f64::from(trainer.evaluate_on(&mut fresh, &named(&inputs)).unwrap());
                assert_eq!((alone - expected).abs() < 1e-5, number == 0, "{name}, {number}: {alone}");
            }
        }
    }
}

#[test]
fn streams_learn_and_their_steps_are_the_same_however_they_are_taken() {
    let model = transfo_xl(false);
    let adamw = Settings::new(Optimizer::AdamW(AdamW::default()), Schedule::constant(0.01));
    for (name, device) in [("gpu", gpu()), ("cpu", Device::Cpu)] {
        let run = |settings: Settings, recompute: usize, epochs: usize| -> Vec<f32> {
            let mut trainer = trainer(&device, &model, settings, recompute);
            let mut streams = trainer.streams(Mode::Train).unwrap();
            let mut losses = Vec::new();
            for _ in 0..epochs {
                streams.reset().unwrap();
                let batches: Vec<_> = (0..3).map(segment).collect();
                let named: Vec<_> = batches.iter().map(named).collect();
                let named: Vec<_> = named.iter().map(|batch| &batch[..]).collect();
                for step in named.chunks(settings.accumulate) {
                    losses.push(trainer.step_on(&mut streams, step).unwrap().loss);
                }
            }
            losses
        };
        let losses = run(adamw, 0, 60);
        assert!(losses[0] > 2.5 && losses[179] < 0.3, "{name}: {losses:?}");
        // Values that are computed again, memories with them, are the same.
        assert_eq!(run(adamw, 1, 2), losses[..6], "{name}");
        // Batches of one step are segments one behind another, too: with unchanging weights their mean is that of single ones.
        let (single, together) = (run(fixed(), 0, 1), run(Settings { accumulate: 3, ..fixed() }, 0, 1));
        let mean = single.iter().sum::<f32>() / 3.0;
        assert!((together[0] - mean).abs() < 1e-5, "{name}: {together:?} for {single:?}");
    }
}

#[test]
fn a_loss_with_memories_needs_streams_of_its_size() {
    let model = transfo_xl(false);
    let mut trainer = trainer(&Device::Cpu, &model, fixed(), 0);
    let inputs = segment(0);
    let error = trainer.evaluate(&named(&inputs)).unwrap_err();
    assert!(error.to_string().contains("memory.0"), "{error}");
    let other = Arc::new(with_gradients(|graph| {
        language_loss(graph, &model, [3, TIME], DType::F32, Training::default())
    }));
    let mut streams = State::new(&Device::Cpu, &other).unwrap();
    let error = trainer.step_on(&mut streams, &[&named(&inputs)]).unwrap_err();
    assert!(error.to_string().contains("memory.0"), "{error}");
}
