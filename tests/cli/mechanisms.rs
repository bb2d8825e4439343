//! `attend` with mechanisms in the place of rules, and `bench`'s rows of them.

use foveate::nn::MECHANISMS;
use safetensors::tensor::Dtype;
use serde_json::Value;

use crate::attend::{Tensors, attend, compared, oracle, text, written};
use crate::invoke::{assert_passes, assert_refuses, run, scratch};

/// Cases of the oracles, and the documents that mean them.
const CASES: &[(&str, &str)] = &[
    (
        "linformer_lengths",
        r#"{"version": 1, "mechanism": {"linformer": {"keys": "e", "values": "f"}}, "lengths": "length"}"#,
    ),
    (
        "linformer_short",
        r#"{"version": 1, "mechanism": {"linformer": {"keys": "e", "values": "f"}, "scale": 0.25}}"#,
    ),
    (
        "memory_compressed_package",
        r#"{"version": 1, "mechanism": {"memory_compressed": {"keys": {"weight": "weight", "bias": "bias"}, "causal": true, "slots": "to_end",
            "values": {"weight": "weight", "bias": "bias"}, "null": {"key": "null_k", "value": "null_v"}}, "scale": 0.1767766952966369}}"#,
    ),
    ("nystrom_conv5", r#"{"version": 1, "mechanism": {"nystrom": {"landmarks": 6, "convolution": "conv"}}}"#),
    (
        "persistent_memory",
        r#"{"version": 1, "mechanism": {"persistent_memory": {"keys": "persistent_k", "values": "persistent_v", "causal": true}}}"#,
    ),
    (
        "talking_heads_uneven",
        r#"{"version": 1, "mechanism": {"talking_heads": {"before": "pre", "after": "post"}}}"#,
    ),
];

/// A case of the oracles, whose gradients of query, key and value are named as those of results are.
fn mechanism_oracle(name: &str) -> Tensors {
    let named = |(name, tensor): (String, _)| match name.as_str() {
        "d_q" | "d_k" | "d_v" => (name.replace('_', ""), tensor),
        _ => (name, tensor),
    };
    oracle("mechanisms", name).into_iter().map(named).collect()
}

#[test]
fn oracles_hold_under_their_documents() {
    for (name, document) in CASES {
        let tensors = mechanism_oracle(name);
        let (document, file) =
            (text("mechanism.json", document.as_bytes()), written("mechanism.safetensors", &tensors));
        for (device, tolerance) in [("cpu", "2e-5"), ("gpu", "1e-4")] {
            let table =
                assert_passes(&attend(&document, &file, device, &["--compare", "--tolerance", tolerance]));
            let is_result = |name: &&String| *name != "d_out" && (name.starts_with('d') || *name == "out");
            assert_eq!(
                compared(&table),
                tensors.keys().filter(is_result).collect::<Vec<_>>(),
                "{name}: {table}"
            );
        }
    }
}

fn floats(shape: &[usize], x: impl Fn(usize) -> f32) -> (Dtype, Vec<usize>, Vec<u8>) {
    let bytes = (0..shape.iter().product()).flat_map(|at| x(at).to_le_bytes()).collect();
    (Dtype::F32, shape.to_vec(), bytes)
}

/// Numbers between -0.5 and 0.5.
fn wave(at: usize, seed: usize) -> f32 {
    ((at * 37 + seed * 11) % 101) as f32 / 101.0 - 0.5
}

/// Query, key, value, upstream gradient and decays of 2 texts of 40 tokens.
fn gated() -> Tensors {
    let mut tensors: Tensors = [("q", 1), ("k", 2), ("v", 3), ("d_out", 4)]
        .map(|(name, seed)| (name.to_owned(), floats(&[2, 40, 2, 16], |at| wave(at, seed))))
        .into();
    tensors.insert("decay".into(), floats(&[2, 40, 2], |at| wave(at, 5) - 0.5));
    tensors.insert("beta".into(), floats(&[2, 40, 2], |at| wave(at, 6) + 0.5));
    tensors
}

const DELTA: &str = r#"{"version": 1, "mechanism": {"version": 1, "linear": {"features": "identity", "normalised": false, "causal": true, "log_decay": "decay",
    "beta": "beta"}, "scale": 0.25}}"#;

