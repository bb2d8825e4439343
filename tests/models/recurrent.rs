//! Streams of a recurrent model, token by token: as its segments of one token, whatever they hold, and in caches that hold no more than is seen.

use foveate::DType;
use foveate::generate::{BeamOptions, Generator, Options, Sampling};
use foveate::models::{Model, Segments, Task};
use foveate::runtime::Device;
use foveate::weights::{Fields, Weights};

use crate::support::{assert_reset_mends, devices, generator_with};

const VOCABULARY: usize = 23;

fn model(fields: &[(&str, serde_json::Value)]) -> Model {
    let mut json = serde_json::json!({
        "model_type": "transfo-xl", "vocab_size": VOCABULARY, "cutoffs": [5, 12], "div_val": 2, "d_model": 16,
        "d_embed": 12, "d_inner": 20, "d_head": 6, "n_head": 2, "n_layer": 2, "mem_len": 6,
    });
    for (name, value) in fields {
        json[name] = value.clone();
    }
    let fields = Fields::new("config.json", json).expect("an object");
    Model::from_config(&fields, Task::Logits).expect("the configuration is sound")
}

fn weights(model: &Model) -> Weights {
    Weights::random(model.declarations(), DType::F32, 5).expect("f32 is a float type")
}

fn ids(count: usize) -> Vec<u32> {
    (0..count).map(|at| ((at * at + 5 * at) % VOCABULARY) as u32).collect()
}

/// The log-probabilities behind each of `ids`, read one by one with memories of hidden states.
fn one_by_one(model: &Model, ids: &[u32]) -> Vec<Vec<f32>> {
    let segments = Segments::new(model, &weights(model), &Device::Cpu).expect("it is recurrent");
    let mut segments = segments.with_hidden_memory();
    let mut stream = segments.start(1).expect("there is room");
    let mut next = |id: &u32| segments.run(&mut stream, &[[*id]]).expect("it runs")["log_probs"].to_f32();
    ids.iter().map(&mut next).collect()
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 2e-5, "found {found}, expected {expected}");
    }
}

#[test]
fn streams_are_as_segments_of_one_token() {
    let ids = ids(20);
    for fields in [
        &[][..],
        &[("same_length", false.into()), ("clamp_len", 3.into())],
        &[("pre_lnorm", true.into()), ("untie_r", false.into())],
        &[("mem_len", 1.into())],
    ] {
        let model = model(fields);
        let expected = one_by_one(&model, &ids);
        for (_, device) in devices() {
            let mut generator = Generator::new(&model, &weights(&model), &device).expect("it is causal");
            let mut streams = generator.start(2, 20).expect("there is room");
            // Of different lengths side by side, in parts and token by token.
            let mut read = [0, 0];
            for counts in [[7, 2], [1, 1], [0, 9], [1, 0], [11, 3]] {
                let parts = [0, 1].map(|stream| &ids[read[stream]..read[stream] + counts[stream]]);
                let found = generator.feed(&mut streams, &parts).expect("they fit");
                for (stream, found) in found.into_iter().enumerate() {
                    read[stream] += counts[stream];
                    assert_eq!(found.is_some(), counts[stream] > 0);
                    found.iter().for_each(|found| assert_close(found, &expected[read[stream] - 1]));
                }
            }
            assert_eq!(streams.lengths(), read);
            generator.reorder(&mut streams, &[1, 1]).expect("there are two");
            streams.truncate(0, 12).expect("it holds more");
            let found = generator.feed(&mut streams, &[&ids[12..14], &[]]).expect("they fit");
            assert_close(found[0].as_ref().expect("scores"), &expected[13]);
            streams.reset().expect("the device is there");
            let found = generator.feed(&mut streams, &[&ids[..1], &[]]).expect("they fit");
            assert_close(found[0].as_ref().expect("scores"), &expected[0]);
        }
    }
}

