//! `foveate generate`: text from a language model, a folder's or one that `foveate train lm` made.

use std::path::Path;

use foveate::generate::{BeamOptions, Generator, Options, Sampling};
use foveate::models::{LanguageModelConfig, Model, Task};
use foveate::plan::Watch;
use foveate::tokenize::{GrowingText, Tokenizer};
use foveate::train::{BYTES, Progress};
use foveate::weights::{Checkpoint, Fields};
use foveate::{Error, ErrorKind, Result, runtime};

use crate::args::GenerateArgs;
use crate::device::Device;
use crate::memory;
use crate::output::{self, print};
use crate::run::open as open_folder;
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
    let dtype = args.storage.dtype("generate")?;
    let (model, words, stop) = open(args)?;
    let prompt = words.encode(&args.prompt)?;
    check_ids("--prompt", &prompt, &model)?;
    let device = Device::open(&args.device, runtime::Device::Cpu)?;
    memory::check_weights("generate", device.runtime(), model.declarations(), dtype)?;
    let weights = model.load(dtype)?;
    let mut generator = Generator::new(&model, &weights, device.runtime())?.watching(Watch::Outputs);
    check_memory(args, &mut generator, prompt.len(), &device)?;
    match args.beams {
        Some(beams) => search(args, &mut generator, (&words, &prompt), (beams, stop)),
        None => sample(args, &mut generator, (&words, &prompt), (sampling, stop)),
    }
}

/// Tokens that a text of the model's own begins with: an encoder-decoder writes one about the prompt, others go on with the prompt.
fn starts(model: &Model) -> Option<usize> {
    model.network().signature().encoder_decoder.map(|_| 1)
}

/// Refuses a text whose keys and values take more memory than is left.
fn check_memory(
    args: &GenerateArgs,
    generator: &mut Generator,
    prompt: usize,
    device: &Device,
) -> Result<()> {
    let (text, source) = starts(generator.model()).map_or((prompt, 0), |starts| (starts, prompt));
    let facts = generator.model().facts();
    let capacity = text.saturating_add(args.tokens.saturating_sub(1)).clamp(1, facts.max_tokens);
    // More beams than there are tokens are refused by the search.
    let streams = args.beams.unwrap_or(1).clamp(1, facts.vocab_size.min(1 << 16));
    let kept = generator.bytes(streams, capacity, source)?;
    memory::check("generate", device.runtime(), "what is kept of the text", kept)
}

/// Prints the likeliest continuation by beams.
fn search(
    args: &GenerateArgs,
    generator: &mut Generator,
    (words, prompt): (&Words, &Vec<u32>),
    (beams, stop): (usize, Vec<u32>),
) -> Result<()> {
    let options = BeamOptions::new(args.tokens, beams).length_penalty(args.length_penalty).stop(stop);
    let found = generator.beams(prompt, &options)?;
    let starts = starts(generator.model());
    let own = found.first().map_or(&[][..], |best| &best.tokens[starts.unwrap_or(prompt.len())..]);
    let mut text = Growing::new(words, starts.is_none().then_some((&args.prompt, prompt)))?;
    own.iter().try_for_each(|&id| text.push(id))?;
    text.end()
}

/// Prints a continuation that is drawn, as it grows.
fn sample(
    args: &GenerateArgs,
    generator: &mut Generator,
    (words, prompt): (&Words, &Vec<u32>),
    (sampling, stop): (Sampling, Vec<u32>),
) -> Result<()> {
    let (most, starts) = (generator.model().facts().max_tokens, starts(generator.model()));
    if starts.is_none() && prompt.len().saturating_add(args.tokens) > most + 1 {
        let half = most.div_ceil(2);
        output::note(format!("the model reads {most} tokens: what is longer goes on from its last {half}"));
    }
    let options = Options::new(args.tokens).sampling(sampling).stop(stop).seed(args.seed).restarting();
    let mut text = Growing::new(words, starts.is_none().then_some((&args.prompt, prompt)))?;
    let mut outcome = Ok(());
    generator.generate(&[prompt], &options, |_, id| {
        outcome = text.push(id);
        outcome.is_ok()
    })?;
    outcome?;
    text.end()
}

