//! Recurrent models: segments of texts against whole ones, and what cannot be.

use foveate::models::{Encoder, Model, Segments, Task, Tokens};
use foveate::nn::{Recorder, Training};
use foveate::ops::{self, CrossEntropy};
use foveate::runtime::{Device, Runner, State, Store};
use foveate::weights::{Fields, Weights};
use foveate::{DType, ErrorKind, Graph, HostTensor};

use crate::support::{devices, relative_error};

const TEXTS: [[u32; 9]; 2] = [[0, 11, 3, 22, 7, 7, 14, 1, 9], [4, 17, 1, 0, 20, 8, 2, 2, 15]];

/// A Transformer-XL with these fields besides. Every query sees 4 keys, so that a text is the same in any segments.
fn transfo_xl(fields: &[(&str, serde_json::Value)]) -> Model {
    let mut json = serde_json::json!({
        "model_type": "transfo-xl", "vocab_size": 23, "cutoffs": [5, 12], "div_val": 2, "d_model": 16,
        "d_embed": 12, "d_inner": 20, "d_head": 6, "n_head": 2, "n_layer": 2, "mem_len": 4, "same_length": true,
    });
    for (name, value) in fields {
        json[name] = value.clone();
    }
    let fields = Fields::new("config.json", json).expect("an object");
    Model::from_config(&fields, Task::Logits).expect("the configuration is sound")
}

fn segments(model: &Model, device: &Device) -> Segments {
    let weights = Weights::random(model.declarations(), DType::F32, 5).expect("f32 is a float type");
    Segments::new(model, &weights, device).expect("it is recurrent")
}

/// Log-probabilities of part of the texts: `[texts, time, vocab_size]`.
fn read(segments: &mut Segments, streams: &mut State, range: std::ops::Range<usize>) -> HostTensor {
    let parts = TEXTS.map(|text| text[range.clone()].to_vec());
    segments.run(streams, &parts).expect("it runs")["log_probs"].clone()
}

/// Rows `range` along time.
fn rows(whole: &HostTensor, range: std::ops::Range<usize>) -> HostTensor {
    let [batch, time, width] = *whole.shape().dims() else { panic!("{:?}", whole.shape()) };
    let text = |values: &[f32]| values[range.start * width..range.end * width].to_vec();
    let values: Vec<Vec<f32>> = whole.to_f32().chunks(time * width).map(text).collect();
    HostTensor::f32([batch, range.len(), width], values.concat()).expect("they are as many")
}

#[test]
fn a_text_is_the_same_in_any_segments() {
    for fields in [&[][..], &[("pre_lnorm", true.into()), ("untie_r", false.into())]] {
        let model = transfo_xl(fields);
        for (name, device) in devices() {
            let mut segments = segments(&model, &device);
            let mut streams = segments.start(2).expect("there is room");
            let whole = read(&mut segments, &mut streams, 0..9);
            streams.reset().expect("the device is there");
            let mut fork = None;
            for range in [0..3, 3..4, 4..9] {
                if range.start == 4 {
                    fork = Some(streams.fork().expect("there is room"));
                }
                let found = read(&mut segments, &mut streams, range.clone());
                let error = relative_error(&found, &rows(&whole, range.clone()));
                println!("{name}, tokens {range:?}: {error:.1e}");
                assert!(error < 1e-5);
            }
            let found = read(&mut segments, &mut fork.expect("it was forked"), 4..6);
            assert!(relative_error(&found, &rows(&whole, 4..6)) < 1e-5);
        }
    }
}

/// Longer segments and other memories take other programs, beside which those that were made before count on.
#[test]
fn time_spent_on_preparing_adds_up() {
    let mut segments = segments(&transfo_xl(&[]), &devices()[0].1);
    let mut streams = segments.start(2).expect("there is room");
    let mut before = segments.preparing();
    for range in [0..1, 1..3, 3..9] {
        read(&mut segments, &mut streams, range);
        assert!(segments.preparing() > before);
        before = segments.preparing();
    }
    let mut segments = segments.with_hidden_memory();
    assert!(segments.preparing() >= before);
    let mut streams = segments.start(2).expect("there is room");
    read(&mut segments, &mut streams, 0..1);
    assert!(segments.preparing() > before);
}

