//! `foveate generate`: text from a language model, a folder's or one that `foveate train lm` made.

use std::io::{Write, stdout};
use std::path::Path;

use foveate::generate::{BeamOptions, Generator, Options, Sampling};
use foveate::models::{LanguageModelConfig, Model, Task};
use foveate::tokenize::Tokenizer;
use foveate::train::{BYTES, Progress};
use foveate::weights::{Checkpoint, Fields};
use foveate::{Error, ErrorKind, Result, runtime};

use crate::args::{self, GenerateArgs};
use crate::device::Device;
use crate::train::CHECKPOINT;

/// How a text becomes token ids, and they become text.
enum Words {
    Bytes,
    Tokens(Box<Tokenizer>),
}

pub(crate) fn run(args: &GenerateArgs) -> Result<()> {
    let sampling = Sampling {
        repetition_penalty: args.repetition_penalty,
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
    };
    sampling.check()?;
    if args.prompt.is_empty() {
        return Err(Error::new(ErrorKind::Argument, "generate", "--prompt")
            .expecting("something to go on from")
            .but_found("an empty text"));
    }
    let dtype = args::dtype("generate", &args.dtype)?;
    let (model, words, mut stop) = open(&args.model)?;
    if !args.stop.is_empty() {
        stop.clone_from(&args.stop);
    }
    let prompt = words.encode(&args.prompt)?;
    // An encoder-decoder writes a text of its own about the prompt.
    let starts = usize::from(model.network().signature().encoder_decoder.is_some());
    let weights = model.load(dtype)?;
    let device = Device::open(&args.device, runtime::Device::Cpu)?;
    let mut generator = Generator::new(&model, &weights, device.runtime())?;
    if let Some(beams) = args.beams {
        let options = BeamOptions { most: args.tokens, beams, length_penalty: args.length_penalty, stop };
        let found = generator.beams(&prompt, &options)?;
        let best = found.first().map_or(&prompt[..], |best| &best.tokens[starts..]);
        write(&words.decode(best)?)?;
        return write(b"\n");
    }
    let options = Options { most: args.tokens, sampling, stop, seed: args.seed, restarts: true };
    let mut text = Vec::new();
    if starts == 0 {
        write(args.prompt.as_bytes())?;
        text.clone_from(&prompt);
    }
    let mut written = words.decode(&text)?.len();
    let mut outcome = Ok(());
    generator.generate(&[&prompt], &options, |_, id| {
        text.push(id);
        outcome = words.decode(&text).and_then(|decoded| {
            // A token may end inside a character, which the next ones complete.
            let complete = match &words {
                Words::Bytes => decoded.len(),
                Words::Tokens(_) => decoded.len() - unfinished(&decoded),
            };
            let fresh = decoded.get(written..complete).unwrap_or_default();
            written = written.max(complete);
            write(fresh)
        });
        outcome.is_ok()
    })?;
    outcome?;
    write(words.decode(&text)?.get(written..).unwrap_or_default())?;
    write(b"\n")
}

/// The model, its words, and the tokens that end a text.
fn open(path: &Path) -> Result<(Model, Words, Vec<u32>)> {
    let config = path.join("config.json");
    if !config.exists() {
        return Ok((byte_level(path)?, Words::Bytes, Vec::new()));
    }
    let model = Model::open(path, Task::Logits)?;
    let fields = Fields::open(&config)?;
    let vocabulary = model.facts().vocab_size;
    let stop = if fields.has("eos_token_id") {
        vec![fields.usize("eos_token_id", 0..=vocabulary - 1)? as u32]
    } else {
        Vec::new()
    };
    Ok((model, Words::Tokens(Box::new(Tokenizer::open(path)?)), stop))
}

/// A model of `foveate train lm`.
fn byte_level(path: &Path) -> Result<Model> {
    let path = if path.is_dir() { path.join(CHECKPOINT) } else { path.to_owned() };
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
    Ok(config.model()?.with_checkpoint(checkpoint))
}

impl Words {
    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        match self {
            Self::Bytes => Ok(text.bytes().map(u32::from).collect()),
            Self::Tokens(tokenizer) => tokenizer.encode(text),
        }
    }

    fn decode(&self, ids: &[u32]) -> Result<Vec<u8>> {
        match self {
            Self::Bytes => Ok(ids.iter().map(|&id| id as u8).collect()),
            Self::Tokens(tokenizer) => Ok(tokenizer.decode(ids)?.into_bytes()),
        }
    }
}

/// Bytes at the end that stand for a character which is not complete.
fn unfinished(text: &[u8]) -> usize {
    let replaced = "\u{fffd}".as_bytes();
    text.rchunks(replaced.len()).take_while(|end| *end == replaced).count() * replaced.len()
}

/// Writes at once: a reader watches the text grow. Bytes that are no UTF-8 go out as they are.
fn write(bytes: &[u8]) -> Result<()> {
    let mut stdout = stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| Error::new(ErrorKind::Io, "output", "stdout").but_found(error))
}
