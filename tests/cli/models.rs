//! `run` on two small trained models, against what another implementation made of them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use foveate::weights::Checkpoint;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use crate::invoke::{
    assert_passes, assert_refuses, run, run_with_input, run_without_adapters, scratch, stderr,
};

/// How far f32 results of two implementations of a few layers may lie apart, on numbers of up to ten.
const APART: f32 = 1e-4;

pub(super) const ALBERT: &str = "albert-rxnmapper";
pub(super) const ROBERTA: &str = "roberta-sapiens";

pub(super) fn fixture(model: &str) -> String {
    format!("{}/tests/fixtures/checkpoints/{model}", env!("CARGO_MANIFEST_DIR"))
}

/// A copy of a model in a folder of its own, to be damaged.
pub(super) fn copied(model: &str, name: &str) -> (PathBuf, String) {
    let folder = scratch(&format!("models-{name}"));
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    std::fs::create_dir_all(&folder).unwrap();
    for file in ["config.json", "model.safetensors", "vocab.txt"] {
        std::fs::copy(Path::new(&fixture(model)).join(file), folder.join(file)).unwrap();
    }
    let shown = folder.display().to_string();
    (folder, shown)
}

/// What the other implementation read and made.
struct Oracle {
    tensors: Checkpoint,
    items: Vec<Value>,
}

impl Oracle {
    fn of(model: &str) -> Self {
        let folder = PathBuf::from(fixture(model));
        let items = std::fs::read_to_string(folder.join("items.json")).unwrap();
        Self {
            tensors: Checkpoint::open(folder.join("io.safetensors")).unwrap(),
            items: serde_json::from_str(&items).unwrap(),
        }
    }

    fn words(&self, name: &str) -> Vec<[u8; 4]> {
        self.tensors.tensor(name).unwrap().bytes().as_chunks::<4>().0.to_vec()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.words(name).into_iter().map(f32::from_le_bytes).collect()
    }

    fn ids(&self, name: &str) -> Vec<u32> {
        self.words(name).into_iter().map(u32::from_le_bytes).collect()
    }

    /// `--ids` flags of all items, masked.
    fn flags(&self) -> Vec<String> {
        let ids = |i| self.ids(&format!("{i}.input_ids")).iter().map(u32::to_string).collect::<Vec<_>>();
        (0..self.items.len()).flat_map(|i| ["--ids".to_owned(), ids(i).join(" ")]).collect()
    }
}

pub(super) fn json(output: &str) -> Value {
    serde_json::from_str(output).unwrap()
}

/// `foveate run` on all items of an oracle, as JSON.
fn run_items(model: &str, flags: &[&str]) -> Value {
    let (folder, ids) = (fixture(model), Oracle::of(model).flags());
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    json(&assert_passes(&run(&[&["run", &folder, "--json", "-"], flags, &ids].concat())))
}

fn floats(values: &Value) -> Vec<f32> {
    values.as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
}

#[track_caller]
fn assert_near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= APART, "element {i}: {found}, not {expected}");
    }
}

