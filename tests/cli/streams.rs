//! Recurrent models and encoder-decoders on the command line, against what another implementation computed.

use std::fs;

use foveate::DType;
use foveate::models::{Model, Segments, Task};
use foveate::runtime::Device;
use foveate::weights::Checkpoint;
use serde_json::{Value, json};

use crate::folders::{empty, lettered, letters, oracle};
use crate::generate::set;
use crate::invoke::{assert_passes, assert_refuses, run};

/// How far a logarithm of a probability may be off.
const APART: f64 = 2e-4;

/// An oracle's numbers.
struct Numbers(Checkpoint);

impl Numbers {
    fn of(name: &str) -> Self {
        Self(Checkpoint::open(oracle(name).join("io.safetensors")).unwrap())
    }

    /// The words of a tensor of two rows, as one of both.
    fn rows(&self, name: &str) -> [Vec<[u8; 4]>; 2] {
        let tensor = self.0.tensor(name).unwrap_or_else(|| panic!("{name}"));
        let (words, _) = tensor.bytes().as_chunks::<4>();
        let (first, second) = words.split_at(words.len() / 2);
        [first.to_vec(), second.to_vec()]
    }

    fn ids(&self, name: &str) -> [Vec<u32>; 2] {
        self.rows(name).map(|row| row.into_iter().map(u32::from_le_bytes).collect())
    }

    fn floats(&self, name: &str) -> [Vec<f64>; 2] {
        self.rows(name).map(|row| row.into_iter().map(|word| f32::from_le_bytes(word).into()).collect())
    }
}

fn shown(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}

/// The text of a tokenizer of whole words.
fn words(ids: &[u32]) -> String {
    letters(ids).chars().map(String::from).collect::<Vec<_>>().join(" ")
}

/// The only result of `foveate run` with `--json -`.
fn result(arguments: &[&str]) -> Value {
    let report = assert_passes(&run(&[&["run"], arguments, &["--json", "-"]].concat()));
    serde_json::from_str::<Value>(&report).unwrap()["results"][0].clone()
}

#[track_caller]
fn assert_likelihood(found: &Value, logs: &[f64]) {
    let (sum, found) = (logs.iter().sum::<f64>(), found["log_likelihood"].as_f64().unwrap());
    assert!((found - sum).abs() <= logs.len() as f64 * APART, "{found}, not {sum}");
}

/// Both segments of the file are one text, which ends in the middle of the second's memories.
#[test]
fn a_recurrent_model_scores_texts_and_gives_hidden_states() {
    let numbers = Numbers::of("transfo-xl-div1");
    let folder = lettered("transfo-xl-div1", &empty("streams-transfo-xl"));
    let both = |name: &str| {
        let [first, second] = [1, 2].map(|segment| numbers.floats(&format!("out.seg{segment}.{name}")));
        [0, 1].map(|row| [&first[row][..], &second[row]].concat())
    };
    let (log_probs, hidden) = (both("log_probs"), both("hidden.2"));
    let [first, second] = [1, 2].map(|segment| numbers.ids(&format!("in.seg{segment}_input_ids")));
    for row in 0..2 {
        let ids = [&first[row][..], &second[row]].concat();
        let logs: Vec<f64> =
            (1..ids.len()).map(|at| log_probs[row][(at - 1) * 67 + ids[at] as usize]).collect();
        for device in ["gpu", "cpu"] {
            let flags = [&folder[..], "--task", "score", "--device", device];
            assert_likelihood(&result(&[&flags[..], &["--ids", &shown(&ids)]].concat()), &logs);
            assert_likelihood(&result(&[&flags[..], &["--text", &words(&ids)]].concat()), &logs);
            // In segments of 5 tokens, whose scores are written, too.
            let file = empty(&format!("streams-scores-{device}-{row}")).join("scores.safetensors");
            let more =
                ["--ids", &shown(&ids), "--batch-tokens", "5", "--output", &file.display().to_string()];
            assert_likelihood(&result(&[&flags[..], &more].concat()), &logs);
            assert_near(&file, "0.logits", &log_probs[row]);
            let file = empty(&format!("streams-hidden-{device}-{row}")).join("hidden.safetensors");
            let output = file.display().to_string();
            let flags = ["--task", "hidden", "--device", device, "--ids", &shown(&ids), "--output", &output];
            assert_eq!(result(&[&[&folder[..]], &flags[..]].concat())["shape"], json!([23, 32]));
            assert_near(&file, "0.hidden", &hidden[row]);
        }
    }
}

