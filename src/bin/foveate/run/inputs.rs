//! What a model is run on: texts and ids from flags, files and stdin, each under the name that messages call it by.

use std::io::{BufRead, BufReader, IsTerminal, Read, stdin};
use std::path::Path;

use foveate::weights::open_file;
use foveate::{Error, ErrorKind, Result};

use crate::args::{RunArgs, TaskName};
use crate::limits;

/// Bytes of a line. No model reads as much; a file without lines is refused before it fills memory.
const MOST_LINE: u64 = 1 << 20;

/// One sequence as it was given.
#[derive(Debug)]
pub(crate) struct Given {
    pub(super) source: String,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    /// A text, or two.
    Texts(Vec<String>),
    /// Ids, and the text that each counts to; nothing where all are of the first.
    Ids(Vec<u32>, Vec<u32>),
}

impl Given {
    /// A text, or two, that messages call `source`.
    pub(crate) fn of_texts(source: String, texts: Vec<String>) -> Self {
        Self { source, content: Content::Texts(texts) }
    }
}

/// Everything the flags ask for: texts, then ids, then lines. An encoder-decoder `writes_another` text about each, which it scores.
pub(super) fn gather(args: &RunArgs, writes_another: bool) -> Result<Vec<Given>> {
    check_beside(args, writes_another)?;
    let mut given = texts(args)?;
    given.extend(ids(args)?);
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

/// Refuses second texts and types that are not one for each of what they are of, and second texts of tasks about single ones.
fn check_beside(args: &RunArgs, writes_another: bool) -> Result<()> {
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
    Ok(())
}

/// The texts of the flags, each with its second one where there is one.
fn texts(args: &RunArgs) -> Result<Vec<Given>> {
    let mut given = Vec::new();
    for (index, text) in args.text.iter().enumerate() {
        let source = format!("--text {}", index + 1);
        let texts: Vec<String> = [Some(text), args.pair.get(index)].into_iter().flatten().cloned().collect();
        if texts.iter().any(|text| text.trim().is_empty()) {
            return Err(refused(&source, "text").expecting("words").but_found("nothing but blanks"));
        }
        given.push(Given::of_texts(source, texts));
    }
    Ok(given)
}

/// The ids of the flags, with their types.
fn ids(args: &RunArgs) -> Result<Vec<Given>> {
    let mut given = Vec::new();
    for (index, ids) in args.ids.iter().enumerate() {
        let source = format!("--ids {}", index + 1);
        let ids = parse_numbers(&source, "ids", "token id", ids)?;
        let types = match args.types.get(index) {
            Some(types) => parse_numbers(&format!("--types {}", index + 1), "types", "type", types)?,
            None => Vec::new(),
        };
        given.push(Given { source, content: Content::Ids(ids, types) });
    }
    Ok(given)
}

/// The numbers of a flag called `argument`, each a `name`.
fn parse_numbers(source: &str, argument: &str, name: &str, text: &str) -> Result<Vec<u32>> {
    if text.chars().all(|c| c == ',' || c.is_whitespace()) {
        return Err(refused(source, argument).expecting(format!("at least one {name}")).but_found("none"));
    }
    let number = |part: &str| {
        part.parse().map_err(|_| {
            let shown: String = part.chars().take(40).collect();
            refused(source, argument)
                .expecting(format!("{name}s with commas or spaces between them"))
                .but_found(format!("{shown:?}"))
        })
    };
    // Between two commas something is missing.
    let between = text.split(',').flat_map(|part| match part.trim() {
        "" => vec![""],
        part => part.split_whitespace().collect(),
    });
    between.map(number).collect()
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

pub(crate) fn refused(source: &str, argument: &str) -> Error {
    Error::new(ErrorKind::Argument, source.to_owned(), argument)
}

pub(crate) fn unreadable(source: &str, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, source.to_owned(), "file").expecting("a readable file").but_found(error)
}
