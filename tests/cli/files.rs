//! Every file that a command reads is a regular one of a size that is stated: pipes do not block, devices do not fill memory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::fine_tune::{bert, csv, sentences};
use crate::folders::{empty, lettered};
use crate::invoke::{assert_passes, run};

/// A path at which a test puts what is no regular file.
const PLACE: &str = "PLACE";

/// Commands with one file each, `PLACE.ext`, or a folder `FOLDER` of which one file is replaced.
const COMMANDS: &[&[&str]] = &[
    &["run", "BERT", "--task", "hidden", "--input", "PLACE.txt"],
    &["run", "BERT", "--task", "hidden", "--ids", "2 3", "--profile", "PLACE.json"],
    &["run", "BERT", "--task", "hidden", "--ids", "2 3", "--device", "gpu", "--pipeline-cache", "PLACE.bin"],
    &["attend", "--rule", "PLACE.json", "--tensors", "TENSORS"],
    &["attend", "--rule", "RULE", "--tensors", "PLACE.safetensors"],
    &["bench", "--activations", "PLACE.safetensors"],
    &["bench", "--profile", "PLACE.json"],
    &["bench", "--device", "gpu", "--pipeline-cache", "PLACE.bin"],
    &["check", "--op", "fill", "--profile", "PLACE.json"],
    &["info", "--profile", "PLACE.json"],
    &["generate", "PLACE.safetensors", "--prompt", "a"],
    &["train", "lm", "PLACE.txt", "--out", "OUT"],
    &["train", "lm", "GPT2", "PLACE.txt", "--out", "OUT"],
    &["train", "lm", "GPT2", "PLACE.csv", "--out", "OUT"],
    &["train", "classify", "BERT", "PLACE.csv", "--out", "OUT"],
    &["train", "classify", "BERT", "PLACE.tsv", "--out", "OUT"],
    &["train", "classify", "BERT", "PLACE.jsonl", "--out", "OUT"],
    &["train", "classify", "BERT", "DATA", "--out", "OUT", "--validation", "PLACE.csv"],
    &["train", "fill-mask", "BERT", "PLACE.txt", "--out", "OUT"],
];

/// Files of a model's folder, and the commands that read them.
const FOLDER_FILES: [&str; 7] = [
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    MODULES,
];

/// What embeddings alone are made by.
const MODULES: &str = "modules.json";

const FOLDER_COMMANDS: &[&[&str]] = &[
    &["run", "FOLDER", "--task", "hidden", "--text", "the film"],
    &["run", "FOLDER", "--task", "embed", "--text", "the film"],
    &["inspect", "FOLDER"],
];

/// How a command that must end soon ended: its exit code and what it printed.
fn ended(arguments: &[String]) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_foveate"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
            panic!("{arguments:?} still runs");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[track_caller]
fn assert_ends(arguments: &[String], found: &str) {
    let (code, errors) = ended(arguments);
    assert_eq!(code, Some(2), "{arguments:?}: {errors}");
    let sentence = errors.lines().rfind(|line| line.starts_with("error: ")).unwrap_or_default();
    assert!(sentence.contains(found), "{arguments:?}: `{found}` is not in: {errors}");
}

/// Puts a device, a pipe or a folder at `path`, and tells what messages call it.
fn put(kind: usize, path: &Path) -> &'static str {
    let _ = fs::remove_file(path);
    let _ = fs::remove_dir(path);
    match kind {
        0 => {
            symlink("/dev/zero", path).unwrap();
            "a device"
        }
        1 => {
            assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
            "a pipe"
        }
        _ => {
            fs::create_dir(path).unwrap();
            "a folder"
        }
    }
}

