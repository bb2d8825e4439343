//! Every command that writes, and a folder for it to write to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use foveate::weights::Checkpoint;
use safetensors::tensor::Dtype;

use crate::fine_tune::{bert, csv, gpt2, sentences};
use crate::invoke::scratch;
use crate::sample::Sample;
use crate::sequences::{pairs, t5};
use crate::speech::{SMALL, forecaster, recordings, transcriber, waves};
use crate::{activations, small_activations};

/// A command that writes.
pub(crate) struct Writing {
    pub(crate) name: &'static str,
    /// The command, in a folder of its own.
    pub(crate) arguments: fn(&Path) -> Vec<String>,
    /// A part of what it prints at its end, wherever its files go.
    pub(crate) shown: &'static str,
    /// What it writes below `out` there.
    pub(crate) files: &'static [&'static str],
    /// Whether a second one at the same place is refused, as it would go on from what the first one writes.
    pub(crate) is_exclusive: bool,
    /// Whether it writes where nothing is yet, and nowhere else.
    pub(crate) is_new: bool,
    /// Whether it tells of each step, so that without a reader it ends before there is anything to write.
    pub(crate) tells_first: bool,
}

/// A command that writes a file beside what it prints.
const WRITES: Writing = Writing {
    name: "",
    arguments: |_| Vec::new(),
    shown: "",
    files: &["a.json"],
    is_exclusive: false,
    is_new: false,
    tells_first: false,
};

/// A training from scratch, which writes a new folder.
const TRAINS: Writing = Writing { files: &[], is_exclusive: true, is_new: true, ..WRITES };

/// A training of a folder's model for some epochs.
const FINE_TUNES: Writing =
    Writing { files: &["config.json", "model.safetensors", "vocab.txt"], tells_first: true, ..TRAINS };

/// Every how many commands a sample has one: all of them take minutes.
const PERIOD: u64 = 4;

/// The commands of [`WRITING`] whose day it is; `FOVEATE_SAMPLE=all` takes every one.
pub(crate) fn sampled() -> impl Iterator<Item = &'static Writing> {
    let sample = Sample::from_environment().unwrap_or_else(|error| panic!("{error}"));
    println!("a sample of the commands: {} takes the same", sample.setting());
    WRITING.iter().zip(0..).filter(move |(_, place)| sample.takes(*place, PERIOD)).map(|(writing, _)| writing)
}

pub(crate) static WRITING: [Writing; 17] = [
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
        ..WRITES
    },
    Writing {
        name: "run transcribe",
        arguments: |folder| {
            let (model, sounds) = (transcriber(&folder.join("model")), folder.join("sounds"));
            recordings(&sounds, &["ab"]);
            let flags = ["--task", "transcribe", "sounds/0.wav", "--device", "cpu", "--json", "out/a.json"];
            words(&[&["run", &model], &flags[..]].concat())
        },
        shown: "sounds/0.wav (0.40 s): ",
        ..WRITES
    },
    Writing {
        name: "attend",
        arguments: |folder| {
            let name = format!("outputs-{}.safetensors", folder.file_name().unwrap().display());
            let shape: &[usize] = &[1, 4, 1, 4];
            let qkv = activations(&name, &["q", "k", "v"].map(|name| (name, Dtype::F32, shape)));
            fs::write(folder.join("rule.json"), r#"{"version": 1, "mask": "causal"}"#).unwrap();
            let flags = ["--device", "cpu", "--out", "out/a.safetensors", "--json", "out/a.json"];
            words(&[&["attend", "--rule", "rule.json", "--tensors", &qkv], &flags[..]].concat())
        },
        shown: "one run: ",
        files: &["a.safetensors", "a.json"],
        ..WRITES
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
        ..WRITES
    },
    Writing {
        name: "tune",
        arguments: |_| {
            words(&[
                "tune",
                "--device",
                "gpu",
                "--budget",
                "0.001",
                "--out",
                "out/a.json",
                "--json",
                "out/b.json",
            ])
        },
        shown: "| setting",
        files: &["a.json", "b.json"],
        ..WRITES
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
        ..TRAINS
    },
    Writing {
        name: "train classify",
        arguments: |folder| {
            let (model, data) = (bert(&folder.join("bert")), csv(&folder.join("data.csv"), &sentences(40)));
            fine_tune("classify", &[&model, &data])
        },
        shown: "epoch 1/1",
        ..FINE_TUNES
    },
    Writing {
        name: "train fill-mask",
        arguments: |folder| {
            let model = bert(&folder.join("bert"));
            fs::write(folder.join("text"), "the film was good\n".repeat(40)).unwrap();
            fine_tune("fill-mask", &[&model, "text"])
        },
        shown: "epoch 1/1",
        ..FINE_TUNES
    },
    Writing {
        name: "train lm FOLDER",
        arguments: |folder| {
            let model = gpt2(&folder.join("gpt2"));
            fs::write(folder.join("text"), "abcdefgh".repeat(40)).unwrap();
            fine_tune("lm", &[&model, "text"])
        },
        shown: "epoch 1/1",
        ..FINE_TUNES
    },
    Writing {
        name: "train seq2seq",
        arguments: |folder| {
            let model = t5(&folder.join("t5"));
            let rows: Vec<String> = pairs(16).iter().map(|[from, to]| format!("{from},{to}\n")).collect();
            fs::write(folder.join("data.csv"), format!("source,target\n{}", rows.concat())).unwrap();
            fine_tune("seq2seq", &[&model, "data.csv"])
        },
        shown: "epoch 1/1",
        ..FINE_TUNES
    },
    Writing {
        name: "train ctc",
        arguments: |folder| {
            recordings(&folder.join("sounds"), &["ab", "ba"]);
            let flags = ["--steps", "2", "--device", "cpu", "--out", "out"];
            words(&[&["train", "ctc", "sounds"], &SMALL[..], &flags].concat())
        },
        shown: "step     2",
        files: &["config.json", "model.safetensors", "vocab.json"],
        ..TRAINS
    },
    Writing {
        name: "train forecast",
        arguments: |folder| {
            fs::write(folder.join("waves.csv"), waves(28)).unwrap();
            let size = ["--width", "8", "--depth", "1", "--heads", "1", "--kernel", "3", "--batch", "2"];
            let stretch = ["--context", "8", "--windows", "1", "--samples", "2", "--steps", "2"];
            words(&[&["train", "forecast", "waves.csv", "--out", "out"], &size[..], &stretch].concat())
        },
        shown: "step     2",
        files: &["model.safetensors", "config.json", "forecasts.csv", "forecasts.svg"],
        ..TRAINS
    },
    Writing {
        name: "forecast",
        arguments: |folder| {
            let (model, series) = (forecaster(&folder.join("model")), folder.join("waves.csv"));
            fs::write(&series, waves(9)).unwrap();
            words(&[
                "forecast",
                &model,
                "waves.csv",
                "--samples",
                "2",
                "--device",
                "cpu",
                "--json",
                "out/a.json",
            ])
        },
        shown: "2000-01-10 21:00:00",
        ..WRITES
    },
    Writing {
        name: "info",
        arguments: |_| words(&["info", "--json", "out/a.json"]),
        shown: "workgroup memory",
        ..WRITES
    },
    Writing {
        name: "check",
        arguments: |_| words(&["check", "--device", "gpu", "--op", "fill", "--json", "out/a.json"]),
        shown: "cases on",
        tells_first: true,
        ..WRITES
    },
    Writing {
        name: "shader",
        arguments: |_| words(&["shader", "fill", "--json", "out/a.json"]),
        shown: "f32 [1000, 3]",
        ..WRITES
    },
    Writing {
        name: "inspect",
        arguments: |folder| {
            let model = bert(&folder.join("bert"));
            words(&["inspect", &model, "--json", "out/a.json"])
        },
        shown: "can be used",
        ..WRITES
    },
];

