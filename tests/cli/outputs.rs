//! Every command that writes: killed, on a full disk, two at once, and with nobody to read stdout or stderr.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::invoke::{assert_passes, assert_refuses, stderr, stdout};
use crate::writing::{Place, sampled};

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
    for writing in sampled() {
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
            assert_goes_on(&place);
        }
    }
}

/// Nothing that a command left that was killed is in the way of the next one.
#[track_caller]
fn assert_goes_on(place: &Place) {
    let mut again = place.command();
    if place.writing.name == "train lm" && place.path("checkpoint.safetensors").exists() {
        again.arg("--resume");
    }
    if place.is_done() {
        return;
    }
    assert_passes(&again.output().unwrap());
    place.assert_whole();
}

/// The system kills it in the middle of a file: the one whose bytes go beyond the limit first, for the size of every file.
#[test]
#[cfg(target_os = "linux")]
fn a_kill_in_the_middle_of_a_file_leaves_it_as_it_was() {
    use std::os::unix::process::ExitStatusExt;

    /// What `ulimit -f` counts in.
    const BLOCK: u64 = 512;
    for writing in sampled() {
        let whole = Place::new("middle", writing);
        assert_passes(&whole.command().output().unwrap());
        let size = |file: &&str| whole.path(file).metadata().unwrap().len();
        // Far from its end, as a profile is longer or shorter from run to run.
        let mut limits: Vec<u64> = writing.files.iter().map(|file| size(file) / 2 / BLOCK).collect();
        limits.sort_unstable();
        limits.dedup();
        for limit in limits {
            let place = Place::new("middle", writing);
            place.fill();
            let mut command = place.shell(&format!("ulimit -c 0; ulimit -f {limit};"), "");
            // What drivers keep for themselves counts, too.
            let output = command.env("MESA_SHADER_CACHE_DISABLE", "true").output().unwrap();
            let signal = output.status.signal();
            // Small files that are written behind larger ones may be through.
            assert!(signal.is_some(), "{} within {limit} blocks: {}", writing.name, stderr(&output));
            assert_old_or_whole(&place);
            assert_goes_on(&place);
        }
    }
}

/// What a file held stays as it was for whoever has it open.
#[test]
fn what_is_replaced_is_not_written_into() {
    for writing in sampled().filter(|writing| !writing.is_new) {
        let place = Place::new("replaced", writing);
        assert_passes(&place.command().output().unwrap());
        place.link();
        let held = place.links();
        assert_eq!(held.len(), writing.files.len());
        assert_passes(&place.command().output().unwrap());
        place.assert_whole();
        place.assert_links(&held);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_leaves_every_file_as_it_was() {
    for writing in sampled() {
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
    for writing in sampled() {
        // Nobody reads stdout: quietly, and a training is saved.
        let place = Place::new("closed", writing);
        let mut child = place.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(141), "{}: {told}", writing.name);
        assert!(!told.contains("panicked") && !told.contains("error: output"), "{told}");
        if !writing.tells_first {
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
        if !writing.tells_first {
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
    for writing in sampled() {
        let place = Place::new("two", writing);
        place.fill();
        place.link();
        let held = place.links();
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
            place.assert_links(&held);
        }
        place.assert_whole();
    }
}
