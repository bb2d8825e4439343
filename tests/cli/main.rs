//! The command line as a user meets it: what it prints, what it writes, and how it refuses.

mod attend;
#[cfg(unix)]
mod files;
mod fine_tune;
mod finite;
mod folders;
mod foreign;
mod generate;
mod inspect;
mod interrupted;
mod invoke;
mod labels;
mod measuring;
mod mechanisms;
mod models;
mod outputs;
mod pipelines;
mod places;
mod rules;
mod sequences;
mod shader;
mod speech;
mod streams;
mod tasks;
mod train;
mod tune;
mod writing;

#[path = "../conformance/sample.rs"]
mod sample;

use std::collections::HashMap;
use std::process::{Command, Output};

use foveate::nn::MECHANISMS;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

use invoke::{assert_passes, assert_refuses, run, run_without_adapters, scratch, stderr};

/// Writes `tensors` (name, type, shape) of small numbers as safetensors.
fn activations(file: &str, tensors: &[(&str, Dtype, &[usize])]) -> String {
    let zeros = vec![0; 4096];
    let views: HashMap<&str, TensorView<'_>> = tensors
        .iter()
        .map(|&(name, dtype, shape)| {
            let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
            (name, TensorView::new(dtype, shape.to_vec(), &zeros[..bytes]).unwrap())
        })
        .collect();
    let path = scratch(file);
    std::fs::write(&path, safetensors::serialize(&views, None).unwrap()).unwrap();
    path.display().to_string()
}

const SHAPE: &[usize] = &[8, 2, 4];

fn small_activations(file: &str) -> String {
    activations(
        file,
        &[("query", Dtype::F32, SHAPE), ("key", Dtype::F32, SHAPE), ("value", Dtype::F32, SHAPE)],
    )
}

#[test]
fn help_names_the_commands_and_the_methods() {
    let help = assert_passes(&run(&["--help"]));
    for command in [
        "info", "check", "shader", "bench", "run", "attend", "inspect", "train", "generate", "forecast",
        "tune",
    ] {
        assert!(help.contains(command), "{help}");
    }
    let help = assert_passes(&run(&["bench", "--help"]));
    for text in ["exact-unfused", "blocked-window", "longformer", "adaptive-span", "--device", "GFLOP/s"] {
        assert!(help.contains(text), "{help}");
    }
}

#[test]
fn info_shows_adapters_in_a_screen_and_ops_when_asked() {
    let text = assert_passes(&run(&["info"]));
    for part in ["features", "limits", "tuning     built-in table: matmul ", "`--ops` shows"] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    let name = text.split(" (").next().unwrap().trim();
    let count = text.matches("  features ").count();
    assert!(text.lines().count() <= 10 * count + 2 && !text.contains("matmul, f16"), "{text}");
    let one = assert_passes(&run(&["info", "--device", name, "--op", "matmul"]));
    assert!(one.contains("matmul, f16") && !one.contains("reshape, f32"), "{one}");
    let all = assert_passes(&run(&["info", "--device", "gpu", "--ops"]));
    for part in ["attention/blocked, f32", "matmul, f16", "reshape, f32", "index/one_hot, i32"] {
        assert!(all.contains(part), "`{part}` is not in:\n{all}");
    }
    let report: Value = serde_json::from_str(&assert_passes(&run(&["info", "--json"]))).unwrap();
    let adapter = &report["adapters"][0];
    assert!(adapter["limits"]["binding_bytes"].as_u64() > Some(0) && adapter["ops"].is_null());
    let report = assert_passes(&run(&["info", "--op", "softmax", "--json"]));
    let report: Value = serde_json::from_str(&report).unwrap();
    let ops = report["adapters"][0]["ops"].as_array().unwrap();
    assert!(ops.iter().all(|op| op["op"] == "softmax" && op["choices"][0]["reason"].is_string()));
    assert_refuses(
        &run(&["info", "--op", "sotfmax"]),
        &["info: --op: expected ", "the nearest is `softmax`"],
    );
    assert_refuses(&run(&["info", "--device", "cpu"]), &["info: --device: expected adapters", "found cpu"]);
    assert_refuses(
        &run(&["info", "--device", "no such"]),
        &["whose name contains `no such`", "found only: "],
    );
}

