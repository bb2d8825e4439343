//! `foveate train`: a byte-level language model from nothing, or a folder's model for a task.

mod byte_level;
mod classify;
mod curve;
mod data;
mod fine_tune;
mod language;
mod metrics;
mod seq2seq;
mod settings;
mod sizes;
mod tasks;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foveate::{Error, ErrorKind, Result};

use crate::args::{ClassifyArgs, FineTuneArgs, LmArgs, Seq2SeqArgs};

pub(crate) use byte_level::CHECKPOINT;

/// `foveate train classify`.
pub(crate) fn classify(args: &ClassifyArgs) -> Result<()> {
    let separator = args.label_separator.as_deref();
    fine_tune::run(&fine_tune::Job::of(&args.folders)?, |job| classify::classify(job, separator))
}

/// `foveate train fill-mask`.
pub(crate) fn fill_mask(args: &FineTuneArgs) -> Result<()> {
    fine_tune::run(&fine_tune::Job::of(args)?, tasks::fill_mask)
}

/// `foveate train seq2seq`.
pub(crate) fn seq2seq(args: &Seq2SeqArgs) -> Result<()> {
    let prefix = args.source_prefix.as_deref().unwrap_or_default();
    fine_tune::run(&fine_tune::Job::of(&args.folders)?, |job| seq2seq::seq2seq(job, prefix))
}

/// `foveate train lm`: with a folder before the text its model, else a byte-level one.
pub(crate) fn lm(args: &LmArgs) -> Result<()> {
    match &args.second {
        None => byte_level::train(args),
        Some(text) => fine_tune::run(&fine_tune::Job::of_lm(args, text)?, language::language),
    }
}

/// A flag that the first interrupt sets; the second one ends the process.
fn watch_interrupts() -> Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    let handler = move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(handler).map_err(|error| {
        Error::new(ErrorKind::Io, "train", "interrupts").expecting("to be told").but_found(error)
    })?;
    Ok(interrupted)
}

fn refused(path: &Path, expected: &str, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "train", path.display().to_string()).expecting(expected).but_found(error)
}
