//! Language models whose layers keep states of a fixed size: token by token as the whole text at once, and what a state cannot do.

use foveate::generate::{BeamOptions, Generator, Options, Sampling};
use foveate::models::{Encoder, LanguageModelConfig, Mixing, Model};
use foveate::runtime::Device;
use foveate::weights::Weights;
use foveate::{DType, ErrorKind};

use crate::support::{assert_reset_mends, devices, generator_with};

const VOCABULARY: usize = 11;

/// The longest text.
const LENGTH: usize = 100;

const RECURRENT: &[&str] = &[
    r#"{"linear": {"features": "elu_plus_one", "causal": true}}"#,
    r#"{"favor": {"features": 32, "causal": true}}"#,
    r#"{"gated": {"decay": "channels"}}"#,
    r#"{"gated": {"decay": "heads", "delta": true}}"#,
    r#"{"gated": {"decay": "channels", "delta": true}}"#,
];

fn config(mixing: &str, reversible: bool) -> LanguageModelConfig {
    let mixing: Mixing = serde_json::from_str(mixing).expect("it is a mechanism");
    LanguageModelConfig {
        vocab_size: VOCABULARY,
        width: 16,
        heads: 2,
        layers: 2,
        feed_forward: 32,
        length: LENGTH,
        reversible,
        mixing: Some(mixing),
        masked: false,
    }
}

fn model(mixing: &str) -> Model {
    config(mixing, false).model().expect("the extents are sound")
}

fn generator(model: &Model, device: &Device) -> Generator {
    let weights = Weights::random(model.declarations(), DType::F32, 3).expect("it is a float type");
    Generator::new(model, &weights, device).expect("it is causal")
}

fn ids(count: usize) -> Vec<u32> {
    (0..count).map(|at| ((at * at + 3 * at) % VOCABULARY) as u32).collect()
}

/// The scores behind the first `lengths` tokens of `text`, from the whole of each, on the CPU reference.
fn recomputed(model: &Model, text: &[u32], lengths: &[usize]) -> Vec<Vec<f32>> {
    let weights = Weights::random(model.declarations(), DType::F32, 3).expect("it is a float type");
    let mut encoder = Encoder::new(model, &weights, &Device::Cpu).expect("it reads whole texts");
    let score = |&length: &usize| {
        let scores = encoder.run(&[&text[..length]]).expect("it runs").remove(0).to_f32();
        scores[(length - 1) * VOCABULARY..].to_vec()
    };
    lengths.iter().map(score).collect()
}

fn assert_close(found: &[f32], expected: &[f32], of: &str) {
    assert_eq!(found.len(), expected.len(), "{of}");
    let largest = expected.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 5e-5 * largest, "{of}: found {found}, expected {expected}");
    }
}

/// Streams of different lengths, in pieces whose programs fill up with tokens that must not count.
#[test]
fn states_score_as_the_whole_text_does() {
    let text = ids(LENGTH);
    for (name, device) in devices() {
        for mixing in RECURRENT {
            for reversible in [false, true] {
                let model = config(mixing, reversible).model().expect("the extents are sound");
                let mut generator = generator(&model, &device);
                let mut streams = generator.start(2, LENGTH).expect("there is room");
                let mut held = [0, 0];
                for more in [[20, 3], [1, 0], [0, 30], [79, 1]] {
                    let next = [0, 1].map(|stream| &text[held[stream]..held[stream] + more[stream]]);
                    let scores = generator.feed(&mut streams, &next).expect("they fit");
                    for (stream, scores) in scores.into_iter().enumerate() {
                        held[stream] += more[stream];
                        assert_eq!(scores.is_some(), more[stream] > 0);
                        let Some(scores) = scores else { continue };
                        let expected = recomputed(&model, &text, &[held[stream]]);
                        assert_close(&scores, &expected[0], &format!("{mixing} on {name}, {held:?}"));
                    }
                }
                assert_eq!(streams.lengths(), [100, 34]);
            }
        }
    }
}

/// Greedy texts, past the model's positions: what they go on from then is read anew.
#[test]
fn texts_are_those_of_recomputing_the_context() {
    for mixing in RECURRENT {
        let model = model(mixing);
        let mut generator = generator(&model, &Device::Cpu);
        let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
        let options = Options::new(20).sampling(greedy).restarting();
        let prompts = [ids(90), ids(5)];
        let found = generator.generate(&prompts, &options, |_, _| true).expect("they can be continued");
        for (prompt, found) in prompts.iter().zip(found) {
            let (mut text, mut first) = (prompt.clone(), 0);
            for id in found {
                if text.len() - first > LENGTH {
                    first = text.len() - LENGTH / 2;
                }
                let seen = &text[first..];
                let scores = recomputed(&model, seen, &[seen.len()]).remove(0);
                let highest = scores.iter().copied().fold(f32::MIN, f32::max);
                let largest = scores.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
                assert!(
                    highest - scores[id as usize] <= 5e-5 * largest,
                    "{mixing}: {id} behind {} tokens",
                    text.len()
                );
                text.push(id);
            }
            assert_eq!(text.len(), prompt.len() + 20);
        }
    }
}

