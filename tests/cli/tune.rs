//! `foveate tune`, and what other commands make of its profiles.

use foveate::gpu::{AdapterRequest, Context, Identity, Profile};
use serde_json::{Value, json};

use crate::invoke::{assert_passes, assert_refuses, run, run_without_adapters, scratch, stderr};

const CHECK: [&str; 4] = ["check", "--op", "elementwise/add", "--json"];

/// A profile of this machine in a file of this name, as `change` leaves it.
fn profile(name: &str, change: impl FnOnce(&mut Value)) -> String {
    let context = Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}"));
    let (identity, tuning) = (Identity::of(context.info()), context.caps().tuning);
    let profile = Profile { identity, tuning, measured: Vec::new() };
    let mut document = serde_json::from_str(&profile.to_json().unwrap()).unwrap();
    change(&mut document);
    let path = scratch(name).display().to_string();
    std::fs::write(&path, document.to_string()).unwrap();
    path
}

fn device(report: &str) -> Value {
    serde_json::from_str::<Value>(report).unwrap()["device"].clone()
}

#[test]
fn tune_measures_within_a_budget_and_its_profile_is_used() {
    let path = scratch("tuned.json").display().to_string();
    let table = assert_passes(&run(&["tune", "--device", "gpu", "--budget", "5", "--out", &path]));
    for part in
        ["| setting", "| matmul", "| attention", "| row_lanes", "GFLOP/s", &format!("written to {path}")]
    {
        assert!(table.contains(part), "`{part}` is not in:\n{table}");
    }
    assert!(!table.contains("WRONG"), "{table}");
    let written: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let measured = written["measured"].as_array().unwrap();
    // What decides most of a model's time is first.
    assert!(measured.iter().any(|measured| measured["setting"] == "matmul" && measured["of_default"] == 1.0));

    let report = assert_passes(&run(&[&CHECK[..], &["--device", "gpu", "--profile", &path]].concat()));
    assert_eq!(device(&report)["tuning"], json!({"source": {"profile": path}, "kernels": written["tuning"]}));
    let row = ["--lengths", "64", "--methods", "blocked-full", "--no-headline", "--repeats", "2"];
    let text = assert_passes(&run(&[&["bench", "--device", "gpu", "--profile", &path], &row[..]].concat()));
    assert!(text.contains(&format!("profile {path}: matmul ")), "{text}");
    let text = assert_passes(&run(&["info", "--profile", &path]));
    assert!(text.contains(&format!("tuning     profile {path}: matmul ")), "{text}");
}

#[test]
fn without_a_profile_the_built_in_table_is_in_force() {
    let report = assert_passes(&run(&[&CHECK[..], &["--device", "gpu"]].concat()));
    assert_eq!(device(&report)["tuning"]["source"], "table");
}

#[test]
fn tune_without_out_writes_to_the_users_cache() {
    let cache = scratch("cache");
    // A run before this one may have left it there.
    let _ = std::fs::remove_dir_all(&cache);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_foveate"))
        .args(["tune", "--device", "gpu", "--budget", "0.001", "--json"])
        .envs([("XDG_CACHE_HOME", &cache), ("LOCALAPPDATA", &cache), ("HOME", &cache)])
        .output()
        .unwrap();
    let tuning = device(&assert_passes(&output))["tuning"].clone();
    let path = tuning["source"]["profile"].as_str().unwrap();
    assert!(path.starts_with(cache.to_str().unwrap()) && path.contains("foveate"), "{path}");
    assert_passes(&run(&[&CHECK[..], &["--device", "gpu", "--profile", path]].concat()));
}

#[test]
fn a_profile_of_something_else_is_ignored_with_the_reason() {
    let ignored = |name: &str, change: fn(&mut Value), reason: &str| {
        let path = profile(name, change);
        let output = run(&[&CHECK[..], &["--device", "gpu", "--profile", &path]].concat());
        assert_eq!(device(&assert_passes(&output))["tuning"]["source"], "table");
        let warning = format!("warning: --profile {path} is ignored: on ");
        let stderr = stderr(&output);
        assert!(stderr.contains(&warning) && stderr.contains(reason), "{stderr}");
    };
    ignored(
        "other-adapter.json",
        |document| document["identity"]["adapter"] = json!("Fast 9000"),
        "profile: adapter: expected `",
    );
    ignored(
        "other-driver.json",
        |document| document["identity"]["driver_info"] = json!("of yesterday"),
        "found `of yesterday`",
    );
    ignored(
        "other-version.json",
        |document| document["identity"]["crate_version"] = json!("0.0.1"),
        "found `0.0.1`",
    );

    let path = profile("for-the-cpu.json", |_| {});
    let cpu = ["bench", "--device", "cpu", "--lengths", "8", "--methods", "blocked-full", "--repeats", "1"];
    let output = run(&[&cpu[..], &["--profile", &path]].concat());
    assert_passes(&output);
    assert!(stderr(&output).contains("the CPU reference has no kernels to tune"), "{}", stderr(&output));
}

#[test]
fn a_damaged_profile_is_refused_with_advice() {
    const ADVICE: &str = "(leave out --profile for the built-in table";
    let path = profile("rows.json", |document| document["tuning"]["attention"]["rows"] = json!(0));
    for command in [&CHECK[..], &["bench"], &["info"]] {
        let refused = run(&[command, &["--profile", &path]].concat());
        assert_refuses(&refused, &["tuning.attention.rows: expected 1 to 64, found 0", &path, ADVICE]);
    }
    std::fs::write(&path, "{\"format\": 1,").unwrap();
    assert_refuses(&run(&["bench", "--device", "cpu", "--profile", &path]), &["line 1, column 13", ADVICE]);
    assert_refuses(&run(&["check", "--profile", "/nonexistent"]), &["--profile /nonexistent", ADVICE]);
}

#[test]
fn what_cannot_be_tuned_or_written_is_refused_before_anything_is_measured() {
    let refused = |args: &[&str], parts: &[&str]| assert_refuses(&run(&[&["tune"], args].concat()), parts);
    refused(&["--device", "cpu"], &["tune: --device: expected an adapter", "found cpu"]);
    refused(&["--budget", "0"], &["tune: --budget: expected seconds above 0"]);
    refused(&["--out", "/nonexistent/p.json"], &["tune: --out /nonexistent/p.json", "found no such folder"]);
    refused(&["--out", "/"], &["tune: --out /", "found a folder"]);
    let output = run_without_adapters(&["tune"]);
    assert_refuses(&output, &["found no adapter", "install a Vulkan driver"]);
}