#[test]
fn streams_behind_memories_go_on_from_a_reset() {
    for fields in [&[][..], &[("pre_lnorm", true.into())]] {
        let model = model(fields);
        for (_, device) in devices() {
            // A word of the last cluster: scores of others are as ever.
            let broken = ("word_emb.emb_layers.2.weight", 8, 1e25);
            let mut generator = generator_with(&model, &weights(&model), &device, broken);
            let start = |generator: &mut Generator| generator.start(1, 20).expect("there is room");
            assert_reset_mends(&mut generator, &device, start, 20, [4, 9, 1, 17]);
        }
    }
}

/// Far more tokens than caches have rows for.
#[test]
fn a_long_text_stays_in_caches_of_what_is_seen() {
    let model = model(&[]);
    let ids = ids(1000);
    let expected = one_by_one(&model, &ids);
    let path = std::env::temp_dir().join(format!("foveate-recurrent-{}.safetensors", std::process::id()));
    for (_, device) in devices() {
        let mut generator = Generator::new(&model, &weights(&model), &device).expect("it is causal");
        let mut streams = generator.start(2, 1000).expect("there is room");
        generator.feed(&mut streams, &[&[], &ids[..3]]).expect("they fit");
        let mut at = 0;
        for count in [300, 1, 1, 255, 256, 100, 1] {
            let found = generator.feed(&mut streams, &[&ids[at..at + count], &[]]).expect("they fit");
            at += count;
            assert_close(found[0].as_ref().expect("scores"), &expected[at - 1]);
        }
        let found = generator.feed(&mut streams, &[&[], &ids[3..4]]).expect("they fit");
        assert_close(found[1].as_ref().expect("scores"), &expected[3]);
        assert_eq!(streams.lengths(), [at, 4]);
        let error = streams.truncate(0, 20).expect_err("what it would see is gone");
        assert!(error.to_string().contains("or 0, as tokens before it are dropped"), "{error}");
        streams.truncate(0, at - 1).expect("what it sees is there");
        streams.save(&path).expect("it can be written");
        for mut streams in [generator.start(2, 1000).expect("there is room"), streams] {
            streams.load(&path).expect("it was written of such streams");
            let found = generator.feed(&mut streams, &[&ids[at - 1..at + 9], &[]]).expect("they fit");
            assert_close(found[0].as_ref().expect("scores"), &expected[at + 8]);
        }
        // From the start, where nothing but zeros is before a text.
        let mut streams = generator.start(2, 1000).expect("there is room");
        streams.load(&path).expect("it was written of such streams");
        streams.truncate(0, 0).expect("all goes");
        let found = generator.feed(&mut streams, &[&ids[..9], &[]]).expect("they fit");
        assert_close(found[0].as_ref().expect("scores"), &expected[8]);
        let error = generator.feed(&mut streams, &[&vec![1; 992], &[]]).expect_err("it is longer");
        assert!(error.to_string().contains("at most 1000 tokens"), "{error}");
    }
    std::fs::remove_file(&path).expect("it is there");
}

#[test]
fn texts_and_beams_are_those_of_memories() {
    let model = model(&[]);
    let mut generator = Generator::new(&model, &weights(&model), &Device::Cpu).expect("it is causal");
    let best =
        |scores: &[f32]| (0..VOCABULARY).max_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a)));
    let prompt = ids(4);
    let mut text = prompt.clone();
    for _ in 0..12 {
        let last = one_by_one(&model, &text).pop().expect("a row a token");
        text.push(best(&last).expect("there are tokens") as u32);
    }
    let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
    let options = Options::new(12).sampling(greedy).restarting();
    let found = generator.generate(&[&prompt], &options, |_, _| true).expect("it can go on");
    assert_eq!(found[0], text[4..]);
    let options = BeamOptions::new(12, 1);
    assert_eq!(generator.beams(&prompt, &options).expect("they can be searched")[0].tokens, text);
}
