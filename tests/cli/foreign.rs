//! Folders as other programs write them: prompts, names of tensors, formats that are not read.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::Value;

use crate::invoke::{assert_passes, assert_refuses, run, scratch, stderr};

/// A copy of the RoBERTa fixture, with its tensors under the names that `rename` gives them; those without one are left out.
fn copied(name: &str, rename: impl Fn(&str) -> Vec<String>) -> (PathBuf, String) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints/roberta-sapiens");
    let folder = scratch(&format!("foreign-{name}"));
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    for file in ["config.json", "vocab.txt"] {
        fs::copy(from.join(file), folder.join(file)).unwrap();
    }
    let bytes = fs::read(from.join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut views: HashMap<String, TensorView<'_>> = HashMap::new();
    for (name, view) in file.tensors() {
        for name in rename(&name) {
            views.insert(name, TensorView::new(view.dtype(), view.shape().to_vec(), view.data()).unwrap());
        }
    }
    fs::write(folder.join("model.safetensors"), safetensors::serialize(&views, None).unwrap()).unwrap();
    let shown = folder.display().to_string();
    (folder, shown)
}

fn same(name: &str) -> Vec<String> {
    vec![name.to_owned()]
}

fn json(args: &[&str]) -> Value {
    let flags = ["--device", "cpu", "--json", "-"];
    serde_json::from_str(&assert_passes(&run(&[&["run"], args, &flags[..]].concat()))).unwrap()
}

#[test]
fn a_prompt_is_put_before_each_text() {
    let (folder, shown) = copied("prompt", same);
    let modules = r#"[{"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]"#;
    fs::write(folder.join("modules.json"), modules).unwrap();
    let prompts = r#"{"prompts": {"query": "QV", "passage": "LK"}, "default_prompt_name": "query"}"#;
    let text = |flags: &[&str]| json(&[&[&shown, "--text", "ACDE"], flags].concat());
    let plain = text(&[]);
    fs::write(folder.join("config_sentence_transformers.json"), prompts).unwrap();
    let embedded = |report: &Value| report["results"][0]["embedding"].clone();
    let written = json(&[&shown, "--text", "QVACDE", "--prompt", "document"]);
    let by_default = text(&[]);
    assert_eq!(embedded(&by_default), embedded(&written));
    assert_eq!((&by_default["prompt"], &by_default["results"][0]["text"]), (&"QV".into(), &"ACDE".into()));
    assert_eq!(embedded(&text(&["--prompt", "document"])), embedded(&plain));
    let passage = json(&[&shown, "--text", "LKACDE", "--prompt", "document"]);
    assert_eq!(embedded(&text(&["--prompt", "passage"])), embedded(&passage));
    assert_eq!(plain.get("prompt"), None);
    // Ids are taken as they are.
    let ids = json(&[&shown, "--ids", "0 4 5 6 7 2"]);
    assert_eq!(embedded(&ids), embedded(&plain));

    let refused = |flags: &[&str], parts: &[&str]| {
        let args = [&["run", &shown, "--device", "cpu", "--text", "ACDE"], flags].concat();
        assert_refuses(&run(&args), parts);
    };
    refused(&["--prompt", "nothing"], &["prompt", "one of query, document, passage", "`nothing`"]);
    refused(&["--prompt", "query", "--task", "hidden"], &["--prompt", "embed", "hidden"]);
    fs::write(folder.join("config_sentence_transformers.json"), r#"{"default_prompt_name": "x"}"#).unwrap();
    refused(&[], &["config_sentence_transformers.json", "default_prompt_name", "`x`"]);
}

#[test]
fn a_head_s_bias_has_either_name_or_both() {
    let fill = |shown: &str| json(&[shown, "--task", "fill-mask", "--text", "AC<mask>DE"])["results"].clone();
    let renamed = |name: &str, names: &[&str]| {
        copied(name, |tensor| match tensor {
            "lm_head.bias" => names.iter().map(|name| (*name).to_owned()).collect(),
            other => same(other),
        })
    };
    let (own, decoder) = ("lm_head.bias", "lm_head.decoder.bias");
    let expected = fill(&renamed("own-bias", &[own]).1);
    assert_eq!(fill(&renamed("decoder-bias", &[decoder]).1), expected);
    assert_eq!(fill(&renamed("both-biases", &[own, decoder]).1), expected);
    let (_, shown) = renamed("no-bias", &[]);
    let output = run(&["run", &shown, "--device", "cpu", "--task", "fill-mask", "--text", "AC<mask>DE"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("missing lm_head.bias (or lm_head.decoder.bias)"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_prefix_of_all_names_is_named() {
    for (prefix, writer) in [
        ("module.", "torch.nn.DataParallel"),
        ("_orig_mod.", "torch.compile"),
        ("encoder.model.", "take it off"),
    ] {
        let (_, shown) = copied("prefix", |name| vec![format!("{prefix}{name}")]);
        for command in ["run", "inspect"] {
            let args: &[&str] = if command == "run" { &["--device", "cpu", "--ids", "0 2"] } else { &[] };
            let output = run(&[&[command, &shown], args].concat());
            assert_eq!(output.status.code(), Some(2), "{command}");
            let shown = stderr(&output);
            let names = format!("`{prefix}roberta.` before their names");
            assert!(shown.contains(&names) && shown.contains(writer), "{command}: {shown}");
        }
    }
}

#[test]
fn formats_that_are_not_read_are_named_with_what_converts_them() {
    let (folder, shown) = copied("pickle", same);
    fs::remove_file(folder.join("model.safetensors")).unwrap();
    for (file, parts) in [
        ("tf_model.h5", &["save_pretrained"][..]),
        ("pytorch_model.bin.index.json", &["save_pretrained"]),
        ("pytorch_model.bin", &["a pickle", "python -c", "weights_only=True", "model.safetensors"]),
    ] {
        fs::write(folder.join(file), "x").unwrap();
        assert_refuses(
            &run(&["run", &shown, "--device", "cpu", "--ids", "0 2"]),
            &[&[shown.as_str(), file], parts].concat(),
        );
        fs::remove_file(folder.join(file)).unwrap();
    }
}
