//! Text from files, fit for an error message: one line, bounded.

use std::fmt::{self, Display, Write};

/// Characters of a name that a message shows.
#[cfg(feature = "models")]
const NAME: usize = 120;
/// Characters of another library's complaint that a message shows.
const COMPLAINT: usize = 300;

/// `name` on one line: control characters escaped, the middle of a long one left out (names differ at both ends).
#[cfg(feature = "models")]
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

/// What is wrong with a JSON document, without the line and column, which messages have already: what stands there in place of what.
pub(crate) fn json(error: &serde_json::Error, document: &[u8]) -> String {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let complaint = complaint(error);
    let complaint = complaint.strip_suffix(&place).unwrap_or(&complaint);
    let missing = match (complaint.strip_prefix("expected "), complaint) {
        (Some("ident"), _) => "true, false or null",
        (Some(expected), _) if error.is_syntax() => expected,
        (_, "key must be a string") => "a key in quotes",
        (_, "trailing characters") => return format!("{} behind the end of it", excerpt(error, document)),
        (_, "trailing comma") => return "a comma behind the last of a list or an object".to_owned(),
        _ => return complaint.replacen("EOF while parsing", "the end of the text in", 1),
    };
    let article = if missing == "value" { "a " } else { "" };
    format!("{} in place of {article}{missing}", excerpt(error, document))
}

/// The rest of the line from the word on that an error is in, in backquotes.
fn excerpt(error: &serde_json::Error, document: &[u8]) -> String {
    const CHARACTERS: usize = 24;
    let line = document.split(|&byte| byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    // Columns are bytes, counted from 1; 0 is the end of the line before.
    let at = error.column().saturating_sub(1).min(line.len());
    let word = line[..at].iter().rev().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let rest: &[u8] = if error.column() == 0 { &[] } else { &line[at - word..] };
    let text = String::from_utf8_lossy(rest);
    let shown = escaped(text.trim_end().chars().take(CHARACTERS));
    match (shown.is_empty(), text.trim_end().chars().nth(CHARACTERS)) {
        (true, _) => "the end of a line".to_owned(),
        (false, Some(_)) => format!("`{shown}..`"),
        (false, None) => format!("`{shown}`"),
    }
}

/// A shape from a file, which may have any number of axes.
#[cfg(feature = "models")]
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
