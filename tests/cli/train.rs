//! `foveate train lm` and `foveate generate` as a user meets them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::invoke::{assert_passes, assert_refuses, run, scratch, stderr, told_of_signals};

/// A text with an order to be learnt, and a fresh folder.
fn workplace(name: &str) -> (String, String) {
    let folder = scratch(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let text = folder.join("text.txt");
    fs::write(&text, "the quick brown fox jumps over the lazy dog; ".repeat(200)).unwrap();
    (text.display().to_string(), folder.join("out").display().to_string())
}

const SMALL: [&str; 12] = [
    "--width",
    "16",
    "--depth",
    "1",
    "--heads",
    "2",
    "--feed-forward",
    "16",
    "--length",
    "16",
    "--batch",
    "2",
];

/// The arguments of a small training on `device`.
fn arguments<'a>(text: &'a str, out: &'a str, device: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["train", "lm", text, "--out", out, "--device", device, "--decay", "constant"];
    arguments.extend(more);
    if !more.contains(&"--resume") {
        arguments.extend(SMALL);
    }
    arguments
}

fn checkpoint(out: &str) -> PathBuf {
    Path::new(out).join("checkpoint.safetensors")
}

#[test]
fn a_training_leaves_a_checkpoint_a_curve_and_a_model_that_writes() {
    let (text, out) = workplace("lm-whole");
    for device in ["gpu", "cpu"] {
        let _ = fs::remove_dir_all(&out);
        let more = ["--steps", "30", "--evaluate-every", "10", "--lr", "0.01"];
        let output = run(&arguments(&text, &out, device, &more));
        let printed = assert_passes(&output);
        assert!(printed.contains("step     10  loss ") && printed.contains("30 steps: "), "{printed}");
        assert!(stderr(&output).contains("single bytes "), "{}", stderr(&output));
        let curve = fs::read_to_string(Path::new(&out).join("loss.csv")).unwrap();
        let lines: Vec<&str> = curve.lines().collect();
        assert_eq!(lines.len(), 31, "{curve}");
        let header = "step,seconds,tokens,learning_rate,loss,gradient_norm,skipped,validation_loss";
        assert_eq!(lines[0], header);
        let loss = |line: &str| line.split(',').nth(4).unwrap().parse::<f64>().unwrap();
        assert!(loss(lines[30]) < loss(lines[1]) - 0.5, "{curve}");
        assert!(fs::read_to_string(Path::new(&out).join("loss.svg")).unwrap().contains("</svg>"));

        let generate = ["generate", &out, "--prompt", "the", "--bytes", "20", "--device", device];
        let [first, again] = [(); 2].map(|()| run(&generate));
        assert_eq!((first.status.code(), first.stdout.len()), (Some(0), 24), "{}", stderr(&first));
        assert!(first.stdout.starts_with(b"the") && first.stdout.ends_with(b"\n"));
        assert_eq!(first.stdout, again.stdout, "the seed decides");
    }
}

#[test]
fn every_flag_of_the_model_and_the_optimiser_works_together() {
    let (text, out) = workplace("lm-flags");
    for more in [
        &["--reversible", "--dropout", "0.1", "--accumulate", "2"][..],
        &["--recompute", "1", "--optimizer", "sgd", "--clip", "0", "--momentum", "0.5"],
    ] {
        let _ = fs::remove_dir_all(&out);
        assert_passes(&run(&arguments(
            &text,
            &out,
            "gpu",
            &[more, &["--steps", "3", "--warm-up", "1"]].concat(),
        )));
    }
}

