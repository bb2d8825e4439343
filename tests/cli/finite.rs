//! Numbers that are not finite: no command gives them and exits with 0.

use std::fs;
use std::path::Path;
use std::process::Output;

use foveate::Random;
use foveate::models::Task;
use foveate::weights::Checkpoint;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;

use crate::fine_tune::{bert, csv, sentences};
use crate::folders::{SPECIAL, empty, lettered, model};
use crate::invoke::{assert_passes, assert_refuses, run, scratch, stderr, stdout};

/// Changes the numbers of every f32 weight whose name has `part` in it.
fn change(folder: &str, part: &str, change: impl Fn(usize, f32) -> f32) {
    let path = Path::new(folder).join("model.safetensors");
    let file = Checkpoint::open(&path).unwrap();
    let names: Vec<String> = file.names().map(str::to_owned).collect();
    let mut changed = 0;
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = names
        .into_iter()
        .map(|name| {
            let stored = file.tensor(&name).unwrap();
            let numbers = stored.bytes().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
            let is_meant = name.contains(part);
            changed += usize::from(is_meant);
            let new = |(at, x): (usize, f32)| if is_meant { change(at, x) } else { x };
            let bytes = numbers.enumerate().map(new).flat_map(f32::to_le_bytes).collect();
            let shape = stored.shape().to_vec();
            (name, shape, bytes)
        })
        .collect();
    assert!(changed > 0, "{part} is no weight of {folder}");
    drop(file);
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    let other = Path::new(folder).join("changed");
    fs::write(&other, safetensors::serialize(views, None).unwrap()).unwrap();
    fs::rename(other, path).unwrap();
}

/// Demands exit code 1, an error with all of `parts`, and no results.
#[track_caller]
fn assert_not_finite(output: &Output, parts: &[&str]) {
    let (out, errors) = (stdout(output), stderr(output));
    assert_eq!(output.status.code(), Some(1), "{out}{errors}");
    let sentence = errors.lines().rfind(|line| line.starts_with("error: ")).unwrap_or_default();
    for part in [&["expected finite numbers"], parts].concat() {
        assert!(sentence.contains(part), "`{part}` is not in: {errors}");
    }
    assert!(out.is_empty(), "{out}");
}

const WORDS: [&str; 6] = ["the", "film", "was", "good", "bad", "##s"];

/// A BERT whose feed-forward layer gives large numbers: within f32, beyond f16.
fn hot(name: &str, task: Task) -> String {
    let vocabulary = [&SPECIAL[..], &WORDS].concat();
    let config = json!({
        "model_type": "bert", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 16, "max_position_embeddings": 24, "vocab_size": vocabulary.len(),
        "type_vocab_size": 2,
    });
    model(&empty(name), &config, task, &vocabulary)
}

const TEXT: [&str; 4] = ["--text", "the film was good", "--json", "-"];

#[test]
fn the_step_that_overflows_is_named_by_run() {
    for device in ["gpu", "cpu"] {
        let folder = hot(&format!("finite-hot-{device}"), Task::Hidden);
        let flags = [&["run", &folder, "--task", "hidden", "--device", device], &TEXT[..]].concat();
        let half = [&flags[..], &["--dtype", "f16"]].concat();
        assert_passes(&run(&half));
        change(&folder, "layer.1.intermediate.dense.bias", |_, _| 6e4);
        change(&folder, "layer.1.output.dense.weight", |_, x| x.signum() * 3.0);
        assert_passes(&run(&flags));
        let parts = [
            "linear: step ",
            "layer.1.output.dense.weight",
            "an infinity at [",
            "f16 holds numbers up to 65504",
        ];
        assert_not_finite(&run(&half), &parts);

        // Products of queries and keys.
        let folder = hot(&format!("finite-scores-{device}"), Task::Hidden);
        let flags = [&["run", &folder, "--task", "hidden", "--device", device], &TEXT[..]].concat();
        change(&folder, "layer.0.attention.self.query.weight", |_, x| 1e25 * x);
        change(&folder, "layer.0.attention.self.key.weight", |_, x| 1e25 * x);
        assert_not_finite(&run(&flags), &["attention/blocked: step ", " at [", "of its result, f32 "]);

        // Squares of deviations, whose sum would make zeros of a row.
        let folder = hot(&format!("finite-squares-{device}"), Task::Hidden);
        let flags = [&["run", &folder, "--task", "hidden", "--device", device], &TEXT[..]].concat();
        change(&folder, "layer.0.attention.output.dense.bias", |at, x| if at == 3 { 1e38 } else { x });
        assert_not_finite(
            &run(&flags),
            &["normalize/layer_norm: step ", "layer.0.attention.output.LayerNorm.weight"],
        );
    }
}

/// Results at padding tokens (ids of 0 behind a text's own) may overflow: nobody asked for them.
#[test]
fn what_is_not_asked_for_may_overflow() {
    for (task, more) in [("hidden", &TEXT[..]), ("embed", &TEXT), ("hidden", &["--ids", "0", "--json", "-"])]
    {
        let folder = hot(&format!("finite-padding-{task}"), Task::Hidden);
        change(&folder, "word_embeddings", |at, x| if at < 16 { 1e38 * x.signum() } else { x });
        let output = run(&[&["run", &folder, "--task", task, "--device", "gpu"], more].concat());
        if more == &TEXT[..] {
            assert_passes(&output);
        } else {
            assert_not_finite(&output, &["normalize/layer_norm: step "]);
        }
    }
}

