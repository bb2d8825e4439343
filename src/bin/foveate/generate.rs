//! `foveate generate`: text from a language model that `foveate train lm` made.

use std::io::{Write, stdout};

use foveate::generate::{Generator, Options, Sampling};
use foveate::models::LanguageModelConfig;
use foveate::train::{BYTES, Progress};
use foveate::weights::Checkpoint;
use foveate::{DType, Error, ErrorKind, Result};

use crate::args::GenerateArgs;
use crate::device::{Arithmetic, Device};
use crate::train::CHECKPOINT;

pub(crate) fn run(args: &GenerateArgs) -> Result<()> {
    let sampling = Sampling { temperature: args.temperature, top_k: args.top_k, ..Sampling::default() };
    sampling.check()?;
    if args.prompt.is_empty() {
        return Err(Error::new(ErrorKind::Argument, "generate", "--prompt")
            .expecting("at least one byte to go on from")
            .but_found("an empty text"));
    }
    let path =
        if args.checkpoint.is_dir() { args.checkpoint.join(CHECKPOINT) } else { args.checkpoint.clone() };
    let checkpoint = Checkpoint::open(&path)?;
    let config: LanguageModelConfig = serde_json::from_value(Progress::of(&checkpoint)?.description.model)
        .map_err(|error| {
            Error::new(ErrorKind::Config, checkpoint.source().to_owned(), "model")
                .expecting("a model of `foveate train lm`")
                .but_found(error)
        })?;
    if config.vocab_size != BYTES {
        return Err(Error::new(ErrorKind::Config, checkpoint.source().to_owned(), "vocab_size")
            .expecting(BYTES)
            .but_found(config.vocab_size));
    }
    let model = config.model()?;
    let weights = checkpoint.load(model.declarations(), DType::F32)?;
    let device = Device::open(&args.device, Arithmetic::F32)?;
    let mut generator = Generator::new(&model, &weights, &device.runtime())?;
    let options = Options { most: args.bytes, sampling, stop: Vec::new(), seed: args.seed, restarts: true };
    let prompt: Vec<u32> = args.prompt.bytes().map(u32::from).collect();
    write(args.prompt.as_bytes())?;
    let mut written = Ok(());
    generator.generate(&[prompt], &options, |_, id| {
        written = write(&[id as u8]);
        written.is_ok()
    })?;
    written?;
    write(b"\n")
}

/// Writes at once: a reader watches the text grow. Bytes that are no UTF-8 go out as they are.
fn write(bytes: &[u8]) -> Result<()> {
    let mut stdout = stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| Error::new(ErrorKind::Io, "output", "stdout").but_found(error))
}
