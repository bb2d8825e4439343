//! The symbols of a model that transcribes: what they are written as, and which of them part words.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::Piece;
use crate::outputs::replace_file;
use crate::weights::{Fields, read_json};
use crate::{Error, ErrorKind, Result};

const VOCABULARY: &str = "vocab.json";
const SETTINGS: &str = "tokenizer_config.json";

/// What files call symbols that stand for nothing heard, unless they say otherwise.
const SPECIAL: [(&str, &str); 4] =
    [("pad_token", "<pad>"), ("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>")];

/// What parts words in files, unless they say otherwise.
const DELIMITER: &str = "|";

/// The symbols of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbols {
    /// By number. Those that stand for nothing that is written are empty.
    names: Vec<String>,
    /// As files have them.
    stored: Vec<String>,
    blank: u32,
    delimiter: Option<u32>,
}

/// A text, and when its words were said.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Transcript {
    /// The words with blanks between them.
    pub text: String,
    /// Each word by itself.
    pub words: Vec<TranscriptWord>,
}

/// A word, and when it was said, in seconds from the beginning.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TranscriptWord {
    /// The word.
    pub text: String,
    /// When its first symbol was first heard.
    pub start: f64,
    /// When its last symbol was last heard.
    pub end: f64,
}

impl Symbols {
    /// The symbols of a folder's model: `vocab.json` names them, `tokenizer_config.json` says which part words (`word_delimiter_token`) and which are
    /// special, and `pad_token_id` of `config.json` is the blank. Numbers are below `count`.
    ///
    /// Fails with [`ErrorKind::Io`] without a vocabulary, and with [`ErrorKind::Config`] when a number is not below `count` or given twice.
    pub fn open(folder: impl AsRef<Path>, count: usize) -> Result<Self> {
        let folder = folder.as_ref();
        let path = folder.join(VOCABULARY);
        let source = path.display().to_string();
        let vocabulary = read_json(&path)?;
        let config = Fields::open(folder.join("config.json"))?;
        let settings = folder.join(SETTINGS);
        let settings = if settings.exists() { read_json(settings)? } else { Json::Null };
        let token = |field: &str, default: &str| {
            // A token is a text, or an object with its text and how it is split off.
            let named = [&settings[field], &settings[field]["content"]].into_iter().find_map(Json::as_str);
            named.unwrap_or(default).to_owned()
        };
        let special = SPECIAL.map(|(field, default)| token(field, default));
        let delimiter = token("word_delimiter_token", DELIMITER);
        let stored = named(&source, &vocabulary, count)?;
        let blank = config.usize_or("pad_token_id", 0..=count.saturating_sub(1), 0)? as u32;
        Ok(Self::of(stored, blank, &delimiter, &special))
    }

    /// The letters that `texts` are written with, in their order, behind a blank and what parts words: what a model learns to transcribe.
    pub fn of_texts<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        let mut letters: Vec<char> = texts.into_iter().flat_map(str::chars).collect();
        letters.retain(|letter| !letter.is_whitespace());
        letters.sort_unstable();
        letters.dedup();
        let [pad, ..] = SPECIAL.map(|(_, default)| default.to_owned());
        let stored = [pad.clone(), DELIMITER.to_owned()].into_iter();
        let letters = letters.into_iter().map(String::from).filter(|letter| letter != DELIMITER);
        Self::of(stored.chain(letters).collect(), 0, DELIMITER, &[pad])
    }

    fn of(stored: Vec<String>, blank: u32, delimiter: &str, special: &[String]) -> Self {
        let delimiter = stored.iter().position(|name| name == delimiter).map(|number| number as u32);
        let written = |(number, name): (usize, &String)| {
            let number = number as u32;
            let is_silent = number == blank || Some(number) == delimiter || special.contains(name);
            if is_silent { String::new() } else { name.clone() }
        };
        let names = stored.iter().enumerate().map(written).collect();
        Self { names, stored, blank, delimiter }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// The number of the blank, which stands for nothing heard.
    pub fn blank(&self) -> u32 {
        self.blank
    }

    /// The numbers of what `text` is written with, one for every letter and one between words.
    ///
    /// Fails, naming it, for a letter that is none of the symbols.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let numbers: BTreeMap<&str, u32> =
            self.names.iter().map(String::as_str).zip(0..).filter(|(name, _)| !name.is_empty()).collect();
        let mut encoded = Vec::new();
        for word in text.split_whitespace() {
            if let (false, Some(delimiter)) = (encoded.is_empty(), self.delimiter) {
                encoded.push(delimiter);
            }
            for letter in word.chars() {
                let number = numbers.get(letter.encode_utf8(&mut [0; 4]) as &str).copied();
                let unknown = || Error::new(ErrorKind::Argument, "symbols", format!("`{letter}` of a text"));
                encoded.push(number.ok_or_else(|| unknown().expecting("a known symbol").but_found("none"))?);
            }
        }
        Ok(encoded)
    }

    /// The text that `pieces` are, of frames that follow one another after so many seconds.
    pub fn text(&self, pieces: &[Piece], seconds: f64) -> Transcript {
        let mut words: Vec<TranscriptWord> = Vec::new();
        let mut is_new = true;
        for piece in pieces {
            if Some(piece.symbol) == self.delimiter {
                is_new = true;
                continue;
            }
            let name = self.names.get(piece.symbol as usize).map_or("", String::as_str);
            if name.is_empty() {
                continue;
            }
            let (start, end) = (piece.frames.start as f64 * seconds, piece.frames.end as f64 * seconds);
            match words.last_mut().filter(|_| !is_new) {
                Some(word) => {
                    word.text.push_str(name);
                    word.end = end;
                }
                None => words.push(TranscriptWord { text: name.to_owned(), start, end }),
            }
            is_new = false;
        }
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        Transcript { text: texts.join(" "), words }
    }

    /// Writes `vocab.json` and `tokenizer_config.json` into `folder`, as [`Symbols::open`] reads them.
    ///
    /// Fails with [`ErrorKind::Io`] when a file cannot be written.
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        let numbered =
            self.stored.iter().zip(0..).map(|(name, number): (_, u32)| (name.clone(), json!(number)));
        let vocabulary = Json::Object(numbered.collect::<Map<_, _>>());
        let delimiter = self.delimiter.map(|number| self.stored[number as usize].as_str());
        let settings = json!({
            "tokenizer_class": "Wav2Vec2CTCTokenizer",
            "pad_token": self.stored.get(self.blank as usize),
            "word_delimiter_token": delimiter.unwrap_or(DELIMITER),
        });
        for (name, document) in [(VOCABULARY, vocabulary), (SETTINGS, settings)] {
            let path = folder.join(name);
            let failed = |error: &dyn std::fmt::Display| {
                Error::new(ErrorKind::Io, "symbols", path.display().to_string())
                    .expecting("a file that can be written")
                    .but_found(error)
            };
            let text = serde_json::to_string_pretty(&document).map_err(|error| failed(&error))?;
            replace_file(&path, format!("{text}\n")).map_err(|error| failed(&error))?;
        }
        Ok(())
    }
}