#[test]
fn scores_of_a_head_are_looked_at() {
    for device in ["gpu", "cpu"] {
        let folder = hot(&format!("finite-head-{device}"), Task::Logits);
        let mask = ["--text", "the film was [MASK]", "--json", "-"];
        let flags = [&["run", &folder, "--task", "fill-mask", "--device", device], &mask[..]].concat();
        assert_passes(&run(&flags));
        change(&folder, "cls.predictions.transform.LayerNorm.weight", |_, _| 3e38);
        change(&folder, "cls.predictions.bias", |_, _| 3e38);
        let output = run(&flags);
        assert_not_finite(&output, &["step "]);
    }
}

#[test]
fn weights_that_are_no_numbers_are_refused_by_name() {
    for (broken, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        let folder = hot("finite-broken", Task::Hidden);
        change(&folder, "layer.1.output.dense.bias", |at, x| if at == 5 { broken } else { x });
        for device in ["gpu", "cpu"] {
            let flags = [&["run", &folder, "--task", "hidden", "--device", device], &TEXT[..]].concat();
            assert_refuses(&run(&flags), &["layer.1.output.dense.bias", shown]);
        }
    }
    let folder = hot("finite-beyond", Task::Hidden);
    change(&folder, "layer.1.output.dense.bias", |_, _| 1e6);
    let flags = [&["run", &folder, "--task", "hidden", "--device", "cpu"], &TEXT[..]].concat();
    assert_passes(&run(&flags));
    assert_refuses(&run(&[&flags[..], &["--dtype", "f16"]].concat()), &["layer.1.output.dense.bias"]);
}

#[test]
fn no_text_is_written_with_scores_that_are_no_numbers() {
    for device in ["gpu", "cpu"] {
        let folder = lettered("gpt2", &empty(&format!("finite-generate-{device}")));
        change(&folder, "h.0.mlp.c_fc.bias", |_, _| 1e30);
        change(&folder, "h.0.mlp.c_proj.weight", |_, x| 1e10 * x.signum());
        for more in [&["--temperature", "0"][..], &["--beams", "2"], &["--temperature", "1", "--top-k", "5"]]
        {
            let flags = ["generate", &folder, "--prompt", "AB", "--tokens", "4", "--device", device];
            let parts = ["step ", "h.0.mlp.c_proj.weight"];
            assert_not_finite(&run(&[&flags[..], more].concat()), &parts);
        }
    }
}

/// A file of `query`, `key` and `value`, all the same number times small ones.
fn tensors(file: &str, names: [&str; 3], shape: &[usize], factor: f32) -> String {
    let mut random = Random::new(3);
    let count = shape.iter().product::<usize>();
    let bytes: Vec<Vec<u8>> = (0..3)
        .map(|_| (0..count).flat_map(|_| (factor * random.next_f32()).to_le_bytes()).collect())
        .collect();
    let views = names
        .iter()
        .zip(&bytes)
        .map(|(name, bytes)| (*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap()));
    let path = scratch(file);
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    path.display().to_string()
}

#[test]
fn attention_that_overflows_is_refused_by_attend_and_bench() {
    let rule = scratch("finite-rule.json").display().to_string();
    fs::write(&rule, r#"{"version": 1, "mask": "full"}"#).unwrap();
    for device in ["gpu", "cpu"] {
        // Queries and keys of 1e20: their products leave f32. Values of it do not.
        let file = tensors("finite-attend.safetensors", ["q", "k", "v"], &[1, 8, 2, 8], 1e25);
        let flags = ["attend", "--rule", &rule, "--tensors", &file, "--device", device];
        let output = run(&flags);
        if device == "gpu" {
            assert_not_finite(&output, &["attention/blocked: step 1 of "]);
        } else {
            // In f64 they fit, but the logarithm of their sum is handed out in f32.
            assert_not_finite(&output, &["output `lse`", "a second run that looked at every step"]);
        }
        let small = tensors("finite-attend-small.safetensors", ["q", "k", "v"], &[1, 8, 2, 8], 1.0);
        assert_passes(&run(&["attend", "--rule", &rule, "--tensors", &small, "--device", device]));
    }
    let file = tensors("finite-bench.safetensors", ["query", "key", "value"], &[64, 2, 8], 1e25);
    let flags =
        ["bench", "--activations", &file, "--lengths", "64", "--methods", "blocked-full", "--no-headline"];
    let output = run(&[&flags[..], &["--device", "gpu", "--repeats", "1"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn a_training_that_leaves_the_numbers_names_the_step() {
    let folder = empty("finite-train");
    let from = bert(&folder.join("bert"));
    change(&from, "layer.0.attention.output.dense.bias", |at, x| if at == 3 { 1e38 } else { x });
    let data = csv(&folder.join("data.csv"), &sentences(24));
    for device in ["gpu", "cpu"] {
        let out = folder.join(format!("out-{device}")).display().to_string();
        let flags = ["train", "classify", &from, &data, "--out", &out, "--batch", "8", "--epochs", "1"];
        let output = run(&[&flags[..], &["--device", device, "--dropout", "0"]].concat());
        let errors = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{}{errors}", stdout(&output));
        let sentence = errors.lines().rfind(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(sentence.contains("normalize/layer_norm: step "), "{errors}");
    }
}