#[test]
fn other_mechanisms_are_trained_resumed_and_told() {
    let (text, out) = workplace("lm-mixing");
    let favor = r#"{"favor": {"features": 8, "causal": true}}"#;
    let first = run(&arguments(&text, &out, "cpu", &["--steps", "3", "--attention", favor]));
    assert_passes(&first);
    assert_passes(&run(&arguments(&text, &out, "cpu", &["--resume", "--steps", "4"])));
    let gated = r#"{"gated": {}}"#;
    let other = run(&arguments(&text, &out, "cpu", &["--resume", "--attention", gated]));
    let [own, asked] = [
        r#"{"version":1,"favor":{"features":8,"seed":0,"eps":0.0,"causal":true}}"#,
        r#"{"gated":{"decay":"channels","temperature":16.0,"delta":false}}"#,
    ];
    assert_refuses(&other, &["expected the checkpoint's model, width 16", own, "found flags for", asked]);
    // Its layers keep sums in the place of keys and values. What it has learned to write so soon is no text.
    let written = run(&["generate", &out, "--device", "cpu"]);
    assert!(written.status.success() && !written.stdout.is_empty(), "{}", stderr(&written));

    let (text, out) = workplace("lm-masked");
    let linformer = r#"{"linformer": {"keys": "E", "values": "F", "projected": 4}}"#;
    let masked = ["--steps", "3", "--masked", "--attention", linformer];
    assert_passes(&run(&arguments(&text, &out, "cpu", &masked)));
    let causal = run(&arguments(&text, &scratch("lm-none").display().to_string(), "cpu", &masked[3..]));
    assert_refuses(
        &causal,
        &["language model: mixing: expected one by which a token sees none behind itself"],
    );
}

#[test]
fn a_resumed_training_ends_with_the_same_bytes() {
    let (text, out) = workplace("lm-resumed");
    let (_, whole) = workplace("lm-unbroken");
    assert_passes(&run(&arguments(&text, &whole, "gpu", &["--steps", "6", "--dropout", "0.1"])));
    assert_passes(&run(&arguments(&text, &out, "gpu", &["--steps", "4", "--dropout", "0.1"])));
    let resumed = run(&arguments(&text, &out, "gpu", &["--resume", "--steps", "6"]));
    assert_passes(&resumed);
    assert!(stderr(&resumed).contains("resuming after step 4"), "{}", stderr(&resumed));
    assert!(fs::read(checkpoint(&out)).unwrap() == fs::read(checkpoint(&whole)).unwrap());
    let steps = |out: &str| -> Vec<String> {
        let curve = fs::read_to_string(Path::new(out).join("loss.csv")).unwrap();
        // All but the seconds.
        curve
            .lines()
            .map(|line| line.split(',').enumerate().filter_map(|(i, x)| (i != 1).then_some(x)).collect())
            .collect()
    };
    // The step that ended the first session was looked at then.
    assert_eq!(steps(&out)[5..], steps(&whole)[5..]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let (text, out) = workplace("lm-refused");
    assert_passes(&run(&arguments(&text, &out, "cpu", &["--steps", "1"])));
    assert_refuses(&run(&arguments(&text, &out, "cpu", &[])), &["--out", "--resume to go on"]);
    let other = run(&arguments(&text, &out, "cpu", &["--resume", "--width", "32"]));
    assert_refuses(&other, &["expected the checkpoint's model, width 16", "found flags for width 32"]);
    let empty = scratch("lm-nothing-there").display().to_string();
    assert_refuses(&run(&arguments(&text, &empty, "cpu", &["--resume"])), &["checkpoint.safetensors"]);

    let short = Path::new(&out).join("short.txt").display().to_string();
    fs::write(&short, "too short").unwrap();
    let refused = run(&arguments(&short, &empty, "cpu", &[]));
    assert_refuses(&refused, &["training part: expected at least 17 bytes", "found 9"]);
    assert_refuses(&run(&arguments("/no/such/text", &empty, "cpu", &[])), &["/no/such/text"]);
    assert_refuses(&run(&arguments(&text, &empty, "cpu", &["--dtype", "f64"])), &["--dtype", "f32 or f16"]);
    assert_refuses(&run(&arguments(&text, &empty, "cpu", &["--dropout", "1"])), &["dropout"]);
    assert_refuses(&run(&arguments(&text, &empty, "cpu", &["--lr", "nan"])), &["--lr", "found NaN"]);
    assert_refuses(&run(&arguments(&text, &empty, "cpu", &["--dropout", "-1"])), &["--dropout", "found -1"]);
    assert_refuses(&run(&arguments(&text, &empty, "cpu", &["--steps", "0"])), &["--steps", "1 to"]);
    let huge =
        ["train", "lm", &text, "--out", &empty, "--width", "262144", "--depth", "4096", "--device", "cpu"];
    assert_refuses(&run(&huge), &["size: expected at most"]);
    let uneven = ["train", "lm", &text, "--out", &empty, "--width", "10", "--heads", "3", "--device", "cpu"];
    assert_refuses(&run(&uneven), &["heads: expected a divisor of the width, 10"]);
    assert!(!Path::new(&empty).exists(), "nothing is made before all is checked");

    assert_refuses(&run(&["generate", &empty]), &["lm-nothing-there"]);
    assert_refuses(&run(&["generate", &out, "--prompt", ""]), &["--prompt"]);
    assert_refuses(&run(&["generate", &out, "--temperature", "-1"]), &["temperature"]);
    let bytes = fs::read(checkpoint(&out)).unwrap();
    fs::write(checkpoint(&out), &bytes[..bytes.len() / 2]).unwrap();
    assert_refuses(&run(&["generate", &out, "--device", "cpu"]), &["checkpoint.safetensors"]);
    assert_refuses(&run(&arguments(&text, &out, "cpu", &["--resume"])), &["checkpoint.safetensors"]);
}

#[test]
fn a_loss_that_is_no_number_ends_the_training_and_keeps_the_checkpoint() {
    let (text, out) = workplace("lm-diverged");
    let more = [
        "--steps",
        "40",
        "--save-every",
        "1",
        "--optimizer",
        "sgd",
        "--clip",
        "0",
        "--warm-up",
        "3",
        "--lr",
        "1e30",
    ];
    let output = run(&arguments(&text, &out, "cpu", &more));
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("expected a finite loss"), "{}", stderr(&output));
    let resumed = run(&arguments(&text, &out, "cpu", &["--resume", "--steps", "1"]));
    assert_passes(&resumed);
    let saved = stderr(&resumed);
    assert!(saved.contains("resuming after step "), "the last good step is kept: {saved}");
}

