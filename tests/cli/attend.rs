//! `attend` on what another program computed, and on what is no attention.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use foveate::weights::Checkpoint;
use half::f16;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

use crate::invoke::{assert_passes, assert_refuses, run, scratch, stderr, stdout};
use crate::rules;

/// Tensors of a file: type, shape and bytes, by name.
pub(super) type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// A case of a family of the oracles.
pub(super) fn oracle(family: &str, name: &str) -> Tensors {
    let path = format!("{}/tests/fixtures/oracles/{family}/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |(name, view): (String, TensorView<'_>)| {
        (name, (view.dtype(), view.shape().to_vec(), view.data().to_vec()))
    };
    file.tensors().into_iter().map(tensor).collect()
}

fn integers(shape: &[usize], values: &[i32]) -> (Dtype, Vec<usize>, Vec<u8>) {
    (Dtype::I32, shape.to_vec(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

/// Writes `tensors` to a file for tests only.
pub(super) fn written(file: &str, tensors: &Tensors) -> String {
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, bytes))| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    text(file, &safetensors::serialize(views, None).unwrap())
}

pub(super) fn text(file: &str, bytes: &[u8]) -> String {
    let path = scratch(&format!("attend-{file}"));
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

pub(super) fn attend(rule: &str, tensors: &str, device: &str, more: &[&str]) -> Output {
    let flags = ["attend", "--rule", rule, "--tensors", tensors, "--device", device];
    run(&[&flags[..], more].concat())
}

fn golden(name: &str) -> String {
    rules::golden()[name].display().to_string()
}

/// Names of results that the command compared.
pub(super) fn compared(table: &str) -> Vec<&str> {
    let rows = table.lines().filter(|line| line.starts_with("| "));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    cells.filter(|cells| cells[4].parse::<f64>().is_ok()).map(|cells| cells[1]).collect()
}

/// Runs an oracle, which must compare whatever it holds.
fn assert_oracle_holds(name: &str, device: &str) {
    let tensors = oracle("attention", name);
    // The file as it is, which the README names.
    let file = format!("{}/tests/fixtures/oracles/attention/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    let table = assert_passes(&attend(&golden(name), &file, device, &["--compare"]));
    let is_result = |name: &&String| {
        !name.starts_with("d_o") && (name.starts_with('d') || ["out", "lse"].contains(&name.as_str()))
    };
    assert_eq!(compared(&table), tensors.keys().filter(is_result).collect::<Vec<_>>(), "{name}: {table}");
    assert!(table.contains("all within 2.0e-5"), "{table}");
}

#[test]
fn every_oracle_holds_under_its_rule_in_json() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oracles/attention");
    let rules = rules::golden();
    let names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| rules.contains_key(name))
        .collect();
    assert_eq!(names.len(), 28);
    names.iter().for_each(|name| assert_oracle_holds(name, "cpu"));
}

#[test]
fn oracles_hold_on_a_device() {
    for name in ["longformer", "bigbird_blocks", "deberta", "adaptive_span"] {
        assert_oracle_holds(name, "gpu");
    }
}

#[test]
fn results_beyond_the_tolerance_fail_the_command_and_are_written_all_the_same() {
    let mut tensors = oracle("attention", "window");
    let out = scratch("attend-beyond.safetensors").display().to_string();
    let _ = std::fs::remove_file(&out);
    let file = written("window.safetensors", &tensors);
    let beyond = attend(&golden("dilated"), &file, "cpu", &["--compare", "--out", &out]);
    assert_eq!(beyond.status.code(), Some(1), "{}", stderr(&beyond));
    assert!(stdout(&beyond).contains("FAILED: beyond 2.0e-5 of the largest element"), "{}", stdout(&beyond));
    assert!(Path::new(&out).exists());
    // Without --compare, errors are shown and nothing fails.
    let shown = assert_passes(&attend(&golden("dilated"), &file, "cpu", &[]));
    assert_eq!(compared(&shown).len(), 5, "{shown}");
    let wide = ["--compare", "--tolerance", "1e9"];
    assert_passes(&attend(&golden("dilated"), &file, "cpu", &wide));

    let rows = tensors.get_mut("lse").unwrap();
    rows.2[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let file = written("window-nan.safetensors", &tensors);
    assert_eq!(attend(&golden("window"), &file, "cpu", &wide).status.code(), Some(1));
}

#[test]
fn the_file_of_results_says_what_made_it() {
    let out = scratch("attend-results.safetensors").display().to_string();
    std::fs::write(&out, "what was there before").unwrap();
    let file = written("bias.safetensors", &oracle("attention", "bias"));
    assert_passes(&attend(&golden("bias"), &file, "gpu", &["--out", &out]));
    let results = Checkpoint::open(&out).unwrap();
    assert_eq!(results.names().collect::<Vec<_>>(), ["d_bias", "dk", "dq", "dv", "lse", "out"]);
    assert_eq!(results.tensor("d_bias").unwrap().shape(), [1, 4, 40, 40]);
    let metadata: Value = serde_json::from_str(results.metadata("foveate").unwrap()).unwrap();
    assert_eq!(metadata["version"], env!("CARGO_PKG_VERSION"));
    assert!(metadata["device"]["name"].is_string());
    assert_eq!(metadata["kernels"][0]["op"], "attention/blocked");
    let rule = std::fs::read_to_string(golden("bias")).unwrap();
    assert_eq!(metadata["rule"], serde_json::from_str::<Value>(&rule).unwrap());
    // What was written is what is compared: the results of a run are an oracle for the next.
    let mut tensors = oracle("attention", "bias");
    for name in ["out", "d_bias"] {
        let stored = results.tensor(name).unwrap();
        tensors.insert(name.into(), (Dtype::F32, stored.shape().to_vec(), stored.bytes().to_vec()));
    }
    let file = written("bias-again.safetensors", &tensors);
    assert_passes(&attend(&golden("bias"), &file, "cpu", &["--compare"]));
}

#[test]
fn halves_stay_halves_and_gradients_take_an_upstream_one() {
    let mut tensors = oracle("attention", "causal");
    tensors.retain(|name, _| ["q", "k", "v", "out", "lse", "dq", "d_out"].contains(&name.as_str()));
    for name in ["q", "k", "v", "d_out"] {
        let (dtype, _, bytes) = tensors.get_mut(name).unwrap();
        let halves = bytes.as_chunks::<4>().0.iter().map(|&x| f16::from_f32(f32::from_le_bytes(x)));
        (*dtype, *bytes) = (Dtype::F16, halves.flat_map(f16::to_le_bytes).collect());
    }
    let out = scratch("attend-halves-out.safetensors").display().to_string();
    let file = written("halves.safetensors", &tensors);
    let table = assert_passes(&attend(&golden("causal"), &file, "cpu", &["--compare", "--out", &out]));
    assert_eq!(compared(&table), ["dq", "lse", "out"]);
    let dtype = |name| Checkpoint::open(&out).unwrap().tensor(name).map(|tensor| tensor.dtype());
    assert_eq!([dtype("out"), dtype("lse"), dtype("dk")].map(Option::unwrap), ["F16", "F32", "F16"]);

    let d_out = tensors.remove("d_out").unwrap();
    let file = written("forward.safetensors", &tensors);
    let table = assert_passes(&attend(&golden("causal"), &file, "cpu", &["--compare", "--out", &out]));
    assert_eq!((compared(&table), dtype("dq")), (vec!["lse", "out"], None));

    // The gradient of the log-sum-exp by values is 0, and by queries it is not.
    tensors.insert("d_lse".into(), (Dtype::F32, vec![2, 4, 40], 1f32.to_le_bytes().repeat(320)));
    let file = written("lse.safetensors", &tensors);
    assert_passes(&attend(&golden("causal"), &file, "cpu", &["--out", &out]));
    let zeros =
        |name| Checkpoint::open(&out).unwrap().tensor(name).unwrap().bytes().iter().all(|&x| x & 0x7f == 0);
    assert!(zeros("dv") && !zeros("dq"));
    tensors.insert("d_out".into(), d_out);
    tensors.insert("d_lse".into(), (Dtype::F32, vec![2, 40, 4], vec![0; 1280]));
    let file = written("turned.safetensors", &tensors);
    let refused = attend(&golden("causal"), &file, "cpu", &[]);
    assert_refuses(
        &refused,
        &["attend: tensor `d_lse`: expected f32 [2, 4, 40], as the result", "found f32 [2, 40, 4]"],
    );
}

#[test]
fn integers_of_other_widths_and_truth_values_are_read() {
    let mut tensors = oracle("attention", "segments");
    let (dtype, _, bytes) = tensors.get_mut("segments").unwrap();
    let wide = bytes.as_chunks::<4>().0.iter().flat_map(|&x| i64::from(i32::from_le_bytes(x)).to_le_bytes());
    (*dtype, *bytes) = (Dtype::I64, wide.collect());
    let file = written("segments.safetensors", &tensors);
    assert_passes(&attend(&golden("segments"), &file, "cpu", &["--compare"]));
    let beyond = (Dtype::I64, vec![2, 40], (1i64 << 40).to_le_bytes().repeat(80));
    let file = written(
        "beyond.safetensors",
        &[tensors, [("segments".to_owned(), beyond)].into()].into_iter().flatten().collect(),
    );
    let refused = attend(&golden("segments"), &file, "cpu", &[]);
    assert_refuses(&refused, &["tensor `segments`: expected integers of 32 bits, found 1099511627776"]);
}

#[test]
fn values_that_devices_would_take_for_something_else_are_refused() {
    let refused = |mask: &str, shape: &[usize], values: &[i32], sentence: &str| {
        let mut tensors = oracle("attention", "full");
        tensors.insert("x".into(), integers(shape, values));
        let rule = text("values.json", format!(r#"{{"version": 1, "mask": {mask}}}"#).as_bytes());
        let file = written("values.safetensors", &tensors);
        assert_refuses(&attend(&rule, &file, "cpu", &[]), &[sentence]);
    };
    refused(
        r#"{"lengths": "x"}"#,
        &[2],
        &[40, 41],
        "rule: mask.lengths: tensor `x`: expected lengths from 0 to 40, the time of the keys, found 41 at element 1",
    );
    refused(r#"{"lengths": "x"}"#, &[2], &[-1, 4], "mask.lengths: tensor `x`: expected lengths from 0 to 40");
    refused(
        r#""causal", "query_start": "x""#,
        &[2],
        &[0, 41],
        "rule: query_start: tensor `x`: expected positions from 0 to 40, the time of the keys, found 41 at element 1",
    );
    refused(
        r#"{"any": ["causal", {"globals": "x"}]}"#,
        &[2, 2],
        &[0, -1, 39, 40],
        "rule: mask.any[1].globals: tensor `x`: expected positions below 40, or -1 for none, found 40 at element 3",
    );
    refused(
        r#"{"longformer": {"half_width": 2, "globals": "x"}}"#,
        &[2, 1],
        &[-2, 0],
        "mask.longformer.globals: tensor `x`: expected positions below 40, or -1 for none, found -2 at element 0",
    );
    let mut ids = [0; 80];
    // The second item starts anew: that is no decrease.
    (ids[..40]).fill(5);
    ids[70] = 3;
    refused(
        r#"{"not": {"segments": "x"}}"#,
        &[2, 40],
        &ids,
        "rule: mask.not.segments: tensor `x`: expected ids that never decrease along time, found 0 behind 3, at element 71",
    );
}

#[test]
fn bounds_as_wide_as_numbers_go_hide_nothing() {
    let rule = text(
        "wide.json",
        br#"{"version": 1, "scale": 0.25, "mask": {"all": [
            {"window": {"left": 4294967295, "right": 4294967295}},
            {"any": [{"dilated_window": {"half_width": 4294967295, "dilations": [4294967295]}}, {"prefix": 4294967295}]},
            {"dilated_window": {"half_width": 4294967295, "dilations": [1]}},
            {"block_diagonal": 4294967295}]}}"#,
    );
    let file = written("wide.safetensors", &oracle("attention", "full"));
    for device in ["cpu", "gpu"] {
        assert_passes(&attend(&rule, &file, device, &["--compare"]));
    }
}

#[test]
fn rules_and_tensors_that_do_not_fit_are_refused() {
    let causal = golden("causal");
    let whole = written("fits.safetensors", &oracle("attention", "causal"));
    let refused = |rule: &str, tensors: &str, more: &[&str], parts: &[&str]| {
        assert_refuses(&attend(rule, tensors, "cpu", more), parts);
    };
    refused("/nonexistent/r.json", &whole, &[], &["/nonexistent/r.json: file: expected a readable file"]);
    refused(env!("CARGO_TARGET_TMPDIR"), &whole, &[], &["file: expected a regular file, found a folder"]);
    let nonsense = text("nonsense.json", b"{\"version\": 1, \"mask\": \"casual\"}");
    refused(&nonsense, &whole, &[], &["nonsense.json: line 1, column ", "unknown variant `casual`"]);
    let binary = text("binary.json", &[0xff, 0, 1]);
    refused(&binary, &whole, &[], &["binary.json: line 1, column 1: expected JSON"]);
    for (name, found) in [("q", "`q`"), ("d_out", "`d_out`"), ("lse", "`lse`")] {
        let rule =
            text("taken.json", format!(r#"{{"version": 1, "mask": {{"lengths": "{name}"}}}}"#).as_bytes());
        refused(&rule, &whole, &[], &["attend: --rule: name of a tensor: expected none of q, k, v", found]);
    }
    let rule = text("own.json", br#"{"version": 1, "scores": [{"bias": "x"}, {"alibi": "d_x"}]}"#);
    refused(&rule, &whole, &[], &["of the gradient of another tensor of the rule, found `d_x`"]);

    refused(&causal, "/nonexistent/t.safetensors", &[], &["/nonexistent/t.safetensors: file: expected"]);
    let bytes = std::fs::read(&whole).unwrap();
    for (file, bytes) in [("half", &bytes[..bytes.len() / 2]), ("empty", &[]), ("text", b"{\"version\": 1}")]
    {
        let file = text(&format!("{file}.safetensors"), bytes);
        refused(&causal, &file, &[], &[&file, "expected a safetensors file"][..1]);
    }
    let twice = br#"{"q":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"q":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#;
    let twice = text("twice.safetensors", &[&(twice.len() as u64).to_le_bytes()[..], twice].concat());
    refused(&causal, &twice, &[], &["tensor `q` twice"]);

    let changed = |name: &str, dtype: Dtype, shape: &[usize]| {
        let mut tensors = oracle("attention", "padding");
        let bytes = vec![0; shape.iter().product::<usize>() * dtype.bitsize() / 8];
        tensors.insert(name.to_owned(), (dtype, shape.to_vec(), bytes));
        written("changed.safetensors", &tensors)
    };
    let (padding, alibi) = (golden("padding"), golden("alibi"));
    let without = |name: &str| {
        let mut tensors = oracle("attention", "padding");
        tensors.remove(name);
        written("without.safetensors", &tensors)
    };
    refused(&padding, &without("v"), &[], &["tensor `v`: expected it in the file, found only: d_out, dk, "]);
    refused(&padding, &without("length"), &[], &["tensor `length`: expected it in the file"]);
    refused(
        &padding,
        &changed("q", Dtype::BF16, &[2, 40, 4, 16]),
        &[],
        &["tensor `q`: expected F32 or F16", "found BF16"],
    );
    refused(
        &padding,
        &changed("q", Dtype::I32, &[2, 40, 4, 16]),
        &[],
        &["attention/blocked: query: expected"],
    );
    refused(
        &padding,
        &changed("q", Dtype::F32, &[2, 40, 64]),
        &[],
        &["query: expected rank 4", "found rank 3"],
    );
    refused(&padding, &changed("q", Dtype::F32, &[1; 9]), &[], &["q: expected", "found"]);
    refused(&padding, &changed("q", Dtype::F32, &[2, 40, 5, 16]), &[], &["kv_heads"]);
    refused(&padding, &changed("k", Dtype::F16, &[2, 40, 4, 16]), &[], &["key: expected f32, found f16"]);
    refused(
        &padding,
        &changed("length", Dtype::F32, &[2]),
        &[],
        &["lengths: expected i32 [2]", "found f32 [2]"],
    );
    refused(
        &padding,
        &changed("length", Dtype::I32, &[3]),
        &[],
        &["lengths: expected i32 [2]", "found i32 [3]"],
    );
    refused(&alibi, &changed("slopes", Dtype::F16, &[4]), &[], &["alibi: expected f32 [4], found f16 [4]"]);
    refused(
        &padding,
        &changed("d_out", Dtype::F32, &[2, 40, 4, 8]),
        &[],
        &["tensor `d_out`: expected f32 [2, 40, 4, 16]"],
    );
    refused(&padding, &changed("d_out", Dtype::F16, &[2, 40, 4, 16]), &[], &["tensor `d_out`", "found f16"]);
    refused(
        &padding,
        &changed("out", Dtype::F32, &[2, 4, 40, 16]),
        &[],
        &["tensor `out`: expected [2, 40, 4, 16], the shape of the result"],
    );
    refused(
        &padding,
        &changed("out", Dtype::I32, &[2, 40, 4, 16]),
        &[],
        &["tensor `out`: expected F64, F32, F16 or BF16, found I32"],
    );
    let mut infinite = oracle("attention", "padding");
    infinite.get_mut("k").unwrap().2[4..8].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
    let infinite = written("infinite.safetensors", &infinite);
    refused(&padding, &infinite, &[], &["tensor `k`: expected finite numbers, found -inf at element 1"]);
}

#[test]
fn flags_that_do_not_fit_are_refused_before_anything_is_computed() {
    let causal = golden("causal");
    let whole = written("flags.safetensors", &oracle("attention", "causal"));
    let refused =
        |more: &[&str], parts: &[&str]| assert_refuses(&attend(&causal, &whole, "cpu", more), parts);
    refused(
        &["--out", "/nonexistent/x.safetensors"],
        &["attend: --out /nonexistent/x.safetensors", "found no such folder"],
    );
    refused(
        &["--out", env!("CARGO_TARGET_TMPDIR")],
        &["expected a file in a folder that is there, ", "found a folder"],
    );
    refused(&["--out", &whole], &["expected another file than that of --tensors, found the same"]);
    refused(&["--out", &causal], &["expected another file than that of --rule, found the same"]);
    for tolerance in ["-1", "nan", "inf"] {
        refused(
            &["--compare", "--tolerance", tolerance],
            &["attend: --tolerance: expected a number of at least 0"],
        );
    }
    refused(&["--tolerance", "1"], &["required arguments were not provided"]);
    assert_refuses(
        &attend(&causal, &whole, "no adapter is called this", &[]),
        &["expected an adapter whose name contains"],
    );
    assert_refuses(&run(&["attend", "--rule", &causal]), &["required arguments were not provided"]);
    let mut bare = oracle("attention", "causal");
    bare.retain(|name, _| ["q", "k", "v"].contains(&name.as_str()));
    let bare = written("bare.safetensors", &bare);
    let nothing = attend(&causal, &bare, "cpu", &["--compare"]);
    assert_refuses(&nothing, &["--compare: expected at least one of out, lse, found none of them"]);
    let help = assert_passes(&run(&["attend", "--help"]));
    for rule in
        ["\"version\": 1", "dilated_window", "big_bird", "adaptive_span", "top_left", "d_out", "--tolerance"]
    {
        assert!(help.contains(rule), "{help}");
    }
}