/// Demands numbers within 1e-4 of the largest.
#[track_caller]
fn assert_near(file: &std::path::Path, name: &str, expected: &[f64]) {
    let file = Checkpoint::open(file).unwrap();
    let (words, _) = file.tensor(name).unwrap_or_else(|| panic!("{name}")).bytes().as_chunks::<4>();
    assert_eq!(words.len(), expected.len());
    let largest = expected.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    for (word, expected) in words.iter().zip(expected) {
        let found = f64::from(f32::from_le_bytes(*word));
        assert!((found - expected).abs() <= 1e-4 * largest, "{found}, not {expected}");
    }
}

#[test]
fn a_recurrent_model_goes_on_from_a_prompt() {
    let folder = lettered("transfo-xl-div2", &empty("streams-generate"));
    set(&folder, "eos_token_id", Value::Null);
    let model = Model::open(&folder, Task::Logits).unwrap();
    let segments = Segments::new(&model, &model.load(DType::F32).unwrap(), &Device::Cpu).unwrap();
    let mut segments = segments.with_hidden_memory();
    let prompt = [11, 27, 3, 40, 52];
    let (mut stream, mut text, mut fresh) = (segments.start(1).unwrap(), prompt.to_vec(), prompt.to_vec());
    for _ in 0..30 {
        let scores = segments.run(&mut stream, &[&fresh]).unwrap()["log_probs"].to_f32();
        let last = &scores[scores.len() - 67..];
        let best = (0..67).max_by(|&a, &b| last[a].total_cmp(&last[b])).unwrap() as u32;
        text.push(best);
        fresh = vec![best];
    }
    for device in ["gpu", "cpu"] {
        let flags = ["generate", &folder, "--prompt", &words(&prompt), "--tokens", "30", "--device", device];
        let found = assert_passes(&run(&[&flags[..], &["--temperature", "0"]].concat()));
        assert_eq!(found, words(&text) + "\n");
        let beams = assert_passes(&run(&[&flags[..], &["--beams", "3"]].concat()));
        assert!(beams.starts_with(&words(&prompt)) && beams.len() == found.len(), "{beams}");
    }
}

#[test]
fn an_encoder_decoder_scores_targets_given_their_sources() {
    let numbers = Numbers::of("t5-relu");
    let folder = lettered("t5-relu", &empty("streams-t5"));
    let (sources, targets) = (numbers.ids("in.input_ids"), numbers.ids("in.decoder_input_ids"));
    let (masks, logits) = (numbers.ids("in.attention_mask"), numbers.floats("out.logits"));
    for row in 0..2 {
        let length = masks[row].iter().sum::<u32>() as usize;
        let (source, target) = (&sources[row][..length], &targets[row][1..]);
        let logs: Vec<f64> = target
            .iter()
            .zip(logits[row].chunks(67))
            .map(|(&id, scores)| {
                scores[id as usize] - scores.iter().map(|score| score.exp()).sum::<f64>().ln()
            })
            .collect();
        let types = [vec![0; source.len()], vec![1; target.len()]].concat();
        let ids = shown(&[source, target].concat());
        for device in ["gpu", "cpu"] {
            let flags = [&folder[..], "--task", "score", "--device", device];
            let texts = ["--text", &letters(source), "--pair", &letters(target)];
            assert_likelihood(&result(&[&flags[..], &texts].concat()), &logs);
            assert_likelihood(
                &result(&[&flags[..], &["--ids", &ids, "--types", &shown(&types)]].concat()),
                &logs,
            );
            let file = empty(&format!("streams-t5-{device}-{row}")).join("scores.npy");
            let output = file.display().to_string();
            let found = result(&[&flags[..], &texts, &["--output", &output]].concat());
            assert_eq!((&found["pair"], &found["tokens"]), (&json!(letters(target)), &json!(types.len())));
            // What follows the start token and each of the target's.
            let header = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
            assert!(header.contains(&format!("'shape': ({}, 67,)", target.len() + 1)), "{header:.80}");
        }
    }
    let refused = |more: &[&str], parts: &[&str]| {
        let output = run(&[&["run", &folder, "--task", "score", "--device", "cpu"], more].concat());
        assert_refuses(&output, parts);
    };
    refused(
        &["--text", "AB"],
        &["--text 1: --pair: expected the target, beside the source text, found none"],
    );
    refused(&["--ids", "5 6"], &["--ids 1: --types: expected 0 for each token of the source", "found none"]);
    for types in ["0 0 0", "1 1 1", "0 1 0", "0 1 2"] {
        refused(&["--ids", "5 6 7", "--types", types], &["--ids 1: --types: expected 0 for each token"]);
    }
    refused(&["--ids", "5 6", "--types", "0 1 1"], &["--ids 1: types: expected 2, one a token, found 3"]);
    refused(&["--ids", "5 67", "--types", "0 1"], &["--ids 1: token 1: expected an id below 67"]);
}