/// A training that would go on for long, with a checkpoint after every step.
fn spawn(text: &str, out: &str) -> Child {
    let mut more = vec!["--steps", "1000000", "--save-every", "1", "--evaluate-every", "1"];
    if checkpoint(out).exists() {
        more.push("--resume");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
    command.args(arguments(text, out, "cpu", &more));
    told_of_signals(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[cfg(unix)]
#[test]
fn an_interrupt_saves_and_ends_cleanly() {
    let (text, out) = workplace("lm-interrupted");
    let mut child = spawn(&text, &out);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    let told = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(told.success());
    // The pipe must stay open for what is printed until the step is done.
    let rest = lines.count();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{} after {rest} lines", stderr(&output));
    assert!(stderr(&output).contains("interrupted: step "), "{}", stderr(&output));
    let resumed = run(&arguments(&text, &out, "cpu", &["--resume", "--steps", "1"]));
    assert_passes(&resumed);
}

#[test]
fn a_kill_at_any_time_leaves_a_whole_checkpoint() {
    let (text, out) = workplace("lm-killed");
    let mut last = 0;
    for round in 0..8 {
        let mut child = spawn(&text, &out);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Once it runs, it spends most of its time writing.
        lines.next().unwrap().unwrap();
        let start = Instant::now();
        // A busy disk may take longer for the first than all of these rounds.
        let is_late =
            || round == 7 && !checkpoint(&out).exists() && start.elapsed() < Duration::from_secs(60);
        while start.elapsed() < Duration::from_millis(7 * round + 3) || is_late() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        if !checkpoint(&out).exists() {
            continue;
        }
        let output = run(&arguments(&text, &out, "cpu", &["--resume", "--steps", "1"]));
        assert_passes(&output);
        let step =
            stderr(&output).lines().find_map(|line| line.strip_prefix("resuming after step ")?.parse().ok());
        let step: u64 = step.unwrap();
        assert!(step >= last, "step {step} after {last}");
        last = step;
    }
    assert!(last > 0, "some checkpoint was written");
}
