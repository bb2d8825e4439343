//! Full sentences of errors, all in one file, so that a change of wording is one line of a diff and no test's business.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use foveate::Error;

/// Asserts that the sentence of `error` is a line of `tests/ops/sentences.txt`. With `FOVEATE_SENTENCES=write` in the environment it becomes
/// one: empty the file, and run all tests of `ops` that way, to take the sentences as they are.
pub(super) fn assert_known(error: &Error) {
    static FILE: Mutex<()> = Mutex::new(());
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/ops/sentences.txt");
    let guard = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut known: BTreeSet<&str> = text.lines().collect();
    let sentence = error.to_string();
    if known.contains(sentence.as_str()) {
        return;
    }
    if std::env::var_os("FOVEATE_SENTENCES").is_some_and(|mode| mode == "write") {
        known.insert(&sentence);
        let lines: String = known.into_iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(&path, lines).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return;
    }
    drop(guard);
    panic!(
        "tests/ops/sentences.txt does not have this sentence (FOVEATE_SENTENCES=write adds it): {sentence}"
    );
}
