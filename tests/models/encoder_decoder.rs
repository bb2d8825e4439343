//! Texts about source texts: through caches as in one graph, and what cannot be.

use foveate::generate::{Generator, Streams};
use foveate::models::{Encoder, Model, ResultRows, Task, Tokens};
use foveate::nn::{Recorder, Training};
use foveate::ops::{self, CrossEntropy};
use foveate::runtime::{Device, Runner, Store};
use foveate::weights::{Fields, Weights};
use foveate::{DType, ErrorKind, Graph, HostTensor, TensorDesc};

use crate::support::{assert_reset_mends, devices, generator_with, relative_error};

const SOURCES: [&[u32]; 2] = [&[5, 9, 3, 22, 7, 7, 14, 1], &[4, 17, 1]];
const TEXTS: [&[u32]; 2] = [&[0, 12, 8, 3, 20], &[0, 6, 6, 19, 2]];

/// Heads do not share the width, there are fewer buckets than distances, and the decoder has more layers.
fn t5(task: Task) -> Model {
    let json = serde_json::json!({
        "model_type": "t5", "d_model": 16, "d_kv": 6, "d_ff": 20, "num_heads": 2, "num_layers": 1,
        "num_decoder_layers": 2, "vocab_size": 23, "relative_attention_num_buckets": 4,
        "relative_attention_max_distance": 6, "feed_forward_proj": "gated-gelu", "pad_token_id": 0,
        "decoder_start_token_id": 0, "eos_token_id": 1,
    });
    let fields = Fields::new("config.json", json).expect("an object");
    Model::from_config(&fields, task).expect("the configuration is sound")
}

fn weights(model: &Model, dtype: DType) -> Weights {
    Weights::random(model.declarations(), dtype, 3).expect("it is a float type")
}

/// Scores of every token in one graph, with padding behind the shorter source text: `[texts * time, vocab_size]`.
fn whole(model: &Model, device: &Device) -> HostTensor {
    let (batch, time, source_time) = (TEXTS.len(), TEXTS[0].len(), SOURCES[0].len() + 1);
    let record = || -> foveate::Result<Graph> {
        let mut graph = Graph::new();
        let tokens = Tokens::rows(&mut graph, [batch, time], 0)?.with_source(&mut graph, source_time)?;
        let scores = model.record(&mut graph, &tokens, DType::F32)?;
        graph.output("scores", scores)?;
        Ok(graph)
    };
    let padded = |texts: &[&[u32]], time: usize| {
        let row = |text: &&[u32]| (0..time).map(|at| text.get(at).map_or(11, |id| *id as i32)).collect();
        let rows: Vec<Vec<i32>> = texts.iter().map(row).collect();
        HostTensor::i32([texts.len(), time], rows.concat()).expect("it has these extents")
    };
    let lengths = SOURCES.iter().map(|source| source.len() as i32).collect();
    let lengths = HostTensor::i32([batch], lengths).expect("one a text");
    let positions = HostTensor::i32([batch, source_time], vec![0; batch * source_time]).expect("they fit");
    let inputs = [
        ("ids", &padded(&TEXTS, time)),
        ("source_ids", &padded(&SOURCES, source_time)),
        ("source_positions", &positions),
        ("source_lengths", &lengths),
    ];
    let store = Store::upload(device, weights(model, DType::F32).iter()).expect("they fit");
    let outputs = Runner::new(&store).run((), &inputs, record).expect("it runs");
    outputs["scores"].clone()
}

/// The scores after token `at` of text `text`.
fn row(whole: &HostTensor, text: usize, at: usize) -> HostTensor {
    let [_, time, vocabulary] = *whole.shape().dims() else { panic!("{:?}", whole.shape()) };
    let start = (text * time + at) * vocabulary;
    tensor(&whole.to_f32()[start..start + vocabulary])
}

fn tensor(scores: &[f32]) -> HostTensor {
    HostTensor::f32([scores.len()], scores.to_vec()).expect("it has this extent")
}

fn feed(generator: &mut Generator, streams: &mut Streams, tokens: &[&[u32]]) -> Vec<HostTensor> {
    let scores = generator.feed(streams, tokens).expect("they fit");
    scores.into_iter().map(|scores| tensor(&scores.expect("it got tokens"))).collect()
}

