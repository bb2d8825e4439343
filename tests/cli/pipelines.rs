//! `--pipeline-cache` and `--unchecked`.

use serde_json::Value;

use crate::invoke::{assert_passes, assert_refuses, run, scratch};

const SMALL: &[&str] =
    &["bench", "--lengths", "64", "--methods", "blocked-window", "--no-headline", "--repeats", "2"];

fn bench(flags: &[&str]) -> std::process::Output {
    run(&[SMALL, flags].concat())
}

#[test]
fn a_cache_file_is_made_and_read_again_and_a_damaged_one_refused() {
    let file = scratch("pipelines.cache");
    let path = file.display().to_string();
    let _ = std::fs::remove_file(&file);
    let flags = ["--device", "gpu", "--pipeline-cache", &path];
    assert_passes(&bench(&flags));
    let first = std::fs::read(&file).unwrap();
    assert_passes(&bench(&flags));

    let mut damaged = first.clone();
    damaged[first.len() / 2] ^= 1;
    for bytes in [&damaged[..], &first[..20], b"not a cache"] {
        std::fs::write(&file, bytes).unwrap();
        assert_refuses(
            &bench(&flags),
            &["--pipeline-cache", &path, "delete the file, or leave --pipeline-cache out"],
        );
        assert_eq!(std::fs::read(&file).unwrap(), bytes, "what is refused is not replaced");
    }
    assert_refuses(&bench(&["--device", "gpu", "--pipeline-cache", "/"]), &["--pipeline-cache /"]);
}

#[test]
fn the_cpu_reference_has_neither_a_cache_nor_checks() {
    let file = scratch("cpu.cache").display().to_string();
    assert_refuses(
        &bench(&["--device", "cpu", "--pipeline-cache", &file]),
        &["--pipeline-cache", "CPU reference"],
    );
    assert_refuses(&bench(&["--device", "cpu", "--unchecked"]), &["--unchecked", "CPU reference"]);
}

#[test]
fn reports_say_what_is_checked_and_what_the_first_call_took() {
    let text = assert_passes(&bench(&["--device", "gpu"]));
    assert!(text.contains("checked at run time: all shaders\n") && text.contains("| first ms"), "{text}");
    let json = assert_passes(&bench(&["--device", "gpu", "--unchecked", "--json", "-"]));
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["device"]["runtime_checks"], "all but own shaders in proven tiles");
    let row = &report["rows"][0];
    assert!(row["first_call_ms"].as_f64() >= row["wall_ms"]["median"].as_f64(), "{row}");
    assert!(assert_passes(&run(&["info"])).contains("checked    all shaders"));
}
