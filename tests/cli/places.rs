//! Where results go: one path for two outputs, an output that is read, and stdout under other names.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::Dtype;
use serde_json::Value;

use crate::fine_tune::bert;
use crate::invoke::{assert_passes, assert_refuses, run, scratch};
use crate::{activations, small_activations};

/// A new folder, and the path of a name there.
fn workplace(name: &str) -> (PathBuf, impl Fn(&str) -> String) {
    let folder = scratch(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let at = folder.clone();
    (folder, move |name: &str| at.join(name).display().to_string())
}

/// The arguments of an attention without any error.
fn attend(folder: &Path) -> Vec<String> {
    let name = format!("{}.safetensors", folder.file_name().unwrap().display());
    let shape: &[usize] = &[1, 4, 1, 4];
    let tensors = activations(&name, &["q", "k", "v"].map(|name| (name, Dtype::F32, shape)));
    let rule = folder.join("rule.json");
    fs::write(&rule, r#"{"version": 1, "mask": "causal"}"#).unwrap();
    let rule = rule.display().to_string();
    ["attend", "--rule", &rule, "--tensors", &tensors, "--device", "cpu"].map(str::to_owned).to_vec()
}

#[test]
fn one_path_for_two_outputs_or_for_one_and_an_input_is_refused() {
    let folder = scratch("outputs-same");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("below")).unwrap();
    let path = |name: &str| folder.join(name).display().to_string();
    let model = bert(&folder.join("bert"));
    let small = small_activations("outputs-same.safetensors");
    fs::write(folder.join("texts"), "good\n").unwrap();
    let refused = |args: &[&str], parts: &[&str]| assert_refuses(&run(args), parts);
    let bench = ["bench", "--device", "cpu", "--activations", &small, "--lengths", "8", "--repeats", "1"];
    for (one, other) in [("a", "a"), ("a", "below/../a"), ("below/a", "./below/a")] {
        let (one, other) = (path(one), path(other));
        refused(
            &[&bench[..], &["--json", &one, "--csv", &other]].concat(),
            &["bench: --json and --csv: expected a file for each", "for both"],
        );
        refused(&[&bench[..], &["--csv", &one, "--plot", &other]].concat(), &["bench: --csv and --plot: "]);
        refused(
            &[&bench[..], &["--json", &one, "--pipeline-cache", &other]].concat(),
            &["bench: --json and --pipeline-cache: "],
        );
        let run = ["run", &model, "--text", "good", "--device", "cpu"];
        let (one, other) = (format!("{one}.npy"), format!("{other}.npy"));
        refused(&[&run[..], &["--json", &one, "--output", &other]].concat(), &["run: --json and --output: "]);
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("a", folder.join("link")).unwrap();
        let (file, link) = (path("a"), path("link"));
        refused(&[&bench[..], &["--json", &file, "--csv", &link]].concat(), &["bench: --json and --csv: "]);
        refused(
            &[&bench[..], &["--json", "/dev/stdout", "--csv", "-"]].concat(),
            &["bench: --json and --csv: ", "`-` for both"],
        );
        // By another name for it, it is a document in place of the table.
        let report = assert_passes(&run(&[&bench[..], &["--json", "/dev/stdout"]].concat()));
        serde_json::from_str::<serde_json::Value>(&report).unwrap();
    }
    refused(
        &[&bench[..], &["--json", &small]].concat(),
        &["bench: --json ", "expected another file than that of --activations, found the same"],
    );
    refused(
        &["run", &model, "--input", &path("texts"), "--device", "cpu", "--json", &path("below/../texts")],
        &["run: --json ", "another file than that of --input"],
    );
    assert!(!folder.join("a").exists() && !folder.join("below/a").exists());
}

#[test]
fn no_command_replaces_a_file_that_it_reads() {
    let (folder, path) = workplace("places-read");
    let model = bert(&folder.join("bert"));
    let mechanism = r#"{"window": {"left": 2, "right": 2}}"#;
    let contents = [("profile", "as it was"), ("mechanism", mechanism), ("texts", "good")];
    for (name, text) in contents {
        fs::write(folder.join(name), text).unwrap();
    }
    let (profile, mechanism, texts) = (path("profile"), path("mechanism"), path("texts"));
    let (own_config, own_weights) = (path("bert/config.json"), path("bert/model.safetensors"));
    let at_mechanism = format!("@{mechanism}");
    let attend = attend(&folder);
    let attend: Vec<&str> = attend.iter().map(String::as_str).collect();
    let bert = ["run", &model, "--device", "cpu"];
    let refused = |command: &[&str], read: &[&str], written: &[&str]| {
        let output = run(&[command, read, written].concat());
        let expected = format!("{} ", written[0]);
        assert_refuses(&output, &[command[0], &expected, "another file than that of ", "found the same"]);
    };
    let with_profile = ["--profile", &profile];
    let to_profile = ["--json", &profile];
    refused(&["info"], &with_profile, &to_profile);
    refused(&["check", "--op", "fill", "--device", "gpu"], &with_profile, &to_profile);
    refused(&["shader", "fill"], &with_profile, &to_profile);
    refused(&["bench"], &with_profile, &["--csv", &profile]);
    refused(&attend, &with_profile, &["--out", &profile]);
    refused(&attend, &[], &["--json", attend[2]]);
    refused(&attend, &[], &["--out", attend[4]]);
    refused(&bert, &["--input", &texts], &["--json", &texts]);
    refused(&[&bert[..], &with_profile].concat(), &["--text", "good"], &to_profile);
    refused(
        &[&bert[..], &["--attention", &at_mechanism]].concat(),
        &["--text", "good"],
        &["--json", &mechanism],
    );
    refused(&bert, &["--text", "good"], &["--json", &own_config]);
    refused(&bert, &["--text", "good"], &["--output", &own_weights]);
    refused(&["inspect", &model], &[], &["--json", &own_config]);
    for (name, text) in contents {
        assert_eq!(fs::read_to_string(folder.join(name)).unwrap(), text);
    }
    // A text that is what a training writes.
    fs::create_dir(folder.join("out")).unwrap();
    fs::write(folder.join("out/loss.csv"), "the text ".repeat(100)).unwrap();
    let trained = run(&["train", "lm", &path("out/loss.csv"), "--out", &path("out"), "--steps", "1"]);
    assert_refuses(&trained, &["train: --out: ", "other than the text", "loss.csv, which is both"]);
    assert_eq!(fs::read_dir(folder.join("out")).unwrap().count(), 1);
    assert_passes(&run(&[&bert[..], &["--text", "good", "--json", &path("bert/report.json")]].concat()));
}

#[test]
#[cfg(unix)]
fn what_is_read_is_compared_with_what_is_written_without_being_opened() {
    let (_, path) = workplace("places-pipe");
    let pipe = path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Whoever opens the pipe waits for its other end.
    let small = small_activations("places-pipe.safetensors");
    let bench = ["bench", "--activations", &small, "--profile", &pipe, "--json", &path("a.json")];
    assert_refuses(&run(&bench), &["--profile", "a pipe"]);
}

#[test]
#[cfg(unix)]
fn a_result_on_stdout_by_any_name_is_nothing_but_the_result() {
    let (folder, path) = workplace("places-stdout");
    let attend = attend(&folder);
    let attend: Vec<&str> = attend.iter().map(String::as_str).collect();
    let output = run(&[&attend[..], &["--out", "/dev/stdout"]].concat());
    assert_eq!(output.status.code(), Some(0));
    let results = safetensors::SafeTensors::deserialize(&output.stdout).unwrap();
    assert_eq!(results.tensor("out").unwrap().shape(), [1, 4, 1, 4]);
    let tune = ["tune", "--device", "gpu", "--budget", "0.001", "--out", "/dev/stdout"];
    let report = path("report.json");
    let profile = assert_passes(&run(&[&tune[..], &["--json", &report]].concat()));
    assert!(serde_json::from_str::<Value>(&profile).unwrap()["measured"].is_array(), "{profile}");
    assert!(fs::read_to_string(report).unwrap().contains("settings"));
}