/// What the CPU reference writes is what a GPU is compared with, gradients of decays and factors among it.
#[test]
fn results_of_the_reference_hold_on_a_device() {
    let results = scratch("mechanism-results.safetensors").display().to_string();
    let document = text("delta.json", DELTA.as_bytes());
    let mut tensors = gated();
    let file = written("delta.safetensors", &tensors);
    assert_passes(&attend(&document, &file, "cpu", &["--out", &results]));
    let held = foveate::weights::Checkpoint::open(&results).unwrap();
    assert_eq!(held.names().collect::<Vec<_>>(), ["d_beta", "d_decay", "dk", "dq", "dv", "out"]);
    let metadata: Value = serde_json::from_str(held.metadata("foveate").unwrap()).unwrap();
    assert_eq!(metadata["rule"], serde_json::from_str::<Value>(DELTA).unwrap());
    for name in held.names() {
        let stored = held.tensor(name).unwrap();
        tensors.insert(name.into(), (Dtype::F32, stored.shape().to_vec(), stored.bytes().to_vec()));
    }
    let file = written("delta-again.safetensors", &tensors);
    assert_passes(&attend(&document, &file, "gpu", &["--compare"]));
    tensors.get_mut("d_decay").unwrap().2[..4].copy_from_slice(&9.0_f32.to_le_bytes());
    let file = written("delta-wrong.safetensors", &tensors);
    assert_eq!(attend(&document, &file, "gpu", &["--compare"]).status.code(), Some(1));
}

#[test]
fn documents_of_mechanisms_that_mean_nothing_are_refused() {
    let file = written("mechanism-fits.safetensors", &gated());
    let refused = |document: &str, sentence: &str| {
        let document = text("mechanism-wrong.json", document.as_bytes());
        assert_refuses(&attend(&document, &file, "cpu", &[]), &[sentence]);
    };
    refused(r#"{"mechanism": {"exact": {}}}"#, "version: expected 1, found no such field");
    refused(
        r#"{"version": 1, "mechanism": {}}"#,
        "mechanism: mechanism: expected an object with one mechanism",
    );
    refused(
        r#"{"version": 1, "mechanism": {"nystrom": {"landmarks": 0}}}"#,
        "mechanism: nystrom.landmarks: expected at least 1, found 0",
    );
    refused(
        r#"{"version": 1, "mechanism": {"exact": {}}, "mask": "full"}"#,
        "mask: expected none but version, mechanism, lengths and segments",
    );
    refused(
        r#"{"version": 1, "mechanism": {"exact": {}, "layers": [0]}}"#,
        "mechanism: expected one without layers",
    );
    refused(
        r#"{"version": 1, "mechanism": {"linformer": {"keys": "E", "values": "E"}}}"#,
        "tensor `E`: expected it in the file",
    );
    refused(
        r#"{"version": 1, "mechanism": {"linear": {"features": "identity", "causal": true}}}"#,
        "expected a function that is never negative, as scores are divided by their sum",
    );
    let beta = DELTA.replace(r#""beta": "beta""#, r#""beta": "decay""#);
    refused(&beta, "attention/linear: beta: expected numbers within 0 and 2, found -");
    let decay = DELTA.replace(r#""log_decay": "decay""#, r#""log_decay": "beta""#);
    refused(&decay, "attention/linear: log_decay: expected finite numbers of at most 0");
    let mut tensors = gated();
    tensors.insert("d_lse".into(), floats(&[2, 40, 2], |_| 0.0));
    let file = written("mechanism-lse.safetensors", &tensors);
    let document = text("mechanism-lse.json", DELTA.as_bytes());
    let refusal = "tensor `d_lse`: expected none, as a mechanism has no log-sum-exp";
    assert_refuses(&attend(&document, &file, "cpu", &[]), &[refusal]);
}

#[test]
fn bench_has_a_verified_row_for_each_mechanism() {
    let activations: Tensors = [("query", 1), ("key", 2), ("value", 3)]
        .map(|(name, seed)| (name.to_owned(), floats(&[64, 2, 16], |at| 2.0 * wave(at, seed))))
        .into();
    let file = written("mechanism-activations.safetensors", &activations);
    let names: Vec<&str> = MECHANISMS.iter().filter(|row| !row.is_mask).map(|row| row.name).collect();
    let flags = ["bench", "--device", "gpu", "--activations", &file, "--no-headline", "--repeats", "1"];
    let more = ["--lengths", "80", "--json", "--methods", &names.join(",")];
    let report = assert_passes(&run(&[&flags[..], &more].concat()));
    let report: Value = serde_json::from_str(&report).unwrap();
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["method"].as_str().unwrap()).collect::<Vec<_>>(), names);
    for row in rows {
        assert_eq!(row["status"], "measured", "{row}");
        assert!(row["error_of_budget"].as_f64().unwrap() > 0.0 && row["gflops"].is_null(), "{row}");
        let cosine = row["off_exact"]["cosine"].as_f64().unwrap();
        // Heads keep to themselves, and there is a projection for each key.
        let leaves_nothing_out = ["linformer", "talking_heads"].contains(&row["method"].as_str().unwrap());
        assert!(cosine > if leaves_nothing_out { 0.99999 } else { 0.3 }, "{row}");
    }
}
