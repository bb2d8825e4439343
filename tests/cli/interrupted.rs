//! Trainings that somebody ends, and folders that one is at work in.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::invoke::{assert_passes, assert_refuses, scratch, stderr, told_of_signals};
use crate::writing::{Place, WRITING, words};

/// A training that would go on for long, once it has printed its first line.
fn long_training(place: &Place) -> std::process::Child {
    let mut child = told_of_signals(place.command())
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
    let mut ignoring = told_of_signals(place.shell("trap '' HUP;", ""));
    let mut child = ignoring.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
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