/// The names of a vocabulary by their numbers; empty where a number has none.
fn named(source: &str, vocabulary: &Json, count: usize) -> Result<Vec<String>> {
    let refused = |place: String| Error::new(ErrorKind::Config, source.to_owned(), place);
    let Some(object) = vocabulary.as_object() else {
        return Err(refused("document".to_owned()).expecting("an object of symbols").but_found("none"));
    };
    let mut names = vec![String::new(); count];
    for (name, number) in object {
        let shown: String = name.chars().take(40).collect();
        let number = number.as_u64().and_then(|number| usize::try_from(number).ok());
        let Some(slot) = number.and_then(|number| names.get_mut(number)) else {
            let expected = format!("a number below {count}, as config.json has as many symbols");
            return Err(refused(format!("`{shown}`")).expecting(expected).but_found(&object[name]));
        };
        if !slot.is_empty() {
            let expected = "a number of its own";
            return Err(refused(format!("`{shown}`")).expecting(expected).but_found(&object[name]));
        }
        slot.clone_from(name);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(symbol: u32, frames: std::ops::Range<usize>) -> Piece {
        Piece { symbol, frames }
    }

    #[test]
    fn words_come_with_their_times() {
        let symbols = Symbols::of_texts(["ab ba", "c"]);
        assert_eq!((symbols.count(), symbols.blank()), (5, 0));
        assert_eq!(symbols.encode(" ab  c").unwrap(), [2, 3, 1, 4]);
        let error = symbols.encode("ad").unwrap_err();
        assert_eq!(error.to_string(), "symbols: `d` of a text: expected a known symbol, found none");
        let pieces = [
            piece(1, 0..1),
            piece(2, 2..3),
            piece(3, 5..8),
            piece(1, 8..9),
            piece(1, 9..10),
            piece(4, 10..12),
        ];
        let found = symbols.text(&pieces, 0.5);
        assert_eq!(found.text, "ab c");
        let word = |text: &str, start, end| TranscriptWord { text: text.to_owned(), start, end };
        assert_eq!(found.words, [word("ab", 1.0, 4.0), word("c", 5.0, 6.0)]);
        assert_eq!(symbols.text(&[], 1.0), Transcript::default());
    }

    #[test]
    fn a_vocabulary_is_read_as_it_was_written_and_a_broken_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        let symbols = Symbols::of_texts(["héllo"]);
        symbols.write(folder.path()).unwrap();
        std::fs::write(folder.path().join("config.json"), r#"{"pad_token_id": 0}"#).unwrap();
        assert_eq!(Symbols::open(folder.path(), symbols.count()).unwrap(), symbols);
        for (text, expected) in [
            ("[]", "an object of symbols"),
            (r#"{"a": 9}"#, "a number below 5"),
            (r#"{"a": 1, "b": 1}"#, "a number of its own"),
            (r#"{"a": -1}"#, "a number below 5"),
        ] {
            std::fs::write(folder.path().join(VOCABULARY), text).unwrap();
            let error = Symbols::open(folder.path(), 5).unwrap_err();
            assert!(error.kind() == ErrorKind::Config && error.to_string().contains(expected), "{error}");
        }
    }
}