#[test]
fn check_prints_one_line_per_case() {
    let text = assert_passes(&run(&["check", "--device", "gpu", "--op", "elementwise/add"]));
    let (summary, cases) =
        text.lines().collect::<Vec<_>>().split_last().map(|(s, c)| (*s, c.to_vec())).unwrap();
    assert!(summary.contains(" 0 failed"), "{summary}");
    assert!(cases.iter().all(|line| line.starts_with("ok ") || line.starts_with("unsupported ")), "{text}");
    let report = assert_passes(&run(&["check", "--op", "elementwise/add", "--json"]));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["cases"].as_array().unwrap().len(), cases.len());
    assert_eq!(report["failed"], 0);
}

#[test]
fn bench_verifies_and_times_the_built_in_activations() {
    let text = assert_passes(&run(&[
        "bench",
        "--device",
        "gpu",
        "--lengths",
        "64",
        "--methods",
        "blocked-window",
        "--no-headline",
        "--repeats",
        "2",
    ]));
    assert!(text.contains("blocked-window") && !text.contains("not run"), "{text}");
}

#[test]
fn the_headline_rates_are_numbers() {
    let flags =
        ["bench", "--device", "gpu", "--repeats", "1", "--lengths", "64", "--methods", "blocked-full"];
    let report = assert_passes(&run(&[&flags[..], &["--json", "-"]].concat()));
    let headline = &serde_json::from_str::<Value>(&report).unwrap()["headline"];
    assert_eq!(headline["status"], "measured", "{headline}");
    let rates = ["matmul_gflops", "classic_matmul_gflops", "attention_gflops"];
    for name in rates.into_iter().chain(["matmul_times_classic", "attention_of_matmul"]) {
        assert!(headline[name].as_f64() > Some(0.0), "{name}: {headline}");
    }
}

/// Rows that `bench` has for a length: ten that compute pairs, and the mechanisms that are no masks.
fn methods() -> usize {
    10 + MECHANISMS.iter().filter(|row| !row.is_mask).count()
}

#[test]
fn bench_writes_json_csv_and_svg() {
    let file = small_activations("bench-outputs.safetensors");
    let [json, csv, svg] =
        ["bench.json", "bench.csv", "bench.svg"].map(|name| scratch(name).display().to_string());
    let flags = ["bench", "--device", "gpu", "--activations", &file, "--no-headline", "--repeats", "2"];
    let outputs = ["--lengths", "16,40", "--json", &json, "--csv", &csv, "--plot", &svg];
    let table = assert_passes(&run(&[&flags[..], &outputs[..]].concat()));
    assert!(table.contains("| exact-unfused"), "{table}");
    let last: Vec<&str> = table.lines().rev().take(3).collect();
    for (line, exact) in last.iter().zip(["strictly causal", "causal", "full"]) {
        assert!(line.starts_with(&format!("in place of {exact} attention of 40 tokens: ")), "{table}");
    }

    let report: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2 * methods());
    let exact =
        |method: &str| &rows.iter().find(|row| row["method"] == method).unwrap()["off_exact"]["exact"];
    assert_eq!(
        [exact("bigbird"), exact("strided"), exact("adaptive-span")],
        ["full", "causal", "strictly causal"]
    );
    for row in rows {
        assert_eq!(row["status"], "measured", "{row}");
        assert!(row["off_exact"]["cosine"].is_number() && row["off_exact"]["mean_abs"].is_number(), "{row}");
        assert!(
            row["wall_ms"]["median"].as_f64() > Some(0.0) && row["memory"]["total_bytes"].as_u64() > Some(0)
        );
        assert!(
            row["error_of_budget"].as_f64() <= Some(1.0) && row["times_unfused"].as_f64() > Some(0.0),
            "{row}"
        );
    }
    assert_eq!(report["dtype"], "f32");
    let answers = report["answers"].as_array().unwrap();
    assert!(answers.len() == 3 && answers.iter().all(|answer| answer["length"] == 40), "{answers:?}");
    // The activations are zeros, so that every method is right, and those that leave nothing out say so.
    let is_exact = |method: &str| {
        let mut of_length = rows.iter().filter(|row| row["length"] == 40);
        of_length.find(|row| row["method"] == method).unwrap()["is_exact"].clone()
    };
    assert_eq!([is_exact("blocked-full"), is_exact("log-sparse")], [true, false]);

    let mut reader = csv::Reader::from_path(csv).unwrap();
    assert_eq!(reader.headers().unwrap().get(0), Some("method"));
    assert_eq!(reader.records().map(Result::unwrap).count(), rows.len());
    let svg = std::fs::read_to_string(svg).unwrap();
    // By four markers and several kinds of lines.
    for marker in ["<circle", "<polygon", "<rect"] {
        assert!(svg.contains(marker), "{marker}");
    }
    assert!(svg.starts_with("<svg") && svg.contains("blocked-causal") && svg.contains("log-sparse"), "{svg}");
}