/// What a stream keeps does not grow with the room that it has, and beams take states along.
#[test]
fn states_have_a_fixed_size_and_go_where_beams_go() {
    for mixing in RECURRENT {
        let model = model(mixing);
        let mut generator = generator(&model, &Device::Cpu);
        let saved = |capacity| {
            let path = std::env::temp_dir()
                .join(format!("foveate-stateful-{}-{capacity}.safetensors", std::process::id()));
            let streams = generator.start(1, capacity).expect("there is room");
            streams.save(&path).expect("it can be written");
            let bytes = std::fs::metadata(&path).expect("it is there").len();
            std::fs::remove_file(&path).expect("it is there");
            bytes
        };
        assert_eq!(saved(10), saved(90), "{mixing}");
        let options = BeamOptions::new(4, VOCABULARY);
        let best = generator.beams(&[1, 2, 3], &options).expect("they can be searched").remove(0);
        let log = |scores: &[f32], id: u32| {
            let highest = scores.iter().copied().fold(f32::MIN, f32::max);
            let sum: f64 = scores.iter().map(|score| f64::from(score - highest).exp()).sum();
            f64::from(scores[id as usize] - highest) - sum.ln()
        };
        let scores = recomputed(&model, &best.tokens, &[3, 4, 5, 6]);
        let sum: f64 = scores.iter().zip(&best.tokens[3..]).map(|(scores, &id)| log(scores, id)).sum();
        assert!((best.score - sum / 7.0).abs() < 1e-5, "{mixing}: {} and {sum}", best.score);
    }
}

#[test]
fn streams_forget_all_or_nothing() {
    for (name, device) in devices() {
        let mut generator = generator(&model(RECURRENT[0]), &device);
        let mut streams = generator.start(2, 8).expect("there is room");
        let expected = generator.feed(&mut streams, &[&[4, 5], &[4, 5]]).expect("they fit");
        assert_close(expected[0].as_ref().unwrap(), expected[1].as_ref().unwrap(), name);
        let error = streams.truncate(0, 1).expect_err("a state forgets no single token");
        assert_eq!(error.kind(), ErrorKind::Argument);
        assert_eq!(
            error.to_string(),
            "generate: stream 0: expected a length of at least 2, or 0, as a state forgets no single token, found 1"
        );
        streams.truncate(0, 2).expect("it holds as many");
        streams.truncate(0, 0).expect("it forgets all");
        let found = generator.feed(&mut streams, &[&[4, 5], &[]]).expect("they fit");
        assert_eq!(found[0], expected[0], "{name}: as if it were new");
        let mut alone = generator.start(1, 8).expect("there is room");
        let longer = generator.feed(&mut alone, &[&[4, 5, 6]]).expect("they fit");
        let found = generator.feed(&mut streams, &[&[], &[6]]).expect("they fit");
        assert_close(found[1].as_ref().unwrap(), longer[0].as_ref().unwrap(), "the other stream goes on");
        streams.reset().expect("the device is there");
        let found = generator.feed(&mut streams, &[&[4, 5], &[4, 5]]).expect("they fit");
        assert_eq!(found, expected, "{name}: as if all were new");
    }
}

/// A token whose embedding leaves f32 in the first normalisation; scores of others are as ever, and its own are large.
const BREAKING: (&str, usize, f32) = ("token.weight", 10, 1e25);

#[test]
fn states_that_a_failed_run_has_updated_go_on_from_a_reset() {
    for mixing in RECURRENT {
        let model = model(mixing);
        let weights = Weights::random(model.declarations(), DType::F32, 3).expect("it is a float type");
        for (_, device) in devices() {
            let mut generator = generator_with(&model, &weights, &device, BREAKING);
            let start = |generator: &mut Generator| generator.start(1, 20).expect("there is room");
            assert_reset_mends(&mut generator, &device, start, 10, [4, 9, 1, 7]);
        }
    }
}

/// No stream of the state, none that was forked from it, and no part of it goes on, until all of it is written anew.
#[test]
fn a_state_stays_broken_until_all_of_it_is_new() {
    let model = model(RECURRENT[0]);
    let weights = Weights::random(model.declarations(), DType::F32, 3).expect("it is a float type");
    for (name, device) in devices() {
        let mut generator = generator_with(&model, &weights, &device, BREAKING);
        let mut streams = generator.start(2, 8).expect("there is room");
        generator.feed(&mut streams, &[&[4], &[5]]).expect("they are sound");
        let saved =
            std::env::temp_dir().join(format!("foveate-stateful-{}-{name}.safetensors", std::process::id()));
        streams.save(&saved).expect("it can be written");
        let expected = generator.feed(&mut streams, &[&[1], &[2]]).expect("they are sound");
        generator.feed(&mut streams, &[&[10], &[]]).expect_err("it is broken");
        // A run that fails updates nothing on the CPU.
        assert_eq!(streams.truncate(0, 0).is_err(), device.is_planned(), "{name}");
        let mut forked = streams.fork().expect("there is room");
        for streams in [&mut streams, &mut forked] {
            let found = generator.feed(streams, &[&[4], &[5]]);
            assert_eq!(found.is_err(), device.is_planned(), "{name}");
        }
        streams.load(&saved).expect("it was written of such streams");
        std::fs::remove_file(&saved).expect("it is there");
        assert_eq!(generator.feed(&mut streams, &[&[1], &[2]]).expect("it is sound"), expected, "{name}");
    }
}

/// Mechanisms that would have to look at earlier keys again, and models that see all of a text.
#[test]
fn other_mechanisms_are_refused() {
    let refused = |model: &Model| {
        let error = Generator::check_model(model).expect_err("it cannot go on");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(
            error.to_string(),
            "generate: language model: expected a causal language model, opened for logits, found one that reads whole texts"
        );
    };
    for mixing in [
        r#"{"top_k": {"k": 4, "causal": true}}"#,
        r#"{"strided": {"stride": 4}}"#,
        r#"{"long_short_range": {"taps": 3}}"#,
    ] {
        refused(&model(mixing));
    }
    for mixing in [r#"{"linear": {"features": "elu_plus_one"}}"#, RECURRENT[0]] {
        refused(&LanguageModelConfig { masked: true, ..config(mixing, false) }.model().expect("it is sound"));
    }
}