/// A folder with a model, data and a rule, and `word` of a command with the paths there.
fn workplace(name: &str) -> (std::path::PathBuf, impl Fn(&str) -> String) {
    let folder = empty(name);
    bert(&folder.join("bert"));
    lettered("gpt2", &empty(&format!("{name}/gpt2")));
    csv(&folder.join("data.csv"), &sentences(24));
    fs::write(folder.join("rule.json"), r#"{"version": 1, "mask": "full"}"#).unwrap();
    let at = folder.clone();
    let word = move |word: &str| {
        let path = |name: &str| at.join(name).display().to_string();
        match word {
            "BERT" => path("bert"),
            "GPT2" => path("gpt2"),
            "DATA" => path("data.csv"),
            "RULE" => path("rule.json"),
            "TENSORS" => path("none.safetensors"),
            "OUT" => path("out"),
            "FOLDER" => path("bert"),
            _ if word.starts_with(PLACE) => path(word),
            _ => word.to_owned(),
        }
    };
    (folder, word)
}

#[test]
fn what_is_no_regular_file_is_refused_by_every_command() {
    let (folder, word) = workplace("files-commands");
    for command in COMMANDS {
        let place = command.iter().find(|word| word.starts_with(PLACE)).unwrap();
        let path = folder.join(place);
        let arguments: Vec<String> = command.iter().map(|part| word(part)).collect();
        for kind in 0..3 {
            let found = put(kind, &path);
            // Where a checkpoint is asked for, a folder may hold one.
            if kind < 2 || !(command[0] == "generate" || place.ends_with("safetensors")) {
                assert_ends(&arguments, found);
            }
        }
        fs::remove_dir(&path).unwrap();
        assert!(!folder.join("out").exists(), "{command:?} wrote before it read");
    }
}

#[test]
fn files_of_a_models_folder_are_regular() {
    let (folder, word) = workplace("files-folder");
    let from = folder.join("bert");
    assert_passes(&run(&["run", &word("BERT"), "--task", "hidden", "--text", "the film"]));
    for file in FOLDER_FILES {
        let path = from.join(file);
        let kept = folder.join("kept");
        let existed = fs::rename(&path, &kept).is_ok();
        for kind in 0..2 {
            let found = put(kind, &path);
            for command in
                FOLDER_COMMANDS.iter().filter(|command| file != MODULES || !command.contains(&"hidden"))
            {
                let arguments: Vec<String> = command.iter().map(|part| word(part)).collect();
                let (code, errors) = ended(&arguments);
                // `inspect` goes on without what it cannot read.
                assert!(code == Some(2) || command[0] == "inspect", "{file}: {errors}");
                assert!(errors.contains(found) || command[0] == "inspect", "{file}: {errors}");
            }
        }
        fs::remove_file(&path).unwrap();
        if existed {
            fs::rename(kept, path).unwrap();
        }
    }
}

/// Files without blocks, longer than what their kind may be.
#[test]
fn files_beyond_a_limit_are_refused_by_their_length() {
    let (folder, word) = workplace("files-long");
    let long = |name: &str, bytes: u64| {
        let file = fs::File::create(folder.join(name)).unwrap();
        file.set_len(bytes).unwrap();
    };
    let cases: [(&[&str], &str, u64); 6] = [
        (&["run", "BERT", "--task", "hidden", "--input", "PLACE.txt"], "PLACE.txt", 1 << 30),
        (&["bench", "--profile", "PLACE.json"], "PLACE.json", 4 << 20),
        (&["bench", "--activations", "PLACE.safetensors"], "PLACE.safetensors", 4 << 30),
        (&["attend", "--rule", "PLACE.json", "--tensors", "TENSORS"], "PLACE.json", 16 << 20),
        (&["train", "lm", "PLACE.txt", "--out", "OUT"], "PLACE.txt", 1 << 30),
        (&["train", "classify", "BERT", "PLACE.csv", "--out", "OUT"], "PLACE.csv", 1 << 30),
    ];
    for (command, name, most) in cases {
        long(name, most + 1);
        let arguments: Vec<String> = command.iter().map(|part| word(part)).collect();
        assert_ends(&arguments, &most.to_string());
        fs::remove_file(folder.join(name)).unwrap();
    }
}
