//! Outputs and gradients that were computed outside this crate, each case a test of its own: `cargo test --test oracles` runs those in
//! `tests/fixtures/oracles`, and `FOVEATE_ORACLES=DIR cargo test --test oracles mechanisms/` those of `DIR/mechanisms`.
//!
//! Sizes, settings and inputs are read from the files: a safetensors file's `spec`, a model's `config.json` and `meta.json`, shapes of tensors.
//! Each folder has a table (`attention.rs`, `mechanisms.rs`, ..) whose rows say how a kind of case is recognised and what computes it. A case that
//! no row reads is *missing*: an ignored test, printed by name and counted. One that has an option or a tensor which its row does not read fails.
//!
//! Both this machine's device and the CPU references are compared, to 1e-4 of each tensor's largest element, or less where the table says so.
//!
//! `FOVEATE_LIMITS=default` takes a device with WebGPU's default limits and no optional feature. Of the committed cases a run without a filter takes a sample, which changes from day to day; `FOVEATE_SAMPLE=all` takes every one.

mod attention;
mod case;
mod compare;
mod compression;
mod content;
mod conv;
#[path = "../devices/mod.rs"]
mod devices;
mod file;
mod heads;
mod linear;
mod low_rank;
mod mechanisms;
mod models;
mod older;
mod recording;
mod report;
#[path = "../conformance/sample.rs"]
mod sample;
mod speech;
mod tokenizers;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use crate::report::{Report, Results};
use crate::sample::Sample;

/// Every how many of the committed cases a sample has one.
const PERIOD: u64 = 2;

/// Why a case cannot be read or does not hold.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What there is for a file or folder.
pub(crate) enum Found {
    /// What runs it.
    Test(Box<dyn FnOnce() -> Result<Report> + Send>),
    /// Nothing in this crate computes it.
    Missing,
}

impl Found {
    pub(crate) fn test(run: impl FnOnce() -> Result<Report> + Send + 'static) -> Self {
        Self::Test(Box::new(run))
    }
}

/// A folder of cases, and what finds the test of one of its files or folders.
struct Folder {
    name: &'static str,
    find: fn(&Path) -> Result<Found>,
}

const FOLDERS: &[Folder] = &[
    Folder { name: "attention", find: attention::find },
    Folder { name: "mechanisms", find: mechanisms::find },
    Folder { name: "models", find: models::find },
    Folder { name: "tokenizers", find: tokenizers::find },
    Folder { name: "compression", find: compression::find },
];

pub(crate) fn is_safetensors(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "safetensors")
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let asked = std::env::var_os("FOVEATE_ORACLES").map(PathBuf::from);
    let takes_all = asked.is_some() || arguments.filter.is_some();
    let root = asked.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oracles"));
    let results = Arc::new(Results::default());
    let chosen = tests(&root, &results).and_then(|tests| if takes_all { Ok(tests) } else { sampled(tests) });
    let tests = match chosen {
        Ok(tests) => tests,
        Err(error) => {
            eprintln!("{}: {error}", root.display());
            return ExitCode::FAILURE;
        }
    };
    let is_asked_for = |test: &&Trial| !arguments.is_filtered_out(test);
    let names: Vec<(String, bool)> = tests
        .iter()
        .filter(is_asked_for)
        .map(|test| (test.name().to_owned(), test.has_ignored_flag()))
        .collect();
    let conclusion = libtest_mimic::run(&arguments, tests);
    if !arguments.list {
        results.print(&names);
    }
    conclusion.exit_code()
}

fn sampled(tests: Vec<Trial>) -> Result<Vec<Trial>> {
    let sample = Sample::from_environment()?;
    if sample != Sample::All {
        println!(
            "a sample of the cases: {} takes the same, FOVEATE_SAMPLE=all or a filter takes more",
            sample.setting()
        );
    }
    let taken = tests.into_iter().zip(0..).filter(|(_, place)| sample.takes(*place, PERIOD));
    Ok(taken.map(|(test, _)| test).collect())
}

/// The tests of every folder that `root` has.
fn tests(root: &Path, results: &Arc<Results>) -> Result<Vec<Trial>> {
    let mut tests = Vec::new();
    let entries = entries(root).map_err(|error| format!("FOVEATE_ORACLES must name a folder: {error}"))?;
    for Folder { name, find } in FOLDERS {
        let folder = root.join(name);
        if !folder.is_dir() {
            continue;
        }
        for path in self::entries(&folder)?.into_iter().filter(|path| !is_documentation(path)) {
            tests.push(test(format!("{name}/{}", case_name(&path)), find, path, results));
        }
    }
    if tests.is_empty() {
        let names: Vec<&str> = FOLDERS.iter().map(|folder| folder.name).collect();
        return Err(format!("expected cases in one of the folders {}, found none", names.join(", ")).into());
    }
    let is_known = |path: &PathBuf| {
        FOLDERS.iter().any(|folder| path.file_name().is_some_and(|name| name == folder.name))
    };
    let others = entries.iter().filter(|path| !is_known(path) && !is_documentation(path));
    results.set_unread(others.map(|path| case_name(path)).collect());
    Ok(tests)
}

/// The files and folders in `folder`, by name.
fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn is_documentation(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "md")
}

/// The name of a file or folder, without the ending that all cases have.
fn case_name(path: &Path) -> String {
    let name = if is_safetensors(path) { path.file_stem() } else { path.file_name() };
    name.unwrap_or_default().to_string_lossy().into_owned()
}

fn test(name: String, find: &fn(&Path) -> Result<Found>, path: PathBuf, results: &Arc<Results>) -> Trial {
    // A message that a damaged file causes seldom names the file.
    let place = path.clone();
    let located =
        move |error: Box<dyn std::error::Error + Send + Sync>| format!("{}: {error}", place.display());
    match find(&path) {
        Ok(Found::Missing) => {
            Trial::test(name, || Err("nothing in this crate computes it".into())).with_ignored_flag(true)
        }
        Ok(Found::Test(run)) => {
            let (results, case) = (results.clone(), name.clone());
            Trial::test(name, move || {
                results.add(case, run().map_err(located)?);
                Ok(())
            })
        }
        Err(error) => {
            let message = located(error);
            Trial::test(name, move || Err(message.into()))
        }
    }
}
