//! Every command that writes: killed, on a full disk, two at once, and with nobody to read stdout or stderr.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use foveate::weights::Checkpoint;
use safetensors::tensor::Dtype;

use crate::fine_tune::{bert, csv, sentences};
use crate::invoke::{assert_passes, assert_refuses, scratch, stderr, stdout};
use crate::{activations, small_activations};

/// A command that writes.
struct Writing {
    name: &'static str,
    /// The command, in a folder of its own.
    arguments: fn(&Path) -> Vec<String>,
    /// A part of what it prints at its end, wherever its files go.
    shown: &'static str,
    /// What it writes below `out` there.
    files: &'static [&'static str],
    /// Whether a second one at the same place is refused, as it would go on from what the first one writes.
    is_exclusive: bool,
    /// Whether it writes where nothing is yet, and nowhere else.
    is_new: bool,
}

const WRITING: [Writing; 6] = [
    Writing {
        name: "run",
        arguments: |folder| {
            let model = bert(&folder.join("bert"));
            let flags =
                ["--text", "good", "--device", "cpu", "--json", "out/a.json", "--output", "out/a.npy"];
            words(&[&["run", &model], &flags[..]].concat())
        },
        shown: "embed by ",
        files: &["a.json", "a.npy"],
        is_exclusive: false,
        is_new: false,
    },
    Writing {
        name: "attend",
        arguments: |folder| {
            let name = format!("outputs-{}.safetensors", folder.file_name().unwrap().display());
            let shape: &[usize] = &[1, 4, 1, 4];
            let qkv = activations(&name, &["q", "k", "v"].map(|name| (name, Dtype::F32, shape)));
            fs::write(folder.join("rule.json"), r#"{"version": 1, "mask": "causal"}"#).unwrap();
            let flags = ["--device", "cpu", "--out", "out/a.safetensors"];
            words(&[&["attend", "--rule", "rule.json", "--tensors", &qkv], &flags[..]].concat())
        },
        shown: "one run: ",
        files: &["a.safetensors"],
        is_exclusive: false,
        is_new: false,
    },
    Writing {
        name: "bench",
        arguments: |folder| {
            let name = format!("outputs-{}.safetensors", folder.file_name().unwrap().display());
            let small = ["--activations", &small_activations(&name), "--lengths", "8", "--repeats", "1"];
            let flags = ["--device", "gpu", "--methods", "blocked-full", "--no-headline"];
            let files = ["--json", "out/a.json", "--csv", "out/a.csv", "--plot", "out/a.svg"];
            let cache = ["--pipeline-cache", "out/a.cache"];
            words(&[&["bench"], &small[..], &flags, &files, &cache].concat())
        },
        shown: "| blocked-full",
        files: &["a.json", "a.csv", "a.svg", "a.cache"],
        is_exclusive: false,
        is_new: false,
    },
    Writing {
        name: "tune",
        arguments: |_| words(&["tune", "--device", "gpu", "--budget", "0.001", "--out", "out/a.json"]),
        shown: "| setting",
        files: &["a.json"],
        is_exclusive: false,
        is_new: false,
    },
    Writing {
        name: "train lm",
        arguments: |folder| {
            fs::write(folder.join("text"), "the quick brown fox jumps over the lazy dog; ".repeat(100))
                .unwrap();
            let size = ["--width", "8", "--depth", "1", "--heads", "1", "--length", "16", "--batch", "2"];
            let flags = ["--device", "cpu", "--steps", "3", "--evaluate-every", "1"];
            words(&[&["train", "lm", "text", "--out", "out"], &size[..], &flags].concat())
        },
        shown: "step      3",
        files: &["checkpoint.safetensors", "loss.csv", "loss.svg"],
        is_exclusive: true,
        is_new: true,
    },
    Writing {
        name: "train classify",
        arguments: |folder| {
            let (model, data) = (bert(&folder.join("bert")), csv(&folder.join("data.csv"), &sentences(40)));
            let flags = ["--device", "cpu", "--epochs", "1", "--out", "out"];
            words(&[&["train", "classify", &model, &data], &flags[..]].concat())
        },
        shown: "epoch 1/1",
        files: &["config.json", "model.safetensors", "vocab.txt"],
        is_exclusive: true,
        is_new: true,
    },
];

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A command at work in a new folder.
struct Place {
    folder: PathBuf,
    arguments: Vec<String>,
    writing: &'static Writing,
}

impl Place {
    fn new(test: &str, writing: &'static Writing) -> Self {
        let folder = scratch(&format!("outputs-{test}-{}", writing.name.replace(' ', "-")));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let arguments = (writing.arguments)(&folder);
        if !writing.is_new {
            fs::create_dir(folder.join("out")).unwrap();
        }
        Self { folder, arguments, writing }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
        command.args(&self.arguments).current_dir(&self.folder);
        command
    }

    /// By a shell, behind what it is told first: `redirection` after it.
    fn shell(&self, before: &str, redirection: &str) -> Command {
        let mut command = Command::new("sh");
        let script = format!(r#"{before} exec "$0" "$@" {redirection}"#);
        command.args(["-c", &script, env!("CARGO_BIN_EXE_foveate")]).args(&self.arguments);
        command.current_dir(&self.folder);
        command
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.join("out").join(file)
    }

    /// Old contents in all files that may be there before.
    fn fill(&self) {
        if !self.writing.is_new {
            // A cache is read first.
            let files = self.writing.files.iter().filter(|file| !file.ends_with(".cache"));
            files.for_each(|file| fs::write(self.path(file), "old").unwrap());
        }
    }

    /// All that is written, and nothing else, is there and whole.
    #[track_caller]
    fn assert_whole(&self) {
        self.writing.files.iter().for_each(|file| self.assert_file(file));
        self.assert_nothing_else();
    }

    #[track_caller]
    fn assert_file(&self, file: &str) {
        let bytes = fs::read(self.path(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let text = || String::from_utf8(bytes.clone()).unwrap();
        match file.rsplit('.').next().unwrap() {
            "json" => drop(serde_json::from_str::<serde_json::Value>(&text()).unwrap()),
            "csv" => assert!(csv::Reader::from_reader(&bytes[..]).records().map(Result::unwrap).count() > 0),
            "svg" => assert!(text().trim_end().ends_with("</svg>"), "{file}"),
            "safetensors" => drop(Checkpoint::open(self.path(file)).unwrap()),
            "npy" => {
                assert!(bytes.starts_with(b"\x93NUMPY") && bytes.len() == 128 + 4 * 32, "{}", bytes.len())
            }
            _ => assert!(!bytes.is_empty(), "{file}"),
        }
    }

    #[track_caller]
    fn assert_nothing_else(&self) {
        for folder in [&self.folder, &self.folder.join("out")] {
            let Ok(entries) = fs::read_dir(folder) else { continue };
            for entry in entries {
                let name = entry.unwrap().file_name();
                assert!(!name.display().to_string().ends_with(".unfinished"), "{}", name.display());
            }
        }
    }
}

/// Every file is as it was or whole.
#[track_caller]
fn assert_old_or_whole(place: &Place) {
    for file in place.writing.files {
        let path = place.path(file);
        if !path.exists() || fs::read(&path).is_ok_and(|bytes| bytes == b"old") {
            continue;
        }
        place.assert_file(file);
    }
}

#[test]
fn a_kill_leaves_every_file_as_it_was_or_whole() {
    for writing in &WRITING {
        let place = Place::new("kill", writing);
        place.fill();
        let start = Instant::now();
        let mut child = place.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        child.wait().unwrap();
        let whole = start.elapsed();
        for part in 0..4 {
            let place = Place::new("kill", writing);
            place.fill();
            let mut child = place.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            // Most of them near the end, where it writes.
            std::thread::sleep(whole.mul_f64(1.0 - 0.12 * f64::from(part)));
            let _ = child.kill();
            child.wait().unwrap();
            assert_old_or_whole(&place);
            // Nothing that it left is in the way of the next one.
            let mut again = place.command();
            if writing.name == "train lm" && place.path("checkpoint.safetensors").exists() {
                again.arg("--resume");
            }
            if writing.name == "train classify" && place.path("config.json").exists() {
                continue;
            }
            assert_passes(&again.output().unwrap());
            place.assert_whole();
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_leaves_every_file_as_it_was() {
    for writing in &WRITING {
        let place = Place::new("full", writing);
        place.fill();
        // No file may have any bytes: writing fails as it does on a full disk, but for the name of the error.
        let output = place.shell("trap '' XFSZ; ulimit -f 0;", "").output().unwrap();
        assert_refuses(&output, &["found File too large"]);
        // What was computed is not lost with the file.
        let shown = stdout(&output);
        assert!(shown.contains(writing.shown), "{}: `{}` is not in: {shown}", writing.name, writing.shown);
        assert!(!shown.contains("written to"), "{shown}");
        for file in writing.files {
            let found = fs::read(place.path(file));
            assert!(found.is_err() || found.is_ok_and(|bytes| bytes == b"old"), "{}: {file}", writing.name);
        }
        place.assert_nothing_else();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn nobody_needs_to_read_what_commands_say() {
    for writing in &WRITING {
        // Nobody reads stdout: quietly, and a training is saved.
        let place = Place::new("closed", writing);
        let mut child = place.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(141), "{}: {told}", writing.name);
        assert!(!told.contains("panicked") && !told.contains("error: output"), "{told}");
        // The first look at the validation part, which is printed, comes before there is anything to write.
        if writing.name != "train classify" {
            place.assert_whole();
        }
        place.assert_nothing_else();

        // Stderr has no place left, or is closed.
        for redirection in ["2>/dev/full", "2>&-"] {
            let place = Place::new("stderr", writing);
            assert_passes(&place.shell("", redirection).output().unwrap());
            place.assert_whole();
        }
        // Stdout has no place left: a sentence.
        let place = Place::new("stdout", writing);
        let output = place.shell("", ">/dev/full").output().unwrap();
        assert_refuses(&output, &["output: stdout: No space left on device"]);
        if writing.name != "train classify" {
            place.assert_whole();
        }
        // Stdout is closed from the start, which the system makes nothing of.
        let place = Place::new("none", writing);
        assert_passes(&place.shell("", ">&-").output().unwrap());
        place.assert_whole();
    }
    for arguments in [&["--help"][..], &["info", "--json"], &["inspect", "--help"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_foveate"));
        let mut child = child.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(141), "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
    }
}

#[test]
fn two_at_once_leave_what_one_of_them_wrote_or_one_is_refused() {
    for writing in &WRITING {
        let place = Place::new("two", writing);
        place.fill();
        let start = || place.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let children = [start(), start()];
        let outputs = children.map(|child| child.wait_with_output().unwrap());
        let passed = outputs.iter().filter(|output| output.status.success()).count();
        if writing.is_exclusive {
            assert_eq!(passed, 1, "{}: {}{}", writing.name, stderr(&outputs[0]), stderr(&outputs[1]));
            let refused = outputs.iter().find(|output| !output.status.success()).unwrap();
            assert_refuses(refused, &["train: --out: expected "]);
        } else {
            assert_eq!(passed, 2, "{}: {}{}", writing.name, stderr(&outputs[0]), stderr(&outputs[1]));
        }
        place.assert_whole();
    }
}

/// A training that would go on for long, once it has printed its first line.
fn long_training(place: &Place) -> std::process::Child {
    let mut child = place
        .command()
        .args(["--steps", "1000000", "--save-every", "1000000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 8];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    child
}

/// The training of the table, without the number of its steps.
fn training(test: &str) -> Place {
    let mut place = Place::new(test, WRITING.iter().find(|writing| writing.name == "train lm").unwrap());
    let at = place.arguments.iter().position(|word| word == "--steps").unwrap();
    place.arguments.drain(at..at + 2);
    place
}

#[test]
fn a_folder_in_use_is_refused_by_every_name_and_free_when_its_process_is_gone() {
    let place = training("locked");
    let mut child = long_training(&place);
    let refused = |out: &str| {
        let mut place = training("locked-other");
        place.folder.clone_from(&training_folder());
        let at = place.arguments.iter().position(|word| word == "out").unwrap();
        place.arguments[at] = out.to_owned();
        let output = place.command().args(["--steps", "1"]).output().unwrap();
        assert_refuses(
            &output,
            &["train: --out: expected a folder that no other process writes to", "in use by another"],
        );
    };
    fn training_folder() -> PathBuf {
        scratch("outputs-locked-train-lm")
    }
    refused("out");
    refused("./out/../out");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("out", place.folder.join("link")).unwrap();
        refused("link");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_passes(&place.command().args(["--steps", "1"]).output().unwrap());
    place.assert_whole();
}

#[test]
#[cfg(unix)]
fn a_training_is_saved_whoever_ends_it() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let place = training("signal");
        let mut child = long_training(&place);
        // A terminal that hangs up takes stdout and stderr with it.
        if signal == "-HUP" {
            drop((child.stdout.take(), child.stderr.take()));
        }
        let told = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(told.success());
        let output = child.wait_with_output().unwrap();
        // What is printed of the last step may find nobody.
        let expected = if signal == "-HUP" { &[0, 141][..] } else { &[0] };
        assert!(expected.contains(&output.status.code().unwrap_or(-1)), "{signal}: {}", stderr(&output));
        place.assert_whole();
        let mut resumed = place.command();
        assert_passes(&resumed.args(["--resume", "--steps", "1"]).output().unwrap());
    }
    // The system and the shell both tell of a terminal.
    let place = training("twice");
    let mut child = long_training(&place);
    for signal in ["-HUP", "-HUP", "-TERM"] {
        Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    }
    drop(child.stdout.take());
    assert!([0, 141].contains(&child.wait().unwrap().code().unwrap()));
    place.assert_whole();
    // Nobody reads on.
    let place = training("unread");
    let mut child = long_training(&place);
    drop(child.stdout.take());
    let start = Instant::now();
    let status = child.wait().unwrap();
    assert!(start.elapsed() < Duration::from_secs(60), "it went on");
    assert_eq!(status.code(), Some(141));
    place.assert_whole();
}

#[test]
#[cfg(target_os = "linux")]
fn a_signal_that_a_training_was_started_to_ignore_stays_ignored() {
    let mut place = training("nohup");
    place.arguments.extend(words(&["--steps", "1000000", "--save-every", "1000000"]));
    let mut child =
        place.shell("trap '' HUP;", "").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut line = [0; 8];
    stdout.read_exact(&mut line).unwrap();
    let tell = |signal: &str| {
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    };
    tell("-HUP");
    // It goes on: no more than a line or two of these can have been there before.
    let mut more = [0; 2048];
    stdout.read_exact(&mut more).unwrap();
    tell("-TERM");
    let _ = std::io::copy(&mut stdout, &mut std::io::sink());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    place.assert_whole();
}
