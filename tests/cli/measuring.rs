//! `benches/gpu/run.sh`, which measures on machines that nobody watches: with a command in the place of each program but `info`.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::invoke::scratch;

fn program(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What the script writes into `status.txt` and `report.md`, with what `foveate info` runs.
fn measured(name: &str, info: &str) -> (String, String) {
    let folder = scratch(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/gpu");
    for file in ["run.sh", "report.py", "peers.py"] {
        fs::copy(from.join(file), folder.join(file)).unwrap();
    }
    // Each check passes one case; one op takes longer than there is time.
    let checks = r#"case "$*" in *elementwise/add*) exec sleep 60;; *) echo "ok  a case";; esac"#;
    program(&folder.join("foveate"), &format!(r#"if [ "$1" = info ]; then {info}; fi; {checks}"#));
    for name in ["gpu", "models", "generate"] {
        program(&folder.join(name), "exit 0");
    }
    let output = Command::new("sh")
        .args(["run.sh", "results"])
        .env("QUICK", "1")
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |file: &str| fs::read_to_string(folder.join("results").join(file)).unwrap();
    (read("status.txt"), read("report.md"))
}

#[test]
fn every_op_is_checked_and_what_takes_too_long_is_cut() {
    let info = format!(r#"exec "{}" "$@""#, env!("CARGO_BIN_EXE_foveate"));
    let (status, report) = measured("measuring", &info);
    for line in ["info 0", "ops 0", "check-matmul 0", "check-fill 0", "check-elementwise-add 124"] {
        assert!(status.lines().any(|found| found == line), "`{line}` is not in: {status}");
    }
    let checked = status.lines().filter(|line| line.starts_with("check-")).count();
    assert_eq!(checked, foveate::ops::CATALOGUE.len(), "{status}");
    assert!(
        report.contains("cut by the time limit, what had passed until then: elementwise-add (0)"),
        "{report}"
    );
    assert!(!report.contains("NOT CHECKED"), "{report}");
}

#[test]
fn ops_that_are_not_known_are_said_to_be_unchecked() {
    let refused = r#"{"adapters": [{"name": "a", "backend": "vulkan", "error": "lost"}]}"#;
    for info in [format!("echo '{refused}'; exit 0"), "exit 1".into()] {
        let (status, report) = measured("measuring-unknown", &info);
        assert!(status.contains("\nops 1\n") && status.contains("\ncheck-matmul 0\n"), "{status}");
        assert!(report.contains("THE OTHER OPS WERE NOT CHECKED"), "{report}");
    }
}
