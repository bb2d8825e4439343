//! Streams of a causal model: in chunks as at once, full, forked, saved, and what is refused.

use std::collections::BTreeMap;

use foveate::generate::{BeamOptions, Generator, Options, Sampling, Streams};
use foveate::gpu::{AdapterRequest, Context};
use foveate::models::{Encoder, Model, Task};
use foveate::runtime::{Device, Store};
use foveate::weights::{Fields, Weights};
use foveate::{DType, ErrorKind, HostTensor};

use crate::support::devices;

const VOCABULARY: u32 = 11;

fn gpt2() -> Model {
    let json = serde_json::json!({
        "model_type": "gpt2", "n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": VOCABULARY, "n_positions": 320,
    });
    let fields = Fields::new("config.json", json).expect("an object");
    Model::from_config(&fields, Task::Logits).expect("the configuration is sound")
}

fn generator(device: &Device) -> Generator {
    let model = gpt2();
    let weights = Weights::random(model.declarations(), DType::F32, 3).expect("it is a float type");
    Generator::new(&model, &weights, device).expect("it is causal")
}

fn ids(count: usize) -> Vec<u32> {
    (0..count as u32).map(|at| (at * at + 3 * at) % VOCABULARY).collect()
}

/// The scores of the next token of the only stream.
fn feed(generator: &mut Generator, streams: &mut Streams, tokens: &[u32]) -> Vec<f32> {
    let scores = generator.feed(streams, &[tokens]).expect("they fit");
    scores[0].clone().expect("it got tokens")
}

fn assert_close(found: &[f32], expected: &[f32]) {
    let largest = expected.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-5 * largest, "found {found}, expected {expected}");
    }
}

#[test]
fn a_prompt_longer_than_a_chunk_scores_as_token_by_token() {
    for (_, device) in devices() {
        let mut generator = generator(&device);
        let prompt = ids(300);
        let mut at_once = generator.start(1, 320).expect("there is room");
        let expected = feed(&mut generator, &mut at_once, &prompt);
        let mut in_parts = generator.start(1, 320).expect("there is room");
        feed(&mut generator, &mut in_parts, &prompt[..290]);
        prompt[290..299].iter().for_each(|&id| drop(feed(&mut generator, &mut in_parts, &[id])));
        assert_close(&feed(&mut generator, &mut in_parts, &prompt[299..]), &expected);
        assert_eq!(in_parts.lengths(), [300]);
    }
}

#[test]
fn a_full_stream_refuses_more_and_can_be_continued_otherwise() {
    for (_, device) in devices() {
        let mut generator = generator(&device);
        let mut streams = generator.start(2, 4).expect("there is room");
        generator.feed(&mut streams, &[&[1, 2, 3], &[4]]).expect("they fit");
        let error = generator.feed(&mut streams, &[&[1, 2], &[5]]).expect_err("the first has room for one");
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert_eq!(
            error.to_string(),
            "generate: stream 0: expected at most 4 tokens, of which it holds 3, found 2 more"
        );
        assert_eq!(streams.lengths(), [3, 1], "nothing was written");
        let scores = generator.feed(&mut streams, &[&[1], &[5]]).expect("both have room for one");
        let mut alone = generator.start(1, 4).expect("there is room");
        assert_close(scores[0].as_ref().expect("scores"), &feed(&mut generator, &mut alone, &[1, 2, 3, 1]));
        let mut alone = generator.start(1, 4).expect("there is room");
        assert_close(scores[1].as_ref().expect("scores"), &feed(&mut generator, &mut alone, &[4, 5]));
    }
}

/// One program serves every step: behind the first one, nothing is allocated on the device, as making a program or buffers would.
#[test]
fn steps_make_nothing() {
    // A device of its own, on which nothing else is allocated meanwhile.
    let context = Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}"));
    let mut generator = generator(&Device::Gpu(context.clone()));
    let mut streams = generator.start(2, 40).expect("there is room");
    generator.feed(&mut streams, &[&[1, 2, 3], &[7]]).expect("they fit");
    let allocated = || {
        let report = context.device().generate_allocator_report().expect("the backend keeps one");
        (report.allocations.len(), report.total_reserved_bytes)
    };
    let empty = allocated();
    generator.feed(&mut streams, &[&[4], &[5]]).expect("they fit");
    let before = allocated();
    assert_ne!(before, empty, "making a program shows in the report");
    for id in 0..30 {
        generator.feed(&mut streams, &[&[id % VOCABULARY], &[(id + 1) % VOCABULARY]]).expect("they fit");
        assert_eq!(allocated(), before, "step {id}");
    }
}

