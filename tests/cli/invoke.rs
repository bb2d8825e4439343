//! Runs the command and judges how it ended.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
    command.args(args);
    command
}

pub(crate) fn run(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

/// Runs with `input` piped in.
pub(crate) fn run_with_input(args: &[&str], input: &[u8]) -> Output {
    let piped = command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = piped.unwrap();
    // A command that refuses its flags does not read.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// Runs as on a machine without any Vulkan driver.
pub(crate) fn run_without_adapters(args: &[&str]) -> Output {
    command(args)
        .envs(["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].map(|name| (name, "/nonexistent")))
        .output()
        .unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
pub(crate) fn assert_passes(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(output), stderr(output));
    stdout(output)
}

/// Demands exit code 2 and one `error:` sentence of ours with all of `parts`. Graphics drivers also write to stderr.
#[track_caller]
pub(crate) fn assert_refuses(output: &Output, parts: &[&str]) {
    let stderr = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    let mut lines: Vec<&str> = stderr.lines().collect();
    lines.drain(..lines.iter().rposition(|line| line.starts_with("error: ")).unwrap_or(lines.len()));
    // A long list goes on in indented lines.
    let first = lines.first().copied().unwrap_or_default().to_owned();
    let more = lines.iter().skip(1).take_while(|line| line.starts_with("  "));
    let sentence = more.fold(first, |sentence, line| sentence + " " + line.trim_start());
    for part in parts {
        assert!(sentence.contains(part), "`{part}` is not in: {stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

pub(crate) fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The command with the signals that end a training at their defaults: whoever started these tests may ignore some, as `nohup` does, and what it
/// starts would ignore them, too.
pub(crate) fn told_of_signals(mut command: Command) -> Command {
    #[cfg(unix)]
    {
        use nix::sys::signal::{SigHandler, Signal, signal};
        use std::os::unix::process::CommandExt;

        let reset = || {
            for told in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM] {
                #[expect(unsafe_code, reason = "a default needs no handler that would have to be sound")]
                unsafe { signal(told, SigHandler::SigDfl) }?;
            }
            Ok(())
        };
        #[expect(
            unsafe_code,
            reason = "between fork and exec it does nothing but system calls that may be made there"
        )]
        unsafe {
            command.pre_exec(reset)
        };
    }
    command
}