#[test]
fn memories_are_read_and_probabilities_sum_to_1() {
    let model = transfo_xl(&[]);
    let mut segments = segments(&model, &Device::Cpu);
    let mut streams = segments.start(2).expect("there is room");
    let first = read(&mut segments, &mut streams, 0..4);
    let again = read(&mut segments, &mut streams, 0..4);
    assert!(relative_error(&again, &first) > 1e-3);
    for row in first.to_f32().chunks(23) {
        let sum: f64 = row.iter().map(|&logarithm| f64::from(logarithm).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    }
}

/// Whether queries see one number of keys or all, whatever layers normalise, and in segments of any length.
#[test]
fn memories_of_keys_and_values_are_as_good_as_of_hidden_states() {
    for fields in [
        &[][..],
        &[("same_length", false.into())],
        &[("same_length", false.into()), ("clamp_len", 5.into()), ("untie_r", false.into())],
        &[("pre_lnorm", true.into())],
    ] {
        let model = transfo_xl(fields);
        for (name, device) in devices() {
            let mut of_pairs = segments(&model, &device);
            let mut of_hidden = segments(&model, &device).with_hidden_memory();
            let mut streams = of_pairs.start(2).expect("there is room");
            let mut hidden_streams = of_hidden.start(2).expect("there is room");
            for range in [0..2, 2..3, 3..8, 8..9] {
                let found = read(&mut of_pairs, &mut streams, range.clone());
                let expected = read(&mut of_hidden, &mut hidden_streams, range.clone());
                let error = relative_error(&found, &expected);
                println!("{name}, {fields:?}, tokens {range:?}: {error:.1e}");
                assert!(error < 1e-5);
            }
            let error = of_hidden.run(&mut streams, &[[1], [2]]);
            assert_eq!(error.is_err(), !fields.iter().any(|(name, _)| *name == "pre_lnorm"));
        }
    }
}

#[test]
fn likelihoods_are_those_of_the_targets() {
    let model = transfo_xl(&[]);
    for (name, device) in devices() {
        let mut segments = segments(&model, &device);
        let mut streams = segments.start(2).expect("there is room");
        let expected = read(&mut segments, &mut streams, 0..8).to_f32();
        streams.reset().expect("the device is there");
        for range in [0..5, 5..8] {
            let [ids, targets] =
                [0, 1].map(|by| TEXTS.map(|text| text[range.start + by..range.end + by].to_vec()));
            let found = segments.log_likelihoods(&mut streams, &ids, &targets).expect("they fit");
            assert_eq!(found.shape().dims(), [2, range.len()]);
            for (i, found) in found.to_f32().into_iter().enumerate() {
                let (text, at) = (i / range.len(), range.start + i % range.len());
                let expected = expected[(text * 8 + at) * 23 + TEXTS[text][at + 1] as usize];
                assert!((found - expected).abs() < 1e-5, "{name}: {found}, not {expected}");
            }
        }
        let mut refused = |targets: &[Vec<u32>]| {
            let error = segments.log_likelihoods(&mut streams, &[vec![1, 2], vec![3, 4]], targets);
            error.expect_err("it cannot be").to_string()
        };
        assert_eq!(
            refused(&[vec![1, 2], vec![3]]),
            "segments: targets: expected as many as there are tokens, [2, 2], found [2, 1]"
        );
        assert_eq!(refused(&[vec![1, 2], vec![3, 23]]), "segments: targets: expected ids below 23, found 23");
    }
    let fields = serde_json::json!({
        "model_type": "transfo-xl", "vocab_size": 23, "cutoffs": [], "d_model": 4, "d_embed": 4, "d_inner": 4,
        "d_head": 2, "n_head": 2, "n_layer": 1, "mem_len": 4, "div_val": 1,
    });
    let fields = Fields::new("config.json", fields).expect("an object");
    let hidden = Model::from_config(&fields, Task::Hidden).expect("the configuration is sound");
    let mut segments = self::segments(&hidden, &Device::Cpu);
    let mut streams = segments.start(1).expect("there is room");
    let error = segments.log_likelihoods(&mut streams, &[[1]], &[[2]]).expect_err("it has no scores");
    assert_eq!(error.to_string(), "segments: task: expected Logits, found hidden");
}

#[test]
fn distances_are_clamped_where_the_configuration_says_so() {
    let first = |clamp: i32| {
        let model = transfo_xl(&[("same_length", false.into()), ("clamp_len", clamp.into())]);
        let mut segments = segments(&model, &Device::Cpu);
        let mut streams = segments.start(2).expect("there is room");
        read(&mut segments, &mut streams, 0..9)
    };
    let unclamped = first(-1);
    assert_eq!(first(0).to_f32(), unclamped.to_f32());
    // The farthest key is the first memory, seen by the last query.
    assert_eq!(first(12).to_f32(), unclamped.to_f32());
    let clamped = first(11);
    assert!(relative_error(&rows(&clamped, 8..9), &rows(&unclamped, 8..9)) > 1e-6);
    assert_eq!(rows(&clamped, 0..8).to_f32(), rows(&unclamped, 0..8).to_f32());
}

#[test]
fn gradients_are_the_same_with_values_computed_again() {
    let model = transfo_xl(&[]);
    let weights = Weights::random(model.declarations(), DType::F32, 5).expect("f32 is a float type");
    let store = Store::upload(&Device::Cpu, weights.iter()).expect("they fit");
    let run = |recompute: usize| {
        let mut graph = Graph::new();
        let tokens = Tokens::segments(&mut graph, [2, 9]).expect("a new graph takes them");
        let mut recorder =
            Recorder::new(&mut graph, DType::F32).training(Training { recompute, ..Training::default() });
        let scores = model.record_with(&mut recorder, &tokens).expect("it is recorded");
        let loss = ops::cross_entropy(&mut graph, scores, tokens.ids, &CrossEntropy::new());
        let (names, values): (Vec<_>, Vec<_>) = graph.parameters().iter().cloned().unzip();
        let gradients = graph.gradients(loss.expect("they fit"), &values).expect("every step has one");
        for (name, gradient) in names.iter().zip(gradients) {
            graph.output(&format!("gradient {name}"), gradient).expect("the name is free");
        }
        let mut state = State::new(&Device::Cpu, &graph).expect("there is room");
        let ids = TEXTS.concat().into_iter().map(|id| id as i32).collect();
        let ids = HostTensor::i32([2, 9], ids).expect("as many");
        let mut runner = Runner::new(&store);
        let mut graph = Some(graph);
        let mut outputs = Vec::new();
        for _ in 0..2 {
            let record = || Ok(graph.take().expect("it is kept"));
            outputs.push(runner.run_stream((), &mut state, &[("ids", &ids)], record).expect("it runs"));
        }
        outputs
    };
    let kept = run(0);
    assert_ne!(kept[0], kept[1], "memories are read");
    assert_eq!(run(1), kept);
}

#[test]
fn segments_that_do_not_fit_are_refused_and_change_nothing() {
    let model = transfo_xl(&[]);
    let mut segments = segments(&model, &Device::Cpu);
    let mut streams = segments.start(2).expect("there is room");
    for (parts, message) in [
        (vec![], "segments: segments: expected 2, one a stream, found 0"),
        (vec![vec![1_u32]], "segments: segments: expected 2, one a stream, found 1"),
        (
            vec![vec![], vec![]],
            "segments: segment 0: expected 1 to 16777216 tokens, as many as the others, found 0",
        ),
        (
            vec![vec![1], vec![1, 2]],
            "segments: segment 1: expected 1 to 16777216 tokens, as many as the others, found 2",
        ),
        (vec![vec![1], vec![23]], "segments: segment 1: expected ids below 23, found 23"),
    ] {
        let error = segments.run(&mut streams, &parts).expect_err("it is refused");
        assert_eq!(error.to_string(), message);
    }
    let memory = streams.store().read("memory.1.key").expect("it is there").to_f32();
    assert!(memory.iter().all(|&x| x == 0.0));
    let error = segments.start(0).expect_err("there is no stream");
    assert_eq!(error.to_string(), "segments: streams: expected 1 to 65536, found 0");

    let longer = transfo_xl(&[("mem_len", 5.into())]);
    let mut foreign = self::segments(&longer, &Device::Cpu).start(2).expect("there is room");
    let error = segments.run(&mut foreign, &[[1], [2]]).expect_err("memories are of another length");
    assert!(error.to_string().contains("memory.0"), "{error}");
}

#[test]
fn a_recurrent_model_reads_no_whole_texts() {
    let model = transfo_xl(&[]);
    let weights = Weights::random(model.declarations(), DType::F32, 5).expect("f32 is a float type");
    let error = Encoder::new(&model, &weights, &Device::Cpu).expect_err("it reads segments");
    assert_eq!(
        error.to_string(),
        "encoder: transfo-xl: expected a model that reads one text at once, found a recurrent model"
    );
    let mut graph = Graph::new();
    let tokens = Tokens::rows(&mut graph, [1, 3], 0).expect("a new graph takes them");
    let error = model.record(&mut graph, &tokens, DType::F32).expect_err("they are whole texts");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(
        error.to_string(),
        "transfo-xl: layout: expected segments of streams, streams with caches, found whole rows"
    );
}
