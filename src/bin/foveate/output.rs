//! Where results go: stdout or files. Nothing is lost to a closed pipe or a missing folder without a sentence.

use std::convert::Infallible;
use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write, stdout};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use foveate::weights::replace_file;
use foveate::{Error, ErrorKind, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

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

/// A target that has been opened, so that a path that cannot be written is refused before anything is measured.
#[derive(Debug)]
pub(crate) struct Sink {
    flag: &'static str,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Stdout,
    /// A path with a file or nothing at it.
    File(PathBuf),
    /// A device, a pipe or a link, which a file must not replace.
    Open(PathBuf, File),
}

impl Sink {
    /// Opens `target`, the value of `flag`. A file that is there keeps its contents, and none comes to be, until [`Sink::write`].
    pub(crate) fn open(flag: &'static str, target: &Target) -> Result<Self> {
        let Target::File(path) = target else { return Ok(Self { flag, place: Place::Stdout }) };
        let failed = |error| refused(flag, path, &error);
        let there = path.symlink_metadata().ok();
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(failed)?;
        let place = match there {
            Some(there) if !there.is_file() => Place::Open(path.clone(), file),
            Some(_) => Place::File(path.clone()),
            None => {
                drop(file);
                fs::remove_file(path).map_err(failed)?;
                Place::File(path.clone())
            }
        };
        Ok(Self { flag, place })
    }

    /// Replaces the target's contents, a file's in one move.
    pub(crate) fn write(&self, contents: impl AsRef<[u8]>) -> Result<()> {
        let contents = contents.as_ref();
        let (path, written) = match &self.place {
            Place::Stdout => return print(contents),
            Place::File(path) => (path, replace_file(path, contents)),
            Place::Open(path, file) => (path, overwrite(file, contents)),
        };
        written.map_err(|error| refused(self.flag, path, &error))
    }
}

fn overwrite(mut file: &File, contents: &[u8]) -> io::Result<()> {
    // What is no file has no length.
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    file.write_all(contents)
}

fn refused(flag: &'static str, path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "output", format!("{flag} {}", path.display()))
        .expecting("a file that can be written")
        .but_found(error)
}

/// Writes `contents` to stdout as they are.
pub(crate) fn print(contents: impl AsRef<[u8]>) -> Result<()> {
    let mut stdout = stdout().lock();
    stdout
        .write_all(contents.as_ref())
        .and_then(|()| stdout.flush())
        .map_err(|error| Error::new(ErrorKind::Io, "output", "stdout").but_found(error))
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
