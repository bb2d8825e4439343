//! Full sentences of errors, all in one file, so that a change of wording is one line of a diff and no test's business.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use foveate::Error;

/// Asserts that the sentence of `error` is a line of `tests/ops/sentences.txt`.
///
/// With `FOVEATE_SENTENCES=write` in the environment it becomes one. A run of all tests, without any argument, leaves no lines but those that
/// were asserted: `FOVEATE_SENTENCES=write cargo test --test ops` takes the sentences as they are.
pub(super) fn assert_known(error: &Error) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/ops/sentences.txt");
    let known = || -> BTreeSet<String> {
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.lines().map(str::to_owned).collect()
    };
    let sentence = error.to_string();
    if std::env::var_os("FOVEATE_SENTENCES").is_some_and(|mode| mode == "write") {
        static WRITTEN: Mutex<Option<BTreeSet<String>>> = Mutex::new(None);
        let mut written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full_run = std::env::args().len() == 1;
        let lines = written.get_or_insert_with(|| if is_full_run { BTreeSet::new() } else { known() });
        if lines.insert(sentence) {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        return;
    }
    assert!(
        known().contains(&sentence),
        "tests/ops/sentences.txt does not have this sentence (FOVEATE_SENTENCES=write adds it): {sentence}"
    );
}