#[test]
fn texts_from_caches_score_as_in_one_graph() {
    let model = t5(Task::Logits);
    for (name, device) in devices() {
        let expected = whole(&model, &device);
        let mut generator =
            Generator::new(&model, &weights(&model, DType::F32), &device).expect("it is a decoder");
        let mut streams = generator.encode(&SOURCES, 1, 5).expect("they fit");
        let close = |found: &HostTensor, text, at| {
            let error = relative_error(found, &row(&expected, text, at));
            println!("{name}, text {text} up to {at}: {error:.1e}");
            assert!(error < 1e-5);
        };
        // Several tokens at once, one by one, and with the streams exchanged: source texts go along.
        let scores = feed(&mut generator, &mut streams, &[&TEXTS[0][..3], &TEXTS[1][..2]]);
        close(&scores[0], 0, 2);
        close(&scores[1], 1, 1);
        generator.reorder(&mut streams, &[1, 0]).expect("there are two");
        let scores = feed(&mut generator, &mut streams, &[&TEXTS[1][2..3], &TEXTS[0][3..]]);
        close(&scores[0], 1, 2);
        close(&scores[1], 0, 4);
        // A text anew about the same source text.
        streams.reset().expect("the device is there");
        let scores = feed(&mut generator, &mut streams, &[&TEXTS[1][..4], &TEXTS[0][..1]]);
        close(&scores[0], 1, 3);
        close(&scores[1], 0, 0);
        // Two streams about each source text.
        let mut streams = generator.encode(&SOURCES, 2, 5).expect("they fit");
        let [first, second] = TEXTS;
        let tokens = [&first[..1], &first[..4], &second[..2], &second[..3]];
        let scores = feed(&mut generator, &mut streams, &tokens);
        for (stream, scores) in scores.iter().enumerate() {
            close(scores, stream / 2, tokens[stream].len() - 1);
        }
    }
}

#[test]
fn streams_about_source_texts_go_on_from_a_reset() {
    let json = serde_json::json!({
        "model_type": "t5", "d_model": 16, "d_kv": 6, "d_ff": 20, "num_heads": 2, "num_layers": 1,
        "vocab_size": 23, "decoder_start_token_id": 0, "tie_word_embeddings": false,
    });
    let fields = Fields::new("config.json", json).expect("an object");
    let model = Model::from_config(&fields, Task::Logits).expect("the configuration is sound");
    for (_, device) in devices() {
        let broken = ("shared.weight", 11, f32::NAN);
        let mut generator = generator_with(&model, &weights(&model, DType::F32), &device, broken);
        let start = |generator: &mut Generator| generator.encode(&SOURCES[..1], 1, 6).expect("there is room");
        assert_reset_mends(&mut generator, &device, start, 11, [0, 12, 8, 3]);
    }
}

#[test]
fn f16_storage_scores_alike() {
    let model = t5(Task::Logits);
    let expected = whole(&model, &Device::Cpu);
    let weights = weights(&model, DType::F16);
    let mut generator = Generator::new(&model, &weights, &Device::Cpu).expect("it is a decoder");
    let mut streams = generator.encode(&SOURCES, 1, 5).expect("they fit");
    for (text, scores) in feed(&mut generator, &mut streams, &TEXTS).iter().enumerate() {
        let error = relative_error(scores, &row(&expected, text, 4));
        println!("text {text}: {error:.1e}");
        assert!(error < 5e-3);
    }
}

#[test]
fn gradients_are_the_same_with_values_computed_again() {
    let model = t5(Task::Logits);
    let gradients = |recompute: usize| {
        let mut graph = Graph::new();
        let tokens = Tokens::rows(&mut graph, [2, 5], 0).expect("a new graph takes them");
        let tokens = tokens.with_source(&mut graph, 8).expect("so it does");
        let mut recorder =
            Recorder::new(&mut graph, DType::F32).training(Training { recompute, ..Training::default() });
        let scores = model.record_with(&mut recorder, &tokens).expect("it is recorded");
        let labels = graph.input("labels", TensorDesc::i32([2, 5])).expect("the name is free");
        let loss = ops::cross_entropy(&mut graph, scores, labels, &CrossEntropy::new()).expect("they fit");
        let (names, values): (Vec<_>, Vec<_>) = graph.parameters().iter().cloned().unzip();
        let gradients = graph.gradients(loss, &values).expect("every step has a gradient");
        for (name, gradient) in names.iter().zip(gradients) {
            graph.output(&format!("gradient {name}"), gradient).expect("the name is free");
        }
        let ids = |shape, data| HostTensor::i32(shape, data).expect("it has these extents");
        let inputs = [
            ("ids", &ids([2, 5], (0..10).collect())),
            ("labels", &ids([2, 5], (4..14).collect())),
            ("source_ids", &ids([2, 8], (2..18).collect())),
            ("source_positions", &ids([2, 8], vec![0; 16])),
            ("source_lengths", &HostTensor::i32([2], vec![8, 3]).expect("one a text")),
        ];
        let weights = weights(&model, DType::F32);
        let parameters = foveate::cpu::Parameters::new(weights.iter()).expect("they are floats");
        foveate::cpu::run_with(&graph, &parameters, &inputs).expect("it runs")
    };
    let kept = gradients(0);
    for recompute in [1, 2] {
        for (name, gradient) in gradients(recompute) {
            assert_eq!(gradient.to_f32(), kept[&name].to_f32(), "{name}");
        }
    }
}