#[test]
fn bench_keeps_to_its_budget_and_says_what_it_left_out() {
    let file = small_activations("bench-budget.safetensors");
    let text =
        assert_passes(&run(&["bench", "--device", "cpu", "--activations", &file, "--budget", "0.001"]));
    let words: Vec<&str> = text.split_whitespace().collect();
    let sentence = words.join(" ");
    let (methods_left_out, _) = sentence
        .split_once(" at 128 not run: for want of time, see --budget")
        .expect("a sentence tells of them");
    assert_eq!(
        methods_left_out.rsplit(", ").take_while(|name| !name.contains(' ')).count(),
        methods() - 2,
        "{text}"
    );
    assert!(text.contains("matmul and attention rates not run: "), "{text}");
}

#[test]
fn lists_in_errors_are_wrapped() {
    let stderr = stderr(&run(&["check", "--op", "sotfmax"]));
    let lines: Vec<&str> = stderr.lines().skip_while(|line| !line.starts_with("error: ")).collect();
    assert!(lines.len() > 10 && lines.iter().all(|line| line.chars().count() <= 100), "{stderr}");
    assert!(lines[1..].iter().all(|line| line.starts_with("  ")), "{stderr}");
}

#[test]
fn json_is_asked_for_alike() {
    let folder = scratch("json-alike");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let model = fine_tune::bert(&folder.join("bert"));
    let small = small_activations("json-alike.safetensors");
    let shape: &[usize] = &[1, 4, 1, 4];
    let qkv =
        activations("json-alike-qkv.safetensors", &["q", "k", "v"].map(|name| (name, Dtype::F32, shape)));
    let rule = format!("{}/tests/fixtures/rules/causal.json", env!("CARGO_MANIFEST_DIR"));
    let file = folder.join("report.json").display().to_string();
    let bench =
        ["bench", "--device", "cpu", "--activations", &small, "--lengths", "8", "--methods", "blocked-full"];
    for command in [
        &["info"][..],
        &["check", "--device", "gpu", "--op", "fill"],
        &["shader", "fill"],
        &["inspect", &model],
        &["run", &model, "--text", "good", "--device", "cpu"],
        &["attend", "--rule", &rule, "--tensors", &qkv, "--device", "cpu"],
        &bench,
    ] {
        let report = |text: &str| -> Value {
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{command:?}: {error}: {text}"))
        };
        for flags in [&["--json"][..], &["--json", "-"]] {
            let found = report(&assert_passes(&run(&[command, flags].concat())));
            assert_eq!(found["version"], env!("CARGO_PKG_VERSION"), "{command:?}");
        }
        let text = assert_passes(&run(&[command, &["--json", &file]].concat()));
        assert!(!text.trim_start().starts_with('{'), "{command:?} prints text beside a file: {text}");
        let found = report(&std::fs::read_to_string(&file).unwrap());
        if ["check", "run", "attend", "bench"].contains(&command[0]) {
            assert!(found["device"]["name"].is_string() && found["device"]["kind"].is_string(), "{found}");
        }
        let nowhere = run(&[command, &["--json", "/nonexistent/x.json"]].concat());
        assert_refuses(&nowhere, &[command[0], ": --json /nonexistent/x.json", "found no such folder"]);
    }
    let attended =
        assert_passes(&run(&["attend", "--rule", &rule, "--tensors", &qkv, "--device", "cpu", "--json"]));
    let attended: Value = serde_json::from_str(&attended).unwrap();
    let out = attended["results"].as_array().unwrap().iter().find(|result| result["name"] == "out").unwrap();
    assert_eq!((&out["dtype"], &out["shape"]), (&"f32".into(), &serde_json::json!([1, 4, 1, 4])));
    assert!(
        out["error"].is_null() && attended["wall_ms"].is_number() && attended["rule"]["mask"] == "causal"
    );
}

