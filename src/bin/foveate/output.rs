//! Where results and messages go: stdout, files and stderr. Nothing is lost without a sentence, and nobody needs to be there for messages.
//!
//! Where stdout is a pipe that nobody reads any more, a command ends without a word and with the exit code that shells report of programs that
//! SIGPIPE ends ([`CLOSED_CODE`]); `train` saves first.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt::Display;
use std::io::{self, Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use foveate::outputs::OutputFile;
use foveate::{Error, ErrorKind, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// The exit code where stdout is closed: 128 and the number of SIGPIPE.
pub(crate) const CLOSED_CODE: u8 = 141;

/// What an error says it found that is of a stdout which nobody reads.
const CLOSED: &str = "none any more";

/// Where the user wants a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Stdout,
    File(PathBuf),
}

impl FromStr for Target {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "-" { Self::Stdout } else { Self::File(text.into()) })
    }
}

/// A target that has been looked at, so that a path that cannot be written is refused before anything is computed.
#[derive(Debug)]
pub(crate) struct Sink {
    command: &'static str,
    flag: &'static str,
    /// As the user wrote it.
    path: PathBuf,
    /// None for stdout.
    file: Option<OutputFile>,
}

impl Sink {
    /// Opens `target`, the value of `flag` of `command`. A file that is there keeps its contents, and none comes to be, until [`Sink::write`].
    pub(crate) fn open(command: &'static str, flag: &'static str, target: &Target) -> Result<Self> {
        let mut sink = Self { command, flag, path: "-".into(), file: None };
        if let Target::File(path) = target {
            sink.path.clone_from(path);
            // By whatever name.
            if !is_stdout(path) {
                sink.file = Some(OutputFile::open(path).map_err(|error| sink.refused(&error))?);
            }
        }
        Ok(sink)
    }

    /// The same for a flag that names files alone.
    pub(crate) fn file(command: &'static str, flag: &'static str, path: &Path) -> Result<Self> {
        Self::open(command, flag, &Target::File(path.to_owned()))
    }

    pub(crate) fn is_stdout(&self) -> bool {
        self.file.is_none()
    }

    /// Replaces the target's contents, a file's in one move.
    pub(crate) fn write(&self, contents: impl AsRef<[u8]>) -> Result<()> {
        match &self.file {
            None => print(contents),
            Some(file) => file.write(contents).map_err(|error| self.refused(&error)),
        }
    }

    fn argument(&self) -> String {
        format!("{} {}", self.flag, one_line(&self.path.display().to_string(), 200))
    }

    fn refused(&self, error: &io::Error) -> Error {
        Error::new(ErrorKind::Io, self.command, self.argument())
            .expecting("a file in a folder that is there, or a device, that can be written")
            .but_found(error)
    }
}

/// A file that a command reads, behind the flag that names it.
pub(crate) type InputFile<'a> = (&'static str, Cow<'a, Path>);

/// Refuses two of `sinks` that are one file, or both stdout, and one that is among the files that the command reads.
pub(crate) fn check<'a>(sinks: impl IntoIterator<Item = &'a Sink>, read: &[InputFile<'_>]) -> Result<()> {
    let sinks: Vec<&Sink> = sinks.into_iter().collect();
    let is_same = |one: &Sink, other: &Sink| match (&one.file, &other.file) {
        (Some(one), Some(other)) => one.is_same(other),
        (None, None) => true,
        _ => false,
    };
    for (at, one) in sinks.iter().enumerate() {
        if let Some(other) = sinks[..at].iter().find(|other| is_same(one, other)) {
            let shown = one_line(&one.path.display().to_string(), 200);
            return Err(Error::new(
                ErrorKind::Argument,
                one.command,
                format!("{} and {}", other.flag, one.flag),
            )
            .expecting("a file for each, or stdout for one of them")
            .but_found(format!("`{shown}` for both")));
        }
        let is_at = |(_, path): &&InputFile<'_>| one.file.as_ref().is_some_and(|file| file.is_at(path));
        if let Some((flag, _)) = read.iter().find(is_at) {
            return Err(Error::new(ErrorKind::Argument, one.command, one.argument())
                .expecting(format!("another file than that of {flag}"))
                .but_found("the same"));
        }
    }
    Ok(())
}

