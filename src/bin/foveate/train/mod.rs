//! `foveate train`: a byte-level language model or a model of speech from scratch, or a folder's model for a task.

mod byte_level;
mod classify;
mod ctc;
mod curve;
mod data;
mod destination;
mod fine_tune;
mod forecast;
mod language;
mod metrics;
mod rolling;
mod seq2seq;
mod settings;
mod signals;
mod sizes;
mod tasks;

use std::path::Path;

use foveate::{Error, ErrorKind, Result, runtime};

use crate::args::{ClassifyArgs, CtcArgs, FineTuneArgs, LmArgs, Seq2SeqArgs, TrainForecastArgs};
use crate::output;

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

/// `foveate train ctc`.
pub(crate) fn ctc(args: &CtcArgs) -> Result<()> {
    ctc::train(args)
}

/// `foveate train forecast`.
pub(crate) fn forecast(args: &TrainForecastArgs) -> Result<()> {
    forecast::train(args)
}

/// Says why nothing is seen for a while, where kernels are compiled.
fn tell_of_compiling(device: &runtime::Device) {
    if device.is_planned() {
        output::note("compiling kernels, which the first step waits for");
    }
}

fn refused(path: &Path, expected: &str, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "train", path.display().to_string()).expecting(expected).but_found(error)
}