#[test]
fn forks_go_on_by_themselves_and_truncated_streams_forget() {
    for (_, device) in devices() {
        let mut generator = generator(&device);
        let mut first = generator.start(1, 8).expect("there is room");
        feed(&mut generator, &mut first, &[1, 2, 3]);
        let mut second = first.fork().expect("there is room");
        feed(&mut generator, &mut first, &[9, 9, 9]);
        let forked = feed(&mut generator, &mut second, &[4]);
        first.truncate(0, 3).expect("it holds more");
        assert_close(&feed(&mut generator, &mut first, &[4]), &forked);
        first.reset().expect("the device is there");
        assert_close(&feed(&mut generator, &mut first, &[1, 2, 3, 4]), &forked);
        let error = first.truncate(0, 5).expect_err("it holds 4");
        assert_eq!(
            error.to_string(),
            "generate: stream 0: expected one that holds at least 5 tokens, found 4"
        );
    }
}

#[test]
fn saved_streams_go_on_where_they_were() {
    let path = std::env::temp_dir().join(format!("foveate-streams-{}.safetensors", std::process::id()));
    for (_, device) in devices() {
        let mut generator = generator(&device);
        let mut streams = generator.start(2, 8).expect("there is room");
        generator.feed(&mut streams, &[&[1, 2, 3], &[7]]).expect("they fit");
        streams.save(&path).expect("it can be written");
        let expected = generator.feed(&mut streams, &[&[4], &[5]]).expect("they fit");

        let mut others = generator.start(2, 8).expect("there is room");
        others.load(&path).expect("it was written of such streams");
        assert_eq!(others.lengths(), [3, 1]);
        let found = generator.feed(&mut others, &[&[4], &[5]]).expect("they fit");
        assert_eq!(found, expected);

        // Of another number of streams, or with another room.
        for (count, capacity) in [(1, 8), (2, 2), (2, 9)] {
            let mut others = generator.start(count, capacity).expect("there is room");
            let error = others.load(&path).expect_err("these are other streams");
            assert_eq!(error.kind(), ErrorKind::Weights, "{error}");
            assert_eq!(others.lengths(), vec![0; count]);
        }
    }
    std::fs::remove_file(&path).expect("it is there");
}

#[test]
fn what_has_no_meaning_is_refused() {
    let mut generator = generator(&Device::Cpu);
    let mut streams = generator.start(2, 8).expect("there is room");
    let mut refused =
        |tokens: &[&[u32]]| generator.feed(&mut streams, tokens).expect_err("it cannot be").to_string();
    assert_eq!(refused(&[&[1]]), "generate: tokens: expected 2 lists, one a stream, found 1");
    assert_eq!(refused(&[&[1], &[11]]), "generate: tokens of stream 1: expected ids below 11, found 11");
    let error = generator.reorder(&mut streams, &[0, 2]).expect_err("there are two");
    assert_eq!(error.to_string(), "generate: from: expected 2 numbers of streams, found [0, 2]");
    for (streams, capacity) in [(0, 8), (1, 0), (1, 321)] {
        assert_eq!(generator.start(streams, capacity).expect_err("it cannot be").kind(), ErrorKind::Argument);
    }
}

/// Scores by output weights that are not the embeddings': what a model without its head gives, times these.
#[test]
fn output_weights_may_be_others_than_the_embeddings() {
    let fields = |is_tied: bool| {
        let json = serde_json::json!({
            "model_type": "gpt2", "n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": VOCABULARY,
            "n_positions": 320, "tie_word_embeddings": is_tied,
        });
        Fields::new("config.json", json).expect("an object")
    };
    let model =
        |is_tied, task| Model::from_config(&fields(is_tied), task).expect("the configuration is sound");
    let untied = model(false, Task::Logits);
    let weights = Weights::random(untied.declarations(), DType::F32, 3).expect("it is a float type");
    let named: BTreeMap<String, HostTensor> =
        weights.iter().collect::<Result<_, _>>().expect("they are finite");
    let hidden_model = model(true, Task::Hidden);
    assert_eq!(named.len(), hidden_model.declarations().list().len() + 1);
    let (ids, head) = (ids(5), named["lm_head.weight"].to_f64());
    assert_eq!(named["lm_head.weight"].shape().dims(), [VOCABULARY as usize, 16]);
    for (_, device) in devices() {
        let store = Store::upload(&device, weights.iter()).expect("they fit");
        let mut encoder =
            Encoder::with_store(&hidden_model, &store, DType::F32).expect("it reads whole texts");
        let hidden = encoder.run(&[&ids]).expect("it runs")[0].to_f64();
        let last = &hidden[4 * 16..];
        let expected: Vec<f32> =
            head.chunks(16).map(|row| row.iter().zip(last).map(|(a, b)| a * b).sum::<f64>() as f32).collect();
        let mut generator = Generator::with_store(&untied, DType::F32, &store).expect("it is causal");
        let mut streams = generator.start(1, 8).expect("there is room");
        assert_close(&feed(&mut generator, &mut streams, &ids), &expected);
        let mut generator =
            Generator::with_store(&model(true, Task::Logits), DType::F32, &store).expect("it is causal");
        let mut streams = generator.start(1, 8).expect("there is room");
        let tied = feed(&mut generator, &mut streams, &ids);
        assert!(tied.iter().zip(&expected).any(|(a, b)| (a - b).abs() > 1e-2), "they are others");
    }
}