#[test]
fn what_cannot_be_written_about_is_refused_before_it_is_read() {
    let model = t5(Task::Logits);
    let mut generator =
        Generator::new(&model, &weights(&model, DType::F32), &Device::Cpu).expect("it is a decoder");
    let refused = |found: foveate::Result<Streams>| found.expect_err("it is refused").to_string();
    let long: Vec<u32> = vec![3; (1 << 24) + 1];
    for (sources, copies, capacity, message) in [
        (vec![&[2_u32][..], &[]], 1, 4, "generate: source text 1: expected 1 to 16777216 tokens, found 0"),
        (vec![&long[..]], 1, 4, "generate: source text 0: expected 1 to 16777216 tokens, found 16777217"),
        (vec![&[2, 23]], 1, 4, "generate: source text 0: expected ids below 23, found 23"),
        (vec![&[2]], 0, 4, "generate: streams: expected 1 to 65536, found 0"),
        (vec![], 2, 4, "generate: streams: expected 1 to 65536, found 0"),
        (vec![&[2]], usize::MAX, 4, "generate: streams: expected 1 to 65536, found 18446744073709551615"),
        (vec![&[2]], 1, 0, "generate: capacity: expected 1 to 16777216, found 0"),
    ] {
        assert_eq!(refused(generator.encode(&sources, copies, capacity)), message);
    }
    assert_eq!(
        refused(generator.start(1, 4)),
        "generate: streams: expected source texts, as an encoder-decoder writes about such, found none"
    );
    let error =
        Encoder::new(&model, &weights(&model, DType::F32), &Device::Cpu).expect_err("it reads two texts");
    assert_eq!(
        error.to_string(),
        "encoder: t5: expected a model that reads one text at once, found an encoder-decoder"
    );
}

#[test]
fn a_decoder_without_a_source_text_is_refused() {
    let model = t5(Task::Logits);
    let mut graph = Graph::new();
    let tokens = Tokens::rows(&mut graph, [1, 3], 0).expect("a new graph takes them");
    let rows = ResultRows { wanted: tokens.ids, of_sequences: tokens.ids };
    let mut recorder = Recorder::new(&mut graph, DType::F32);
    let error = model.record_results(&mut recorder, &tokens, &rows).expect_err("it reads two texts");
    assert_eq!(error.kind(), ErrorKind::Argument);
    assert_eq!(error.to_string(), "t5: source: expected source texts, found none");

    let mut graph = Graph::new();
    let tokens = Tokens::packed(&mut graph, 6, 2).expect("a new graph takes them");
    let tokens = tokens.with_source(&mut graph, 4).expect("so it does");
    let error = model.record(&mut graph, &tokens, DType::F32).expect_err("whose source texts are whose?");
    assert_eq!(
        error.to_string(),
        "t5: layout: expected padded texts, whole rows, streams with caches, found packed texts"
    );
}

#[test]
fn the_encoder_alone_gives_hidden_states_of_packed_texts() {
    let model = t5(Task::Hidden);
    assert!(model.declarations().list().iter().all(|weight| !weight.name.starts_with("decoder.")));
    for (name, device) in devices() {
        let mut encoder =
            Encoder::new(&model, &weights(&model, DType::F32), &device).expect("it reads one text");
        let together = encoder.run(&SOURCES).expect("they run");
        for (source, packed) in SOURCES.iter().zip(&together) {
            let alone = encoder.run(&[source]).expect("it runs");
            let error = relative_error(packed, &alone[0]);
            println!("{name}: {error:.1e}");
            assert!(error < 1e-5);
        }
    }
}
