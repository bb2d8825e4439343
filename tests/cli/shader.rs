//! `foveate shader`: WGSL with its origins, and refusals.

use foveate::wgpu::naga;
use serde_json::Value;

use crate::invoke::{assert_passes, assert_refuses, run, run_without_adapters};

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&assert_passes(&run_without_adapters(&[args, &["--json"]].concat()))).unwrap()
}

#[test]
fn cases_are_listed_in_the_order_of_check() {
    let text = assert_passes(&run(&["shader", "softmax"]));
    let listed: Vec<(usize, &str)> = text
        .lines()
        .map(|line| line.trim_start().split_once("  ").unwrap())
        .map(|(number, label)| (number.parse().unwrap(), label))
        .collect();
    let checked = assert_passes(&run(&["check", "--device", "gpu", "--op", "softmax", "--json"]));
    let checked: Value = serde_json::from_str(&checked).unwrap();
    let checked = checked["cases"].as_array().unwrap().iter().map(|case| case["case"].as_str().unwrap());
    assert_eq!(listed, (1..).zip(checked).collect::<Vec<_>>());

    let report = json(&["shader", "softmax"]);
    assert_eq!((&report["op"], report["cases"].as_array().unwrap().len()), (&"softmax".into(), listed.len()));
}

#[test]
fn the_wgsl_of_a_case_is_valid_and_every_part_has_its_file() {
    for (op, part) in [
        ("attention/blocked", "attention/blocked/forward.wgsl.j2"),
        ("matmul", "matmul/few_rows.wgsl.j2"),
        ("fill", "fill.wgsl"),
    ] {
        // One dispatch is one module.
        let args = ["shader", op, "--case", "1", "--dispatch", "1", "--device", "webgpu-default"];
        let report = json(&args);
        let dispatch = &report["dispatches"][0];
        let wgsl = dispatch["wgsl"].as_str().unwrap();
        naga::front::wgsl::parse_str(wgsl).unwrap_or_else(|error| panic!("{op}: {error}"));
        let parts = dispatch["parts"].as_array().unwrap();
        assert_eq!((&parts[0]["wgsl_line"], &parts[0]["file"]), (&1.into(), &"(generated header)".into()));
        assert!(parts.iter().any(|found| found["file"] == part), "{op}: {parts:?}");

        // As text, each line stands behind the last part's comment.
        let text = assert_passes(&run_without_adapters(&args));
        for found in parts {
            let line = wgsl.lines().nth(found["wgsl_line"].as_u64().unwrap() as usize - 1).unwrap();
            let comment = format!("// {}:{}\n{line}\n", found["file"].as_str().unwrap(), found["line"]);
            assert!(text.contains(&comment), "{op}: `{comment}` is not in:\n{text}");
        }
        naga::front::wgsl::parse_str(&text).unwrap_or_else(|error| panic!("{op}: {error}"));
        let binding = &dispatch["bindings"][0];
        assert!(wgsl.contains(&format!(" {}: ", binding["name"].as_str().unwrap())), "{binding}");
    }
}

#[test]
fn one_dispatch_of_several_and_cases_that_run_nothing() {
    // Of an aligned case of the global norm, sums of parts and their sum.
    let all = json(&["shader", "optimizer/global_norm", "--case", "1", "--device", "webgpu-default"]);
    let all = all["dispatches"].as_array().unwrap();
    assert!(all.len() > 1, "{all:?}");
    let one =
        ["shader", "optimizer/global_norm", "--case", "1", "--device", "webgpu-default", "--dispatch", "2"];
    assert_eq!(json(&one)["dispatches"].as_array().unwrap()[..], all[1..2]);

    let view = ["shader", "reshape", "--case", "1", "--device", "webgpu-default"];
    assert!(assert_passes(&run_without_adapters(&view)).contains("// Nothing runs: "));
    let none = assert_refuses_with(&[&view[..], &["--dispatch", "1"]].concat());
    assert!(none.contains("shader: --dispatch: expected none: nothing runs, found 1"), "{none}");
}

fn assert_refuses_with(args: &[&str]) -> String {
    let output = run_without_adapters(args);
    assert_refuses(&output, &[]);
    crate::invoke::stderr(&output)
}

#[test]
fn an_adapter_decides_which_kernels_are_shown() {
    let text = assert_passes(&run(&["shader", "matmul", "--case", "1", "--device", "gpu"]));
    let info: Value = serde_json::from_str(&assert_passes(&run(&["info", "--json"]))).unwrap();
    let on = info["adapters"].as_array().unwrap().iter().map(|adapter| {
        format!("\n// on {} ({})\n", adapter["name"].as_str().unwrap(), adapter["kind"].as_str().unwrap())
    });
    assert!(on.into_iter().any(|on| text.contains(&on)), "{text}");
    let refused = |args: &[&str], parts: &[&str]| assert_refuses(&run_without_adapters(args), parts);
    refused(&["shader", "matmul", "--case", "1", "--device", "gpu"], &["found no adapter"]);
    refused(
        &["shader", "matmul", "--case", "1", "--device", "cpu"],
        &["shader: --device: expected an adapter", "webgpu-default", "found cpu"],
    );
}

#[test]
fn what_is_not_there_is_refused_with_the_nearest() {
    let refused = |args: &[&str], parts: &[&str]| assert_refuses(&run_without_adapters(args), parts);
    refused(&["shader"], &[]);
    refused(&["shader", "atention/blocked"], &["shader: OP: expected", "the nearest is `attention/blocked`"]);
    for case in ["0", "100000"] {
        refused(
            &["shader", "fill", "--case", case],
            &["shader: --case: expected 1 to ", case, "`foveate shader fill` lists them"],
        );
    }
    refused(&["shader", "fill", "--dispatch", "1"], &["required arguments"]);
    let fill = ["shader", "fill", "--case", "1", "--device", "webgpu-default", "--dispatch"];
    refused(&[&fill[..], &["2"]].concat(), &["shader: --dispatch: expected 1 to 1, found 2"]);
}