/// The mean over tokens, divided by its length.
fn pooled(hidden: &[f32], width: usize) -> Vec<f32> {
    let mut mean = vec![0.0_f64; width];
    for row in hidden.chunks_exact(width) {
        mean.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    let norm = mean.iter().map(|x| x * x).sum::<f64>().sqrt();
    mean.iter().map(|x| (x / norm) as f32).collect()
}

#[test]
fn embeddings_are_those_of_the_other_implementation() {
    for (model, width) in [(ALBERT, 256), (ROBERTA, 128)] {
        let oracle = Oracle::of(model);
        for device in ["gpu", "cpu"] {
            let report = run_items(model, &["--device", device]);
            assert_eq!((&report["task"], &report["dtype"]), (&json!("embed"), &json!("f32")));
            assert_eq!(report["device"]["kind"] == "f32 reference", device == "cpu");
            assert_eq!(report["results"].as_array().unwrap().len(), oracle.items.len());
            for (i, item) in oracle.items.iter().enumerate() {
                let result = &report["results"][i];
                assert_eq!(result["tokens"], item["tokens"]);
                let hidden = oracle.floats(&format!("{i}.last_hidden_state"));
                assert_near(&floats(&result["embedding"]), &pooled(&hidden, width));
            }
            assert!(report["throughput"]["tokens_per_s"].as_f64() > Some(0.0));
        }
    }
}

#[test]
fn masks_are_filled_as_often_rightly_as_by_the_other_implementation() {
    for model in [ALBERT, ROBERTA] {
        let oracle = Oracle::of(model);
        let report = run_items(model, &["--task", "fill-mask", "--device", "gpu", "--top", "3"]);
        for (i, item) in oracle.items.iter().enumerate() {
            let (targets, places) =
                (oracle.ids(&format!("{i}.target_ids")), oracle.ids(&format!("{i}.masked")));
            let masks = report["results"][i]["masks"].as_array().unwrap();
            let found: Vec<u64> = masks.iter().map(|mask| mask["position"].as_u64().unwrap()).collect();
            assert_eq!(found, places.iter().copied().map(u64::from).collect::<Vec<_>>());
            let right = masks.iter().zip(&places).filter(|(mask, place)| {
                mask["predictions"][0]["id"].as_u64() == Some(targets[**place as usize].into())
            });
            assert_eq!(right.count() as u64, item["right"].as_u64().unwrap(), "{model} {i}");
            for mask in masks {
                let predictions = mask["predictions"].as_array().unwrap();
                let p: Vec<f64> = predictions.iter().map(|p| p["probability"].as_f64().unwrap()).collect();
                assert!(p.len() == 3 && p.is_sorted_by(|a, b| a >= b) && p.iter().sum::<f64>() <= 1.0 + 1e-9);
            }
            if item["right"] == item["masked"] {
                assert_eq!(report["results"][i]["filled"], item["text"]);
            }
        }
    }
}

#[test]
fn texts_are_tokenised_compared_and_filled() {
    let (albert, roberta) = (fixture(ALBERT), fixture(ROBERTA));
    let text = assert_passes(&run(&["run", &roberta, "--device", "cpu", "--text", "QVQL", "--text", "EVQL"]));
    assert!(text.contains("on CPU reference (f32)") && text.contains("norm 1.0000"), "{text}");
    assert!(text.contains("cosine") && text.contains("     2  "), "{text}");
    let masked = ["--task", "fill-mask", "--text", "CC(=O)O.N[MASK]1ccccc1>>CC(=O)Nc1ccccc1"];
    let text =
        assert_passes(&run(&[&["run", &albert, "--device", "gpu", "--top", "2"], &masked[..]].concat()));
    assert!(text.contains("token 10: c ") && text.contains("filled: CC(=O)O.Nc1ccccc1>>"), "{text}");
    let auto = run_without_adapters(&["run", &roberta, "--text", "QVQL"]);
    assert!(assert_passes(&auto).contains("CPU reference (f32)"));
    assert!(stderr(&auto).contains("the CPU reference, because there is no adapter"), "{}", stderr(&auto));
}

/// Shape and elements of a .npy file, read strictly.
fn read_npy(path: &Path) -> (String, Vec<f32>) {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!((10 + length) % 64, 0);
    let header = std::str::from_utf8(&bytes[10..10 + length]).unwrap();
    let shape = header.strip_prefix("{'descr': '<f4', 'fortran_order': False, 'shape': (").unwrap();
    let (shape, rest) = shape.split_once("), }").unwrap();
    assert!(rest.ends_with('\n') && rest.trim().is_empty(), "{header:?}");
    let (floats, _) = bytes[10 + length..].as_chunks::<4>();
    (shape.to_owned(), floats.iter().copied().map(f32::from_le_bytes).collect())
}

#[test]
fn npy_files_hold_what_the_json_says() {
    let (path, folder) = (scratch("models-embeddings.npy"), fixture(ROBERTA));
    std::fs::write(&path, vec![1; 1 << 16]).unwrap();
    let shown = path.display().to_string();
    let report = run_items(ROBERTA, &["--device", "cpu", "--output", &shown]);
    let (shape, elements) = read_npy(&path);
    assert_eq!(shape, "2, 128,");
    let expected: Vec<f32> = (0..2).flat_map(|i| floats(&report["results"][i]["embedding"])).collect();
    assert_eq!(elements, expected);

    let one = ["run", &folder, "--device", "cpu", "--task", "hidden", "--output", &shown];
    let text = assert_passes(&run(&[&one[..], &["--ids", "0,4 ,5,\t2"]].concat()));
    assert!(text.contains("[4, 128]") && text.contains("root mean square"), "{text}");
    assert_eq!(read_npy(&path).0, "4, 128,");
    let two = run(&[&one[..], &["--ids", "0 2", "--ids", "0 2"]].concat());
    assert_refuses(&two, &["run: --output: expected a .safetensors file, or one input", "and 2 inputs"]);
}

#[test]
fn another_attention_is_compared_with_the_own() {
    let folder = fixture(ROBERTA);
    let flags = ["run", &folder, "--device", "cpu", "--task", "hidden", "--ids", "0 4 5 6 7 8 9 2"];
    let one =
        assert_passes(&run(&[&flags[..], &["--attention", r#"{"nystrom": {"landmarks": 64}}"#]].concat()));
    let line = one.lines().find(|line| line.contains("nystrom")).unwrap_or_else(|| panic!("{one}"));
    assert!(line.contains(r#"{"version":1,"nystrom":{"landmarks":64,"iterations":6}}"#), "{one}");
    assert!(line.trim_start().starts_with("1.0000"), "as many landmarks as tokens: {one}");

    let window = scratch("models-window.json");
    std::fs::write(&window, r#"{"window": {"left": 1, "right": 0}, "layers": [1]}"#).unwrap();
    let window = format!("@{}", window.display());
    let two = ["--attention", &window, "--attention", r#"{"linear": {"features": "relu"}}"#, "--json", "-"];
    let report: Value = serde_json::from_str(&assert_passes(&run(&[&flags[..], &two].concat()))).unwrap();
    let found = report["attention"].as_array().unwrap();
    assert_eq!(found.len(), 2, "{report}");
    assert_eq!(found[0]["mechanism"]["layers"], json!([1]));
    for found in found {
        assert_eq!(found["rows"], 8);
        let [mean, least, apart] =
            ["cosine_mean", "cosine_least", "distance_mean"].map(|name| found[name].as_f64().unwrap());
        assert!(least <= mean && mean < 1.0 && apart > 0.0, "{found}");
    }
    let chart = scratch("models-sweep.svg");
    let _ = std::fs::remove_file(&chart);
    let chart = chart.display().to_string();
    let sweep = [
        "--sweep",
        r#"{"nystrom": {"landmarks": [2, 4, 64]}}"#,
        "--sweep",
        r#"{"favor": {"features": [8, 64]}}"#,
    ];
    let report = assert_passes(&run(&[&flags[..], &sweep, &["--plot", &chart, "--json", "-"]].concat()));
    let report: Value = serde_json::from_str(&report).unwrap();
    let found = report["attention"].as_array().unwrap();
    let families: Vec<u64> = found.iter().map(|found| found["family"].as_u64().unwrap()).collect();
    assert_eq!(families, [0, 0, 0, 1, 1]);
    let distances: Vec<f64> = found.iter().map(|found| found["distance_mean"].as_f64().unwrap()).collect();
    assert!(distances[2] < 1e-5 && distances[1] > 1e-3 && distances[4] < distances[3], "{distances:?}");
    let svg = std::fs::read_to_string(&chart).unwrap();
    for text in ["landmarks", "features", "time of exact attention", "</svg>"] {
        assert!(svg.contains(text), "{text}");
    }
    assert_refuses(&run(&[&flags[..], &["--plot", &chart]].concat()), &["--sweep"]);

    let wrong = run(&[&flags[..], &["--attention", r#"{"nystrom": {"landmarks": 0}}"#]].concat());
    assert_refuses(&wrong, &["--attention: nystrom.landmarks: expected at least 1, found 0"]);
}

#[test]
fn safetensors_files_hold_hidden_states_and_scores() {
    let path = scratch("models-output.safetensors");
    let output = ["--device", "gpu", "--output", &path.display().to_string()];
    let read = |name: &str| {
        let bytes = std::fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensor = file.tensor(name).unwrap_or_else(|_| panic!("{name} in {:?}", file.names()));
        let (words, _) = tensor.data().as_chunks::<4>();
        (tensor.shape().to_vec(), words.to_vec())
    };
    let floats = |words: Vec<[u8; 4]>| words.into_iter().map(f32::from_le_bytes).collect::<Vec<_>>();

    run_items(ROBERTA, &output);
    assert_eq!(read("embeddings").0, [2, 128]);

    let oracle = Oracle::of(ROBERTA);
    run_items(ROBERTA, &[&output[..], &["--task", "hidden"]].concat());
    for i in 0..2 {
        let (shape, words) = read(&format!("{i}.hidden"));
        assert_eq!(shape, [122, 128]);
        assert_near(&floats(words), &oracle.floats(&format!("{i}.last_hidden_state")));
    }
    run_items(ROBERTA, &[&output[..], &["--task", "fill-mask"]].concat());
    let (shape, words) = read("1.logits");
    let (_, positions) = read("1.positions");
    let all = oracle.floats("1.logits");
    let expected: Vec<f32> = positions
        .iter()
        .flat_map(|position| all[u32::from_le_bytes(*position) as usize * 25..][..25].to_vec())
        .collect();
    assert_eq!(shape, [24, 25]);
    assert_near(&floats(words), &expected);
}

#[test]
fn lines_keep_their_numbers_and_batches_do_not_matter() {
    let folder = fixture(ROBERTA);
    let flags = ["run", &folder, "--device", "gpu", "--json", "-"];
    let lines = b"\xef\xbb\xbfQVQL\r\n\n  \t\nEVQLVESGG\nACDEFG";
    let piped = json(&assert_passes(&run_with_input(&flags, lines)));
    let sources = ["stdin line 1", "stdin line 4", "stdin line 5"];
    for (i, (source, text)) in sources.iter().zip(["QVQL", "EVQLVESGG", "ACDEFG"]).enumerate() {
        let result = &piped["results"][i];
        assert_eq!((&result["source"], &result["text"]), (&json!(source), &json!(text)));
    }
    let file = scratch("models-lines.txt");
    std::fs::write(&file, lines).unwrap();
    let read = run(&[&flags[..], &["--input", &file.display().to_string(), "--batch-tokens", "1"]].concat());
    assert!(stderr(&read).contains("3 sequences, 25 tokens") && stderr(&read).contains("3 batches"));
    let read = json(&assert_passes(&read));
    for i in 0..3 {
        assert_near(&floats(&read["results"][i]["embedding"]), &floats(&piped["results"][i]["embedding"]));
    }
    let dash = json(&assert_passes(&run_with_input(&[&flags[..], &["--input", "-"]].concat(), b"QVQL\n")));
    assert_eq!(dash["results"][0]["source"], "stdin line 1");

    // More than is listed.
    let many = "EVQL\n".repeat(30);
    let text = assert_passes(&run_with_input(&["run", &folder, "--device", "cpu"], many.as_bytes()));
    assert!(text.contains("and 10 more: --json and --output write all"), "{text}");
}

#[test]
fn what_is_too_long_is_refused_or_cut() {
    let folder = fixture(ROBERTA);
    let text = "Q".repeat(200);
    let ids = vec!["4"; 145].join(",");
    let lines = format!("EVQL\n{text}\n");
    let flags = ["run", &folder, "--device", "cpu"];
    let refused = run_with_input(&flags, lines.as_bytes());
    assert_refuses(&refused, &["stdin line 2: tokens: expected at most 144, found 202", "--truncate"]);
    assert_refuses(
        &run(&[&flags[..], &["--ids", &ids]].concat()),
        &["--ids 1: tokens: expected at most 144, found 145"],
    );
    let cut = ["--truncate", "--json", "-", "--text", &text, "--text", "QQ", "--ids", &ids];
    let cut = run(&[&flags[..], &cut[..]].concat());
    let report = json(&assert_passes(&cut));
    assert!(stderr(&cut).contains("truncated: 2 of 3 inputs, to 144 tokens"), "{}", stderr(&cut));
    let tokens = |i: usize| (&report["results"][i]["tokens"], &report["results"][i]["truncated"]);
    assert_eq!(tokens(0), (&json!(144), &json!(true)));
    assert_eq!(tokens(1), (&json!(4), &json!(false)));
    assert_eq!(tokens(2), (&json!(144), &json!(true)));
    // The closing token stays: the same embedding as of the ids with it.
    let whole = [&["0"], &["17"; 142][..], &["2"]].concat().join(" ");
    let same = run(&[&flags[..], &["--json", "-", "--ids", &whole]].concat());
    let same = json(&assert_passes(&same));
    assert_near(&floats(&same["results"][0]["embedding"]), &floats(&report["results"][0]["embedding"]));
}

#[test]
fn bad_inputs_are_refused_by_their_place() {
    let folder = fixture(ROBERTA);
    let flags = ["run", &folder, "--device", "cpu"];
    let refused = |more: &[&str], parts: &[&str]| assert_refuses(&run(&[&flags[..], more].concat()), parts);
    refused(&[], &["stdin: lines: expected at least one with a text, found none"]);
    refused(&["--text", "QVQL", "--text", " \t"], &["--text 2: text: expected words"]);
    refused(&["--ids", "0 4 25"], &["--ids 1: token 2: expected an id below 25", "found 25"]);
    for ids in ["0,,4", "0 4,", ",0", "-1"] {
        refused(&["--ids", ids], &["--ids 1: ids: expected token ids with commas or spaces between them"]);
    }
    refused(&["--ids", "1 x 2"], &["--ids 1: ids: expected token ids", "found \"x\""]);
    refused(&["--ids", "1 -2"], &["--ids 1", "found \"-2\""]);
    refused(&["--ids", " , "], &["--ids 1: ids: expected at least one token id"]);
    refused(&["--input", "/nonexistent/lines"], &["/nonexistent/lines: file: expected a readable file"]);
    refused(&["--input", &folder], &[&folder, "expected a regular file, found a folder"]);
    refused(&["--text", "Q", "--dtype", "i32"], &["run: --dtype: expected f32 or f16, found `i32`"]);
    refused(&["--text", "Q", "--task", "translate"], &["translate"]);
    refused(
        &["--text", "Q", "--output", "x.txt"],
        &["run: --output: expected", ".npy or .safetensors", "x.txt"],
    );
    refused(&["--text", "Q", "--output", "/nonexistent/x.npy"], &["run: --output /nonexistent/x.npy"]);
    refused(&["--text", "Q", "--json", "/nonexistent/x.json"], &["run: --json /nonexistent/x.json"]);
    refused(
        &["--text", "Q", "--json", "x.npy", "--output", "x.npy"],
        &["run: --json and --output: expected a file for each", "found `x.npy` for both"],
    );
    refused(&["--text", "Q", "--batch-tokens", "0"], &["--batch-tokens"]);
    let masked = ["--task", "fill-mask", "--text", "Q<mask>QL", "--text", "QVQL"];
    refused(&masked, &["--text 2: mask: expected `<mask>` (id 24) at least once, found none among 6 tokens"]);
    let binary = run_with_input(&flags, b"QVQL\n\nQV\xffQL\n");
    assert_refuses(&binary, &["stdin line 3: text: expected UTF-8, found 0xff at byte 3"]);
    let endless = run_with_input(&flags, &vec![b'Q'; (1 << 20) + 2]);
    assert_refuses(&endless, &["stdin line 1: length: expected at most 1048576 bytes"]);
}

/// `model.safetensors` without one tensor, and with another in its place where one is given.
pub(super) fn replace(folder: &Path, removed: &str, added: Option<(&str, &[usize])>) {
    let path = folder.join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut views: HashMap<String, TensorView<'_>> = file.tensors().into_iter().collect();
    let old = views.remove(removed).unwrap();
    if let Some((name, shape)) = added {
        let view = TensorView::new(old.dtype(), shape.to_vec(), old.data()).unwrap();
        views.insert(name.to_owned(), view);
    }
    std::fs::write(&path, safetensors::serialize(&views, None).unwrap()).unwrap();
}

pub(super) const QUERY: &str = "roberta.encoder.layer.2.attention.self.query.weight";

#[test]
fn bad_folders_are_refused_by_file_and_tensor() {
    let refused = |folder: &str, parts: &[&str]| {
        assert_refuses(&run(&["run", folder, "--device", "cpu", "--ids", "0 2"]), parts);
    };
    refused("/nonexistent/model", &["/nonexistent/model/config.json", "expected a readable file"]);
    refused(&format!("{}/config.json", fixture(ROBERTA)), &["config.json", "expected a readable file"]);

    let (folder, shown) = copied(ROBERTA, "no-config");
    std::fs::remove_file(folder.join("config.json")).unwrap();
    refused(&shown, &[&shown, "config.json: file: expected a readable file"]);
    let (folder, shown) = copied(ROBERTA, "other-type");
    std::fs::write(folder.join("config.json"), r#"{"model_type": "rowberta"}"#).unwrap();
    refused(
        &shown,
        &[&shown, "config.json: model_type: expected one of bert, roberta, albert, ", "found \"rowberta\""],
    );
    let (folder, shown) = copied(ROBERTA, "cut");
    let weights = folder.join("model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() - 100]).unwrap();
    refused(&shown, &[&shown, "model.safetensors: tensor `", "expected bytes from"]);
    let (folder, shown) = copied(ROBERTA, "no-tokenizer");
    std::fs::remove_file(folder.join("vocab.txt")).unwrap();
    let texts = run(&["run", &shown, "--device", "cpu", "--text", "QVQL"]);
    assert_refuses(
        &texts,
        &[
            &shown,
            "expected tokenizer.json, vocab.txt, vocab.json with merges.txt",
            "in it, found none of them",
        ],
    );
    assert_passes(&run(&["run", &shown, "--device", "cpu", "--ids", "0 4 2"]));

    let (folder, shown) = copied(ROBERTA, "missing");
    replace(&folder, QUERY, None);
    let output = run(&["run", &shown, "--device", "cpu", "--ids", "0 2"]);
    assert_refuses(&output, &[&shown, "model.safetensors", "expected what the model declares"]);
    assert!(stderr(&output).contains(&format!("missing {QUERY}")), "{}", stderr(&output));
}

#[test]
#[cfg(unix)]
fn a_link_to_nothing_is_refused_by_name() {
    let (folder, shown) = copied(ROBERTA, "dangling");
    let weights = folder.join("model.safetensors");
    std::fs::remove_file(&weights).unwrap();
    std::os::unix::fs::symlink("/nonexistent/weights", &weights).unwrap();
    let output = run(&["run", &shown, "--device", "cpu", "--ids", "0 2"]);
    assert_refuses(&output, &[&shown, "expected", "model.safetensors"]);
}
