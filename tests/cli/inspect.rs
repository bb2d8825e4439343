//! `inspect` on a small trained model, whole and with what is wrong in folders.

use serde_json::json;

use crate::invoke::{assert_passes, assert_refuses, run};
use crate::models::{ALBERT, QUERY, ROBERTA, copied, fixture, json, replace};

#[test]
fn inspect_tells_what_a_model_needs_and_has() {
    let folder = fixture(ALBERT);
    let text = assert_passes(&run(&["inspect", &folder]));
    for part in
        ["albert, 12 layers of 256 channels", "30 F32", "greedy longest match, 591", "weights       complete"]
    {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    let inspect =
        ["inspect", &folder, "--task", "fill-mask", "--json", "--batch-tokens", "64", "--count", "2"];
    let report = json(&assert_passes(&run(&inspect)));
    // Twelve layers share one set of weights.
    assert_eq!(
        report["weights"],
        json!({
            "tensors": 28, "parameters": 735_567, "f32_bytes": 2_942_268, "f16_bytes": report["weights"]["f16_bytes"],
        })
    );
    assert_eq!(report["file"]["dtypes"], json!({"F32": 30}));
    assert_eq!(report["complete"], true);
    let memory = &report["memory"][0];
    assert_eq!(memory["parameters"], report["weights"]["f32_bytes"]);
    // Scores of the two rows that masks are at.
    assert_eq!(memory["outputs"], 2 * 591 * 4);
    assert!(report["memory"][1]["working"].as_u64() < memory["working"].as_u64());
    assert!(memory["beyond_webgpu_defaults"].is_null());
    let large = ["inspect", &folder, "--json", "--batch-tokens", "1048576"];
    let large = json(&assert_passes(&run(&large)));
    assert!(large["memory"][0]["beyond_webgpu_defaults"].as_str().unwrap().contains("one storage binding"));
}

#[test]
fn inspect_lists_everything_that_does_not_fit() {
    let (folder, shown) = copied(ROBERTA, "inspect-differences");
    replace(&folder, QUERY, Some(("roberta.stray", &[128, 128])));
    let bias = "roberta.encoder.layer.1.output.dense.bias";
    replace(&folder, bias, Some((bias, &[2, 64])));
    let output = run(&["inspect", &shown]);
    assert_refuses(
        &output,
        &[&shown, "tensors: expected what", "found 1 missing, 1 unexpected, 1 misshapen"],
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let misshapen = format!("misshapen {bias}: expected [128], found [2, 64]");
    for part in ["incomplete", &format!("missing {QUERY}"), "unexpected roberta.stray", &misshapen] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    let output = run(&["inspect", &shown, "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let report = json(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(report["differences"]["missing"], json!([QUERY]));
    assert_eq!(report["complete"], false);
}

#[test]
fn inspect_without_weights_still_shows_the_architecture() {
    let (folder, shown) = copied(ROBERTA, "inspect-no-weights");
    std::fs::remove_file(folder.join("model.safetensors")).unwrap();
    std::fs::write(folder.join("vocab.txt"), "").unwrap();
    let output = run(&["inspect", &shown]);
    assert_refuses(&output, &[&shown, "expected model.safetensors.index.json or model.safetensors in it"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["roberta, 4 layers", "nothing that can be read", "ids only", "vocab.txt", "incomplete"] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    assert_refuses(&run(&["inspect", "/nonexistent"]), &["/nonexistent/config.json"]);
}

#[test]
fn inspect_with_a_damaged_pooling_file_still_compares_the_weights() {
    let (folder, shown) = copied(ROBERTA, "inspect-pooling");
    std::fs::write(folder.join("modules.json"), "[").unwrap();
    let output = run(&["inspect", &shown]);
    assert_refuses(&output, &[&shown, "modules.json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("weights       complete") && !text.contains("the mean of all tokens"), "{text}");
}