/// A text that is printed as it grows. Nothing is before its first token is there.
struct Growing<'a> {
    /// Nothing where tokens are bytes.
    text: Option<GrowingText<'a>>,
    /// What the text begins with, until it is printed.
    start: Option<&'a str>,
}

impl<'a> Growing<'a> {
    /// A text behind a prompt, which has those ids, or one without any.
    fn new(words: &'a Words, prompt: Option<(&'a String, &Vec<u32>)>) -> Result<Self> {
        let text = match words {
            Words::Bytes => None,
            Words::Tokens(tokenizer) => {
                let known = known(tokenizer, prompt.map_or(&[][..], |(_, ids)| ids));
                Some(tokenizer.growing(&known)?)
            }
        };
        Ok(Self { text, start: prompt.map(|(text, _)| text.as_str()) })
    }

    fn push(&mut self, id: u32) -> Result<()> {
        self.print_start()?;
        match &mut self.text {
            // Bytes that are no UTF-8 go out as they are.
            None => print([id as u8]),
            Some(text) => print(text.push(id)?.as_bytes()),
        }
    }

    /// The rest, and the end of the line.
    fn end(mut self) -> Result<()> {
        self.print_start()?;
        let rest = self.text.map(GrowingText::end).transpose()?.unwrap_or_default();
        print(format!("{rest}\n").as_bytes())
    }

    fn print_start(&mut self) -> Result<()> {
        self.start.take().map_or(Ok(()), |start| print(start.as_bytes()))
    }
}

/// Refuses ids that the model has no words for.
fn check_ids(flag: &str, ids: &[u32], model: &Model) -> Result<()> {
    let vocabulary = model.facts().vocab_size;
    match ids.iter().find(|id| **id as usize >= vocabulary) {
        None => Ok(()),
        Some(id) => Err(Error::new(ErrorKind::Argument, "generate", flag)
            .expecting(format!("ids below {vocabulary}, the model's vocabulary"))
            .but_found(id)),
    }
}

/// The model, its words, and the tokens that end a text.
fn open(args: &GenerateArgs) -> Result<(Model, Words, Vec<u32>)> {
    let config = args.model.join("config.json");
    let (model, words, usual) = if config.exists() {
        let model = open_folder("generate", &args.model, Task::Logits)?;
        Generator::check_model(&model)?;
        let stop = ends(&args.model, &Fields::open(&config)?, model.facts().vocab_size)?;
        (model, Words::Tokens(Box::new(Tokenizer::open(&args.model)?)), stop)
    } else {
        (byte_level(&args.model)?, Words::Bytes, Vec::new())
    };
    check_ids("--stop", &args.stop, &model)?;
    let stop = if args.stop.is_empty() { usual } else { args.stop.clone() };
    Ok((model, words, stop))
}

/// The tokens that end a text: the `eos_token_id`, one or a list, of `generation_config.json` in `folder`, or else of the model's own
/// configuration.
fn ends(folder: &Path, config: &Fields, vocabulary: usize) -> Result<Vec<u32>> {
    const NAME: &str = "eos_token_id";
    let generation = folder.join("generation_config.json");
    let generation = generation.exists().then(|| Fields::open(&generation)).transpose()?;
    let first = generation.iter().chain([config]).find(|fields| fields.has(NAME));
    first.map_or_else(|| Ok(Vec::new()), |fields| fields.ids(NAME, vocabulary))
}

/// A model of `foveate train lm`.
fn byte_level(path: &Path) -> Result<Model> {
    let path = if path.is_dir() { path.join(CHECKPOINT) } else { path.to_owned() };
    memory::check_files("generate", &path)?;
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
}

/// The ids that have a token: a model may have more rows than the vocabulary has tokens.
fn known(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<u32> {
    ids.iter().copied().filter(|id| tokenizer.token(*id).is_some()).collect()
}
