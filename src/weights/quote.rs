//! Text from files, fit for an error message: one line, bounded.

use std::fmt::{self, Display, Write};

/// Characters of a name that a message shows.
const NAME: usize = 120;
/// Characters of another library's complaint that a message shows.
const COMPLAINT: usize = 300;

/// `name` on one line: control characters escaped, the middle of a long one left out (names differ at both ends).
pub(crate) fn name(name: &str) -> String {
    let length = name.chars().count();
    if length <= NAME {
        return escaped(name.chars());
    }
    let half = NAME / 2;
    format!("{}..{}", escaped(name.chars().take(half)), escaped(name.chars().skip(length - half)))
}

/// Another library's error text, which may quote the file at any length.
pub(crate) fn complaint(error: &impl Display) -> String {
    let mut text = Bounded { text: String::new(), left: COMPLAINT };
    // Stops with an error when the bound is reached, so that a megabyte of quoted file is never formatted.
    let whole = write!(text, "{error}").is_ok();
    if whole { text.text } else { text.text + ".." }
}

/// What is wrong with a JSON document, without the place, which messages have already.
pub(crate) fn json(error: &serde_json::Error) -> String {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let complaint = complaint(error);
    complaint.strip_suffix(&place).map(str::to_owned).unwrap_or(complaint)
}

/// A shape from a file, which may have any number of axes.
pub(crate) fn shape(dims: &[usize]) -> String {
    const AXES: usize = 8;
    let shown: Vec<String> = dims.iter().take(AXES).map(usize::to_string).collect();
    let more = if dims.len() > AXES { format!(", .. {} axes", dims.len()) } else { String::new() };
    format!("[{}{more}]", shown.join(", "))
}

fn escaped(characters: impl Iterator<Item = char>) -> String {
    let mut text = String::new();
    characters.for_each(|character| push_escaped(&mut text, character));
    text
}

fn push_escaped(text: &mut String, character: char) {
    // Line and paragraph separators are no control characters to Unicode, yet end lines in many viewers.
    if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
        text.extend(character.escape_default());
    } else {
        text.push(character);
    }
}

struct Bounded {
    text: String,
    left: usize,
}

impl Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for character in part.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            push_escaped(&mut self.text, character);
        }
        Ok(())
    }
}
