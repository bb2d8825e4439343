//! What a model is run on: texts and ids from flags, files and stdin, each under the name that messages call it by.

use std::borrow::Cow;
use std::io::{BufRead, BufReader, IsTerminal, Read, stdin};
use std::path::Path;

use foveate::models::Facts;
use foveate::tokenize::{Encoding as Tokens, Tokenizer};
use foveate::weights::open_file;
use foveate::{Error, ErrorKind, Result};
use rayon::prelude::*;

use crate::args::{RunArgs, TaskName};
use crate::limits;

/// Bytes of a line. No model reads as much; a file without lines is refused before it fills memory.
const MOST_LINE: u64 = 1 << 20;

/// One sequence as it was given.
#[derive(Debug)]
pub(crate) struct Given {
    source: String,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// A text, or two.
    Texts(Vec<String>),
    /// Ids, and the text that each counts to; nothing where all are of the first.
    Ids(Vec<u32>, Vec<u32>),
}

/// One sequence as the model takes it.
#[derive(Debug)]
pub(crate) struct Input {
    /// What messages call it: `--text 1`, `moby-dick.txt line 7`.
    pub(crate) source: String,
    /// The text, or two, where ids were not given in their place.
    pub(super) texts: Vec<String>,
    /// Where the tokens come from, for tasks that ask.
    pub(super) encoding: Option<Tokens>,
    pub(crate) ids: Vec<u32>,
    /// The text that each token counts to; nothing where all are of the first.
    pub(crate) types: Vec<u32>,
    /// Whether something was cut off.
    pub(crate) truncated: bool,
}

impl Given {
    /// A text, or two, that messages call `source`.
    pub(crate) fn of_texts(source: String, texts: Vec<String>) -> Self {
        Self { source, content: Content::Texts(texts) }
    }
}

impl AsRef<[u32]> for Input {
    fn as_ref(&self) -> &[u32] {
        &self.ids
    }
}

/// Everything the flags ask for: texts, then ids, then lines. An encoder-decoder `writes_another` text about each, which it scores.
pub(super) fn gather(args: &RunArgs, writes_another: bool) -> Result<Vec<Given>> {
    let mut given = Vec::new();
    for (flag, own, beside, found) in [
        ("--pair", "--text", args.text.len(), args.pair.len()),
        ("--types", "--ids", args.ids.len(), args.types.len()),
    ] {
        if ![0, beside].contains(&found) {
            return Err(refused("run", flag)
                .expecting(format!("{beside}, one for each {own}"))
                .but_found(found));
        }
    }
    let is_single = match args.task {
        TaskName::Label => true,
        TaskName::Score => !writes_another,
        _ => false,
    };
    if is_single && !args.pair.is_empty() {
        return Err(refused("run", "--pair")
            .expecting(format!("none, as {} is about single texts", args.task.name()))
            .but_found(args.pair.len()));
    }
    for (index, text) in args.text.iter().enumerate() {
        let source = format!("--text {}", index + 1);
        let texts: Vec<String> = [Some(text), args.pair.get(index)].into_iter().flatten().cloned().collect();
        if texts.iter().any(|text| text.trim().is_empty()) {
            return Err(refused(&source, "text").expecting("words").but_found("nothing but blanks"));
        }
        given.push(Given::of_texts(source, texts));
    }
    for (index, ids) in args.ids.iter().enumerate() {
        let source = format!("--ids {}", index + 1);
        let ids = parse_numbers(&source, "ids", "token id", ids)?;
        let types = match args.types.get(index) {
            Some(types) => parse_numbers(&format!("--types {}", index + 1), "types", "type", types)?,
            None => Vec::new(),
        };
        given.push(Given { source, content: Content::Ids(ids, types) });
    }
    match &args.input {
        Some(path) if path == Path::new("-") => given.extend(lines_of("stdin", stdin().lock())?),
        Some(path) => given.extend(lines_of_file(path)?),
        None if !given.is_empty() => {}
        None if stdin().is_terminal() => {
            return Err(refused("run", "--text, --ids or --input")
                .expecting("at least one of them, or lines on stdin")
                .but_found("a terminal there"));
        }
        None => given.extend(lines_of("stdin", stdin().lock())?),
    }
    if given.is_empty() {
        let source = args.input.as_ref().map_or_else(|| "stdin".into(), |path| path.display().to_string());
        return Err(refused(&source, "lines").expecting("at least one with a text").but_found("none"));
    }
    Ok(given)
}