/// Whether `path` leads to what stdout is: `/dev/stdout`, and the file or the device that it goes to.
fn is_stdout(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::fs::{File, Metadata};
        use std::os::fd::AsFd;
        use std::os::unix::fs::MetadataExt;
        let place = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let own = stdout().as_fd().try_clone_to_owned().and_then(|stdout| File::from(stdout).metadata());
        matches!((path.metadata().map(place), own.map(place)), (Ok(there), Ok(own)) if there == own)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

/// Writes `contents` to stdout as they are.
pub(crate) fn print(contents: impl AsRef<[u8]>) -> Result<()> {
    let mut stdout = stdout().lock();
    stdout.write_all(contents.as_ref()).and_then(|()| stdout.flush()).map_err(|error| {
        let refused = Error::new(ErrorKind::Io, "output", "stdout");
        match error.kind() {
            io::ErrorKind::BrokenPipe => refused.expecting("a reader").but_found(CLOSED),
            _ => refused.but_found(error),
        }
    })
}

/// Whether it is nobody's fault but that stdout is no longer read.
pub(crate) fn is_closed(error: &Error) -> bool {
    error.argument() == "stdout" && error.found() == CLOSED
}

/// `sentence` in lines, those behind the first indented, where it is longer than a few: what lists many things is.
pub(crate) fn wrapped(sentence: &str) -> String {
    const LONG: usize = 400;
    const WIDTH: usize = 100;
    if sentence.chars().count() <= LONG {
        return sentence.to_owned();
    }
    let (mut text, mut column) = (String::new(), 0);
    for word in sentence.split(' ') {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > WIDTH {
            text.push_str("\n  ");
            column = 2;
        } else if column > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text
}

/// Writes a line of messages to stderr. Where it cannot be written, nobody could be told of that.
pub(crate) fn note(line: impl Display) {
    let _ = stderr().lock().write_all(format!("{line}\n").as_bytes());
}

/// Results on their way out. Whatever becomes of one, the others are written, and the first error is told at the end.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    error: Option<Error>,
    /// Whether a document is on stdout, in place of the text.
    has_stdout: bool,
}

impl Delivery {
    /// Writes `contents` to `sink`, where there is one; whether they are there now.
    pub(crate) fn put<C: AsRef<[u8]>>(
        &mut self,
        sink: Option<&Sink>,
        contents: impl FnOnce() -> Result<C>,
    ) -> bool {
        let Some(sink) = sink else { return false };
        self.has_stdout |= sink.is_stdout();
        self.note(contents().and_then(|contents| sink.write(contents)))
    }

    /// Keeps the first error; whether there is none here.
    pub(crate) fn note(&mut self, outcome: Result<()>) -> bool {
        let is_fine = outcome.is_ok();
        self.error = self.error.take().or(outcome.err());
        is_fine
    }

    /// Prints `text`, unless a document is on stdout, and tells how all of it went.
    pub(crate) fn end(mut self, text: impl FnOnce() -> String) -> Result<()> {
        if !self.has_stdout {
            self.note(print(text()));
        }
        self.error.map_or(Ok(()), Err)
    }
}

/// Hands out a report: `document` as JSON where the user wants it, and `text` on stdout unless that is there.
pub(crate) fn report(
    json: Option<&Sink>,
    document: &impl Serialize,
    text: impl FnOnce() -> String,
) -> Result<()> {
    let mut delivery = Delivery::default();
    delivery.put(json, || self::json(document));
    delivery.end(text)
}

/// `document` as indented JSON with a newline behind it.
pub(crate) fn json(document: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(document)
        .map_err(|error| Error::new(ErrorKind::Io, "output", "json").but_found(error))?;
    Ok(text + "\n")
}

/// A bar over `steps` on stderr; it stays hidden when that is not a terminal.
pub(crate) fn progress(steps: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}");
    // The template is a constant; were it wrong, the default style would do as well.
    ProgressBar::new(steps as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Prints a line of results while `bar` is drawn.
pub(crate) fn print_line(bar: &ProgressBar, line: &dyn Display) -> Result<()> {
    bar.suspend(|| print(format!("{line}\n")))
}

/// Lines of results that are printed one by one, above a bar, beside a result that is worth more: once one cannot be printed, those behind it
/// are left out.
#[derive(Debug)]
pub(crate) struct Lines {
    is_quiet: bool,
    outcome: Result<()>,
}

impl Lines {
    /// None where stdout has a document, so that one `is_quiet`.
    pub(crate) fn new(is_quiet: bool) -> Self {
        Self { is_quiet, outcome: Ok(()) }
    }

    pub(crate) fn print(&mut self, bar: &ProgressBar, line: &dyn Display) {
        if !self.is_quiet && self.outcome.is_ok() {
            self.outcome = print_line(bar, line);
        }
    }

    /// Whether all could be printed until now.
    pub(crate) fn outcome(&self) -> Result<()> {
        self.outcome.clone()
    }
}

/// At most `most` characters of `text` on one line: what would move a terminal's cursor is escaped.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let mut line = String::new();
    for character in text.chars().take(most) {
        if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    if text.chars().nth(most).is_some() { line + ".." } else { line }
}