/// The training of a folder's model on data.
fn fine_tune(task: &str, from: &[&str; 2]) -> Vec<String> {
    let flags = ["--device", "cpu", "--epochs", "1", "--out", "out"];
    words(&[&["train", task], &from[..], &flags].concat())
}

pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A command at work in a new folder.
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) writing: &'static Writing,
}

impl Place {
    pub(crate) fn new(test: &str, writing: &'static Writing) -> Self {
        let folder = scratch(&format!("outputs-{test}-{}", writing.name.replace(' ', "-")));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let arguments = (writing.arguments)(&folder);
        if !writing.is_new {
            fs::create_dir(folder.join("out")).unwrap();
        }
        Self { folder, arguments, writing }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
        command.args(&self.arguments).current_dir(&self.folder);
        command
    }

    /// By a shell, behind what it is told first: `redirection` after it.
    pub(crate) fn shell(&self, before: &str, redirection: &str) -> Command {
        let mut command = Command::new("sh");
        let script = format!(r#"{before} exec "$0" "$@" {redirection}"#);
        command.args(["-c", &script, env!("CARGO_BIN_EXE_foveate")]).args(&self.arguments);
        command.current_dir(&self.folder);
        command
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.join("out").join(file)
    }

    /// Whether all of its files are there, in a folder that it does not write to again.
    pub(crate) fn is_done(&self) -> bool {
        self.writing.is_new && self.writing.name != "train lm" && self.path("model.safetensors").exists()
    }

    /// Old contents in all files that may be there before.
    pub(crate) fn fill(&self) {
        if !self.writing.is_new {
            // A cache is read first.
            let files = self.writing.files.iter().filter(|file| !file.ends_with(".cache"));
            files.for_each(|file| fs::write(self.path(file), "old").unwrap());
        }
    }

    /// A second name for what each file holds, beside the folder.
    pub(crate) fn link(&self) {
        for file in self.writing.files.iter().filter(|file| self.path(file).exists()) {
            fs::hard_link(self.path(file), self.folder.join(format!("link-{file}"))).unwrap();
        }
    }

    /// What the files held is there as it was, under its second name: nobody has written into it. Whoever reads a file while it is replaced, or two
    /// commands that write it, would meet a part of it otherwise, which no test can wait for.
    #[track_caller]
    pub(crate) fn assert_links(&self, held: &[(PathBuf, Vec<u8>)]) {
        for (link, bytes) in held {
            assert!(
                fs::read(link).unwrap() == *bytes,
                "{}: {} was written into",
                self.writing.name,
                link.display()
            );
        }
    }

    /// Every second name with what is behind it.
    pub(crate) fn links(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let links = self.writing.files.iter().map(|file| self.folder.join(format!("link-{file}")));
        links.filter(|link| link.exists()).map(|link| (link.clone(), fs::read(link).unwrap())).collect()
    }

    /// All that is written, and nothing else, is there and whole.
    #[track_caller]
    pub(crate) fn assert_whole(&self) {
        self.writing.files.iter().for_each(|file| self.assert_file(file));
        self.assert_nothing_else();
    }

    #[track_caller]
    pub(crate) fn assert_file(&self, file: &str) {
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
    pub(crate) fn assert_nothing_else(&self) {
        for folder in [&self.folder, &self.folder.join("out")] {
            let Ok(entries) = fs::read_dir(folder) else { continue };
            for entry in entries {
                let name = entry.unwrap().file_name();
                assert!(!name.display().to_string().ends_with(".unfinished"), "{}", name.display());
            }
        }
    }
}