#[test]
fn beams_find_the_likeliest_of_all_texts() {
    let mut generator = generator(&Device::Cpu);
    let prompt = [1, 2, 3];
    let options = BeamOptions::new(2, VOCABULARY as usize);
    let found = generator.beams(&prompt, &options).expect("they can be searched");
    assert_eq!(found.len(), VOCABULARY as usize);
    // As many beams as tokens leave nothing out at two steps.
    let log = |scores: &[f32], id: u32| {
        let highest = scores.iter().copied().fold(f32::MIN, f32::max);
        let sum: f64 = scores.iter().map(|score| f64::from(score - highest).exp()).sum();
        f64::from(scores[id as usize] - highest) - sum.ln()
    };
    let mut streams = generator.start(1, 8).expect("there is room");
    let first = feed(&mut generator, &mut streams, &prompt);
    let mut all = Vec::new();
    for a in 0..VOCABULARY {
        streams.truncate(0, 3).expect("it holds as many");
        let second = feed(&mut generator, &mut streams, &[a]);
        all.extend((0..VOCABULARY).map(|b| (vec![1, 2, 3, a, b], log(&first, a) + log(&second, b))));
    }
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    for (found, (tokens, sum)) in found.iter().zip(&all) {
        assert_eq!(found.tokens, *tokens);
        assert!((found.score - sum / 5.0).abs() < 1e-5, "{} and {}", found.score, sum / 5.0);
    }
}

/// With most of the likeliest tokens ending a text, others go on in the places of those: as many as there are beams.
#[test]
fn texts_that_end_take_no_places_of_those_that_go_on() {
    let mut generator = generator(&Device::Cpu);
    let mut streams = generator.start(1, 8).expect("there is room");
    let mut others = 0;
    for prompt in [[1, 2, 3], [4, 0, 9], [5, 5, 1], [10, 3, 2], [7, 8, 6]] {
        streams.reset().expect("the device is there");
        let scores = feed(&mut generator, &mut streams, &prompt);
        let mut ranked: Vec<u32> = (0..VOCABULARY).collect();
        ranked.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
        // Longer texts are favoured, so that those that end at once are not among the best.
        let options = BeamOptions::new(3, 2).length_penalty(3.0).stop(&ranked[1..4]);
        let found = generator.beams(&prompt, &options).expect("they can be searched");
        assert_eq!(found.len(), 2);
        others += found.iter().filter(|text| text.tokens[3] != ranked[0]).count();
    }
    assert!(others > 0, "all texts begin with the likeliest token, as if nothing else went on");
}

#[test]
fn beams_without_a_meaning_are_refused() {
    let mut generator = generator(&Device::Cpu);
    let options = BeamOptions::new(2, 2);
    let mut refused = |prompt: &[u32], options: BeamOptions| {
        generator.beams(prompt, &options).expect_err("it cannot be").to_string()
    };
    for beams in [0, 12] {
        assert_eq!(
            refused(&[1], BeamOptions::new(2, beams)),
            format!("generate: beams: expected 1 to 11, as many as there are tokens, found {beams}")
        );
    }
    assert_eq!(
        refused(&[1], options.clone().length_penalty(f32::NAN)),
        "generate: length_penalty: expected a finite number, found NaN"
    );
    assert_eq!(refused(&[], options.clone()), "generate: prompt: expected at least one token, found none");
    assert_eq!(
        refused(&[1], BeamOptions::new(321, 2)),
        "generate: tokens: expected at most 320, as many as the model has positions, found 1 of the prompt and 321 more"
    );
}

#[test]
fn texts_that_would_not_fit_are_refused_beforehand() {
    let mut generator = generator(&Device::Cpu);
    for (length, most) in [(321, 1), (10, 312), (1, usize::MAX)] {
        let prompt = ids(length);
        let sampling = Sampling::default();
        let options = Options::new(most).sampling(sampling);
        let generated = generator.generate(&[&prompt], &options, |_, _| panic!("nothing is generated"));
        let beams = BeamOptions::new(most, 2);
        let searched = generator.beams(&prompt, &beams);
        for error in [generated.expect_err("it is too long"), searched.expect_err("it is too long")] {
            assert_eq!((error.kind(), error.argument()), (ErrorKind::Limit, "tokens"), "{error}");
        }
    }
}