/// The numbers of a flag called `argument`, each a `name`.
fn parse_numbers(source: &str, argument: &str, name: &str, text: &str) -> Result<Vec<u32>> {
    let parts = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| !part.is_empty());
    let numbers: Vec<u32> = parts
        .map(|part| {
            part.parse().map_err(|_| {
                let shown: String = part.chars().take(40).collect();
                refused(source, argument)
                    .expecting(format!("{name}s with commas or blanks between them"))
                    .but_found(format!("{shown:?}"))
            })
        })
        .collect::<Result<_>>()?;
    if numbers.is_empty() {
        return Err(refused(source, argument).expecting(format!("at least one {name}")).but_found("none"));
    }
    Ok(numbers)
}

/// The lines of the file at `path` that are not blank, as texts under their numbers.
pub(crate) fn lines_of_file(path: &Path) -> Result<Vec<Given>> {
    let source = path.display().to_string();
    lines_of(&source, BufReader::new(open_file(path, limits::TEXT)?))
}

fn lines_of(source: &str, reader: impl BufRead) -> Result<Vec<Given>> {
    let mut given = Vec::new();
    read_lines(source, reader, |source, text| {
        given.push(Given::of_texts(source, vec![text.to_owned()]));
        Ok(())
    })?;
    Ok(given)
}

/// Gives `take` the lines that are not blank, each with the name that messages call it by: that of the file, and its number there.
pub(crate) fn read_lines(
    source: &str,
    mut reader: impl BufRead,
    mut take: impl FnMut(String, &str) -> Result<()>,
) -> Result<()> {
    let mut line = Vec::new();
    for number in 1_usize.. {
        line.clear();
        let mut bounded = reader.by_ref().take(MOST_LINE + 1);
        if bounded.read_until(b'\n', &mut line).map_err(|error| unreadable(source, &error))? == 0 {
            break;
        }
        let source = format!("{source} line {number}");
        if line.len() as u64 > MOST_LINE {
            return Err(refused(&source, "length")
                .expecting(format!("at most {MOST_LINE} bytes"))
                .but_found("more"));
        }
        let text = std::str::from_utf8(&line).map_err(|error| {
            let at = error.valid_up_to();
            Error::new(ErrorKind::Io, source.clone(), "text").expecting("UTF-8").but_found(format!(
                "0x{:02x} at byte {}",
                line[at],
                at + 1
            ))
        })?;
        // Some editors begin a file with a byte order mark, which is no part of its text.
        let text = if number == 1 { text.trim_start_matches('\u{feff}') } else { text };
        let text = text.trim_end_matches(['\r', '\n']);
        if !text.trim().is_empty() {
            take(source, text)?;
        }
    }
    Ok(())
}

/// Whether some of it needs a tokenizer.
pub(super) fn has_text(given: &[Given]) -> bool {
    given.iter().any(|given| matches!(given.content, Content::Texts(_)))
}

/// How sequences are made to fit a model.
#[derive(Debug)]
pub(crate) struct Encoding<'a> {
    pub(crate) tokenizer: Option<&'a Tokenizer>,
    pub(crate) facts: Facts,
    pub(crate) truncate: bool,
    pub(crate) task: TaskName,
    /// Whether the model, an encoder-decoder, scores the second text about the first.
    pub(crate) writes_another: bool,
    /// What is put before every text, or nothing.
    pub(crate) prompt: &'a str,
}