#[test]
fn bench_on_stdout_is_nothing_but_the_document() {
    let file = small_activations("bench-stdout.safetensors");
    let flags = ["bench", "--device", "cpu", "--activations", &file, "--lengths", "8", "--repeats", "1"];
    let report: Value =
        serde_json::from_str(&assert_passes(&run(&[&flags[..], &["--json", "-"]].concat()))).unwrap();
    assert_eq!(report["device"]["name"], "CPU reference");
    assert!(report["rows"][0]["gpu_ms"].is_null());
    let both = run(&[&flags[..], &["--json", "-", "--csv", "-"]].concat());
    assert_refuses(&both, &["bench: --json and --csv", "expected", "found"]);
}

#[test]
fn a_length_beyond_a_limit_is_a_row_with_a_note() {
    let file = small_activations("bench-limit.safetensors");
    let text = assert_passes(&run(&[
        "bench",
        "--device",
        "gpu",
        "--activations",
        &file,
        "--no-headline",
        "--repeats",
        "1",
        "--lengths",
        "16,16777216",
        "--methods",
        "exact-unfused",
    ]));
    assert!(text.contains("exact-unfused at 16777216 not run: exceeds limit: "), "{text}");
    // Scores of 2 heads, before and after scaling: 8 GiB of f64.
    let cpu = ["bench", "--device", "cpu", "--activations", &file, "--methods", "exact-unfused"];
    let text = assert_passes(&run(&[&cpu[..], &["--lengths", "16384"]].concat()));
    let note =
        "exact-unfused at 16384 not run: exceeds limit: exact-unfused: memory: expected at most 4096 MiB";
    assert!(text.contains(note) && text.contains("found 8192 MiB"), "{text}");
}

