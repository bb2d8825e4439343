//! What a model is run on: texts and ids from flags, files and stdin, each under the name that messages call it by.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read, stdin};
use std::path::Path;

use foveate::models::Facts;
use foveate::tokenize::Tokenizer;
use foveate::{Error, ErrorKind, Result};
use rayon::prelude::*;

use crate::args::RunArgs;

/// Bytes of a line. No model reads as much; a file without lines is refused before it fills memory.
const MOST_LINE: u64 = 1 << 20;

/// One sequence as it was given.
#[derive(Debug)]
pub(super) struct Given {
    source: String,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Text(String),
    Ids(Vec<u32>),
}

/// One sequence as the model takes it.
#[derive(Debug)]
pub(super) struct Input {
    /// What messages call it: `--text 1`, `moby-dick.txt line 7`.
    pub(super) source: String,
    /// The text, where ids were not given in its place.
    pub(super) text: Option<String>,
    pub(super) ids: Vec<u32>,
    /// Whether something was cut off.
    pub(super) truncated: bool,
}

impl AsRef<[u32]> for Input {
    fn as_ref(&self) -> &[u32] {
        &self.ids
    }
}

/// Everything the flags ask for: texts, then ids, then lines.
pub(super) fn gather(args: &RunArgs) -> Result<Vec<Given>> {
    let mut given = Vec::new();
    for (text, number) in args.text.iter().zip(1..) {
        let source = format!("--text {number}");
        if text.trim().is_empty() {
            return Err(refused(&source, "text").expecting("words").but_found("nothing but blanks"));
        }
        given.push(Given { source, content: Content::Text(text.clone()) });
    }
    for (ids, number) in args.ids.iter().zip(1..) {
        let source = format!("--ids {number}");
        let ids = parse_ids(&source, ids)?;
        given.push(Given { source, content: Content::Ids(ids) });
    }
    match &args.input {
        Some(path) if path == Path::new("-") => read_lines("stdin", stdin().lock(), &mut given)?,
        Some(path) => {
            let source = path.display().to_string();
            let file = File::open(path).map_err(|error| unreadable(&source, &error))?;
            read_lines(&source, BufReader::new(file), &mut given)?;
        }
        None if !given.is_empty() => {}
        None if stdin().is_terminal() => {
            return Err(refused("run", "--text, --ids or --input")
                .expecting("at least one of them, or lines on stdin")
                .but_found("a terminal there"));
        }
        None => read_lines("stdin", stdin().lock(), &mut given)?,
    }
    if given.is_empty() {
        let source = args.input.as_ref().map_or_else(|| "stdin".into(), |path| path.display().to_string());
        return Err(refused(&source, "lines").expecting("at least one with a text").but_found("none"));
    }
    Ok(given)
}

fn parse_ids(source: &str, text: &str) -> Result<Vec<u32>> {
    let parts = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| !part.is_empty());
    let ids: Vec<u32> = parts
        .map(|part| {
            part.parse().map_err(|_| {
                let shown: String = part.chars().take(40).collect();
                refused(source, "ids")
                    .expecting("token ids with commas or blanks between them")
                    .but_found(format!("{shown:?}"))
            })
        })
        .collect::<Result<_>>()?;
    if ids.is_empty() {
        return Err(refused(source, "ids").expecting("at least one token id").but_found("none"));
    }
    Ok(ids)
}

/// Adds the lines that are not blank, under their numbers in the file.
fn read_lines(source: &str, mut reader: impl BufRead, given: &mut Vec<Given>) -> Result<()> {
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
            given.push(Given { source, content: Content::Text(text.to_owned()) });
        }
    }
    Ok(())
}

/// Whether some of it needs a tokenizer.
pub(super) fn has_text(given: &[Given]) -> bool {
    given.iter().any(|given| matches!(given.content, Content::Text(_)))
}

/// How sequences are made to fit a model.
#[derive(Debug)]
pub(super) struct Encoding<'a> {
    pub(super) tokenizer: Option<&'a Tokenizer>,
    pub(super) facts: Facts,
    pub(super) truncate: bool,
}

impl Encoding<'_> {
    /// Ids of everything, checked against the model. Fails with the first input's error, by its name.
    pub(super) fn encode(&self, given: Vec<Given>) -> Result<Vec<Input>> {
        // What a text without any token comes to.
        let empty = self.tokenizer.map_or(Ok(0), |tokenizer| tokenizer.encode("").map(|ids| ids.len()))?;
        let encoded: Vec<_> = given.into_par_iter().map(|given| self.encode_one(given, empty)).collect();
        encoded.into_iter().collect()
    }

    fn encode_one(&self, Given { source, content }: Given, empty: usize) -> Result<Input> {
        let most = self.facts.max_tokens;
        let (text, mut ids) = match content {
            Content::Ids(ids) => (None, ids),
            Content::Text(text) => {
                let ids = self.tokenize(&source, &text, usize::MAX)?;
                if ids.len() <= empty {
                    return Err(refused(&source, "text")
                        .expecting("something the tokenizer sees")
                        .but_found("no token"));
                }
                (Some(text), ids)
            }
        };
        let truncated = ids.len() > most;
        if truncated && !self.truncate {
            return Err(refused(&source, "tokens")
                .expecting(format!("at most {most}"))
                .but_found(ids.len())
                .with_hint("--truncate cuts what is too long"));
        }
        match &text {
            Some(text) if truncated => ids = self.tokenize(&source, text, most)?,
            _ => ids.truncate(most),
        }
        if let Some(at) = ids.iter().position(|id| *id as usize >= self.facts.vocab_size) {
            return Err(refused(&source, &format!("token {at}"))
                .expecting(format!("an id below {}, the model's vocabulary", self.facts.vocab_size))
                .but_found(ids[at]));
        }
        Ok(Input { source, text, ids, truncated })
    }

    fn tokenize(&self, source: &str, text: &str, most: usize) -> Result<Vec<u32>> {
        let tokenizer = self.tokenizer.ok_or_else(|| refused(source, "text").expecting("a tokenizer"))?;
        tokenizer.encode_truncated(text, most).map_err(|error| {
            Error::new(error.kind(), source.to_owned(), error.argument())
                .expecting(error.expected())
                .but_found(error.found())
        })
    }
}

fn refused(source: &str, argument: &str) -> Error {
    Error::new(ErrorKind::Argument, source.to_owned(), argument)
}

fn unreadable(source: &str, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, source.to_owned(), "file").expecting("a readable file").but_found(error)
}