impl Encoding<'_> {
    /// Ids of everything, checked against the model. Fails with the first input's error, by its name.
    pub(crate) fn encode(&self, given: Vec<Given>) -> Result<Vec<Input>> {
        // What a text without any token comes to.
        let empty = self.tokenizer.map_or(Ok(0), |tokenizer| tokenizer.encode("").map(|ids| ids.len()))?;
        let encoded: Vec<_> = given.into_par_iter().map(|given| self.encode_one(given, empty)).collect();
        encoded.into_iter().collect()
    }

    fn encode_one(&self, Given { source, content }: Given, empty: usize) -> Result<Input> {
        let most = self.facts.max_tokens;
        let mut input = match content {
            Content::Ids(ids, types) => {
                if matches!(self.task, TaskName::Label | TaskName::Answer) {
                    return Err(refused(&source, "--ids")
                        .expecting(format!("--text, as {} gives places in texts", self.task.name()))
                        .but_found("ids"));
                }
                if self.writes_another {
                    check_target(&source, &types)?;
                }
                Input { source, texts: Vec::new(), encoding: None, ids, types, truncated: false }
            }
            Content::Texts(texts) => self.encode_texts(source, texts, usize::MAX)?,
        };
        if !input.texts.is_empty() && input.ids.len() <= empty {
            return Err(refused(&input.source, "text")
                .expecting("something the tokenizer sees")
                .but_found("no token"));
        }
        if input.ids.len() > most {
            if !self.truncate {
                return Err(refused(&input.source, "tokens")
                    .expecting(format!("at most {most}"))
                    .but_found(input.ids.len())
                    .with_hint("--truncate cuts what is too long"));
            }
            if input.texts.is_empty() {
                input.ids.truncate(most);
                input.types.truncate(most);
            } else {
                input = self.encode_texts(input.source, input.texts, most)?;
            }
            input.truncated = true;
        }
        self.check(&input)?;
        Ok(input)
    }

    /// Refuses what the model would: it does not know the input's name.
    fn check(&self, input: &Input) -> Result<()> {
        let Input { source, ids, types, .. } = input;
        if !types.is_empty() && types.len() != ids.len() {
            return Err(refused(source, "types")
                .expecting(format!("{}, one a token", ids.len()))
                .but_found(types.len()));
        }
        let most_types = if self.writes_another { 2 } else { self.facts.types };
        let bounds = [("token", ids, self.facts.vocab_size, "an id"), ("type", types, most_types, "a type")];
        for (what, values, most, expected) in bounds {
            if let Some(at) = values.iter().position(|value| *value as usize >= most) {
                let of = if what == "token" { ", the model's vocabulary" } else { "" };
                return Err(refused(source, &format!("{what} {at}"))
                    .expecting(format!("{expected} below {most}{of}"))
                    .but_found(values[at]));
            }
        }
        Ok(())
    }

    /// At most `most` tokens of a text, or of two.
    fn encode_texts(&self, source: String, texts: Vec<String>, most: usize) -> Result<Input> {
        if self.task == TaskName::Answer && texts.len() == 1 {
            return Err(refused(&source, "--pair")
                .expecting("the passage, beside the question")
                .but_found("none"));
        }
        if self.writes_another {
            let [text, target] = &texts[..] else {
                return Err(refused(&source, "--pair")
                    .expecting("the target, beside the source text")
                    .but_found("none"));
            };
            let mut ids = self.tokenize(&source, text, most)?;
            let target = self.tokenize(&source, target, most)?;
            let types = (0..ids.len() + target.len()).map(|at| u32::from(at >= ids.len())).collect();
            ids.extend(target);
            return Ok(Input { source, texts, encoding: None, ids, types, truncated: false });
        }
        let needs_places = matches!(self.task, TaskName::Label | TaskName::Answer);
        let (ids, types, encoding) = if needs_places || texts.len() > 1 {
            let tokenizer =
                self.tokenizer.ok_or_else(|| refused(&source, "text").expecting("a tokenizer"))?;
            let first = self.prompted(&texts[0]);
            let others = texts.iter().skip(1).map(String::as_str);
            let parts: Vec<&str> = [&*first].into_iter().chain(others).collect();
            let encoding = named(&source, tokenizer.encode_texts(&parts, most))?;
            // Models of one type take pairs by the tokens between the two.
            let types = if self.facts.types > 1 { encoding.types.clone() } else { Vec::new() };
            (encoding.ids.clone(), types, Some(encoding))
        } else {
            (self.tokenize(&source, &self.prompted(&texts[0]), most)?, Vec::new(), None)
        };
        Ok(Input { source, texts, encoding, ids, types, truncated: false })
    }

    fn prompted<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.prompt.is_empty() { text.into() } else { format!("{}{text}", self.prompt).into() }
    }

    fn tokenize(&self, source: &str, text: &str, most: usize) -> Result<Vec<u32>> {
        let tokenizer = self.tokenizer.ok_or_else(|| refused(source, "text").expecting("a tokenizer"))?;
        named(source, tokenizer.encode_truncated(text, most))
    }
}

/// Refuses types that are not those of a source text and, behind it, a target.
fn check_target(source: &str, types: &[u32]) -> Result<()> {
    let begins = types.iter().position(|&of| of != 0).unwrap_or(0);
    if begins > 0 && types[begins..].iter().all(|&of| of == 1) {
        return Ok(());
    }
    Err(refused(source, "--types")
        .expecting("0 for each token of the source text, and behind it 1 for each of the target")
        .but_found(if types.is_empty() { "none".to_owned() } else { format!("{types:?}") }))
}

/// The result, or its error under the name of the input.
fn named<T>(source: &str, result: Result<T>) -> Result<T> {
    result.map_err(|error| {
        Error::new(error.kind(), source.to_owned(), error.argument())
            .expecting(error.expected())
            .but_found(error.found())
    })
}

pub(crate) fn refused(source: &str, argument: &str) -> Error {
    Error::new(ErrorKind::Argument, source.to_owned(), argument)
}

pub(crate) fn unreadable(source: &str, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, source.to_owned(), "file").expecting("a readable file").but_found(error)
}