/// Runs within so much address space. One allocation arena and one thread of lavapipe, so that it depends on little else.
#[cfg(target_os = "linux")]
fn run_within(kib: u32, args: &[&str]) -> Output {
    Command::new("sh")
        .args(["-c", r#"ulimit -v "$0"; exec "$@""#, &kib.to_string(), env!("CARGO_BIN_EXE_foveate")])
        .args(args)
        .envs([("MALLOC_ARENA_MAX", "1"), ("LP_NUM_THREADS", "1")])
        .output()
        .unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn a_row_that_the_device_has_no_memory_for_is_a_note_and_the_next_one_runs() {
    // Only the memory of the software rasterizer is the process's own.
    if !assert_passes(&run(&["info"])).contains("llvmpipe") {
        eprintln!("not run: there is no lavapipe here whose memory could be limited");
        return;
    }
    let flags = ["bench", "--device", "llvmpipe", "--no-headline", "--repeats", "1"];
    let bench = |kib: u32, lengths: &str| {
        let row = ["--methods", "exact-unfused", "--lengths", lengths];
        run_within(kib, &[&flags[..], &row[..]].concat())
    };
    // What the driver itself takes differs by version: the least that a short row gets by with, and a little more.
    const STEP: u32 = 50_000;
    let least = (8..100).map(|steps| steps * STEP).find(|&kib| bench(kib, "64").status.success()).unwrap();
    // Twice 128 MiB of scores, which is as much as lavapipe binds at once. Lavapipe shares the process's memory, so at some
    // limits an allocation of the host is the one that fails, and ends the process before any error can be typed.
    let noted = (1..=6).map(|steps| bench(least + steps * STEP, "2896,64")).find(|output| {
        let text = String::from_utf8_lossy(&output.stdout);
        output.status.success()
            && text.contains("exact-unfused at 2896 not run: program: buffers: Out of Memory")
    });
    let text = assert_passes(&noted.expect("at some limit the device runs out of memory first"));
    assert_eq!(text.matches("not run:").count(), 1, "{text}");
}

#[test]
fn bad_flags_are_refused_with_a_sentence() {
    let refused = |args: &[&str], parts: &[&str]| assert_refuses(&run(args), parts);
    refused(&["frobnicate"], &["frobnicate"]);
    refused(&["bench", "--frobnicate"], &["--frobnicate"]);
    refused(&["bench", "--lengths", "0"], &["--lengths", "0"]);
    refused(&["bench", "--repeats", "-1"], &["-1"]);
    refused(
        &["bench", "--methods", "blocked-full,magic"],
        &["bench: --methods: expected exact-unfused, ", "found `magic`"],
    );
    refused(&["bench", "--dtype", "f8"], &["bench: --dtype: expected f32 or f16, found `f8`"]);
    refused(&["bench", "--dtype", "i32"], &["bench: --dtype: expected f32 or f16, found `i32`"]);
    for budget in ["0", "nan", "inf", "1e300"] {
        refused(&["bench", "--budget", budget], &["bench: --budget: expected seconds above 0", "found"]);
    }
    refused(&["check", "--op", "magic"], &["check: --op: expected elementwise/abs, ", "found `magic`"]);
    refused(&["check", "--op", "sotfmax"], &["found `sotfmax` (the nearest is `softmax`)"]);
    refused(&["check", "--device", "cpu"], &["check: --device: expected an adapter", "found cpu"]);
    for command in ["check", "bench"] {
        let name = "no adapter is called this";
        refused(
            &[command, "--device", name],
            &["adapter", "expected an adapter whose name contains", name, "found only: "],
        );
        refused(&[command, "--device", ""], &["device: --device: expected", "found an empty text"]);
    }
    refused(
        &["bench", "--json", "/nonexistent/x.json"],
        &["bench: --json /nonexistent/x.json", "expected", "found no such folder"],
    );
    refused(
        &["bench", "--plot", "/nonexistent/x.svg"],
        &["bench: --plot /nonexistent/x.svg", "expected", "found no such folder"],
    );
}

#[test]
fn bad_activation_files_are_refused_by_name() {
    let refused = |file: &str, parts: &[&str]| {
        assert_refuses(
            &run(&["bench", "--device", "cpu", "--activations", file]),
            &[&["activations: ", file], parts].concat(),
        );
    };
    let (f32, cube) = (Dtype::F32, SHAPE);
    refused("/nonexistent/qkv.safetensors", &["expected a safetensors file", "found"]);

    let damaged = scratch("damaged.safetensors");
    let whole = std::fs::read(small_activations("whole.safetensors")).unwrap();
    for bytes in [&b"not safetensors"[..], &[], &whole[..whole.len() - 1]] {
        std::fs::write(&damaged, bytes).unwrap();
        refused(&damaged.display().to_string(), &["expected a safetensors file", "found a damaged one"]);
    }
    let file = activations("missing.safetensors", &[("query", f32, cube), ("key", f32, cube)]);
    refused(&file, &["tensor `value`", "expected", "found only: "]);
    let file =
        activations("rank.safetensors", &[("query", f32, &[8, 8]), ("key", f32, cube), ("value", f32, cube)]);
    refused(&file, &["tensor `query`", "expected rank 3 [time, head, channel], found rank 2"]);
    let file = activations(
        "shape.safetensors",
        &[("query", f32, cube), ("key", f32, &[8, 2, 5]), ("value", f32, cube)],
    );
    refused(&file, &["tensor `key`", "expected [8, 2, 4] as query has, found [8, 2, 5]"]);
    let file = activations(
        "empty.safetensors",
        &[("query", f32, &[0, 2, 4]), ("key", f32, cube), ("value", f32, cube)],
    );
    refused(&file, &["tensor `query`", "expected [time, head, channel] of at least 1 each, found [0, 2, 4]"]);
    let file = activations(
        "dtype.safetensors",
        &[("query", f32, cube), ("key", f32, cube), ("value", Dtype::I32, cube)],
    );
    refused(&file, &["tensor `value`", "expected F32 or F16, found I32"]);
}

#[test]
fn without_an_adapter_gpu_is_refused_and_auto_takes_the_reference() {
    const ADVICE: &str = "install a Vulkan driver";
    let file = small_activations("no-adapter.safetensors");
    let bench = ["bench", "--activations", &file, "--lengths", "8", "--repeats", "1"];
    assert_refuses(
        &run_without_adapters(&[&bench[..], &["--device", "gpu"]].concat()),
        &["found no adapter", ADVICE],
    );
    for device in ["auto", "gpu", "lavapipe"] {
        assert_refuses(&run_without_adapters(&["check", "--device", device]), &["found no adapter", ADVICE]);
    }
    let auto = run_without_adapters(&bench);
    assert!(assert_passes(&auto).contains("on CPU reference"));
    assert!(stderr(&auto).contains(ADVICE), "{}", stderr(&auto));
    assert!(assert_passes(&run_without_adapters(&["info"])).contains(ADVICE));
}
