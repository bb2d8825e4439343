//! What a `tokenizer.json` may hold. Format: <https://huggingface.co/docs/tokenizers/components>.
//!
//! The tokenizers crate (0.23.2) trusts these files. Checked here because it panics on them, or worse:
//!
//! | part | what it does |
//! |---|---|
//! | `decoder` or `Precompiled` that is not what it should be | `expect` while reading |
//! | `Precompiled` trie | follows indices unchecked; allocates what the length claims |
//! | `FixedLength` of 0 | `chunks(0)` |
//! | `TemplateProcessing` with a token that its table lacks | indexes the table |
//! | BPE merges | copies into a buffer as long as the longest token; a prefix is cut off unchecked, then taken as UTF-8 |
//! | decoder `Strip` with `stop` | subtracts below zero on short tokens |
//! | `Replace` behind `Replace`, and others that lengthen a text | each multiplies it: 12 KB of them fill any memory |
//! | BPE `dropout` | encodes at random |
//! | ids near the largest | counts on from them |
//! | lists of tokens that disagree | undefined |

use serde_json::{Map, Value};

use super::{charsmap, quote};
use crate::{Error, ErrorKind, Result};

/// The largest file that is read: twice that of a vocabulary of 250 000 tokens with its merges.
pub(super) const MOST_BYTES: u64 = 64 << 20;
/// Ids lie below. Sixteen times the largest vocabulary in use.
pub(super) const MOST_TOKENS: u64 = 1 << 22;
/// The longest piece of text inside a part: a regular expression, a prefix.
const MOST_TEXT: usize = 4096;
/// How many times longer all parts together may make a text. Maps of characters alone come to 33 in trained models.
const MOST_GROWTH: usize = 1024;

const NORMALIZERS: &[&str] = &[
    "BertNormalizer",
    "ByteLevel",
    "Lowercase",
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
    "Nmt",
    "Precompiled",
    "Prepend",
    "Replace",
    "Sequence",
    "Strip",
    "StripAccents",
];
const PRE_TOKENIZERS: &[&str] = &[
    "BertPreTokenizer",
    "ByteLevel",
    "CharDelimiterSplit",
    "Digits",
    "FixedLength",
    "Metaspace",
    "Punctuation",
    "Sequence",
    "Split",
    "UnicodeScripts",
    "Whitespace",
    "WhitespaceSplit",
];
const POST_PROCESSORS: &[&str] =
    &["BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence", "TemplateProcessing"];
const DECODERS: &[&str] = &[
    "BPEDecoder",
    "ByteFallback",
    "ByteLevel",
    "Fuse",
    "Metaspace",
    "Replace",
    "Sequence",
    "Strip",
    "WordPiece",
];
const MODELS: &[&str] = &["BPE", "Unigram", "WordLevel", "WordPiece"];

/// Checks the whole document from the file called `source`.
pub(super) fn check(source: &str, document: &Value) -> Result<()> {
    let document = Part { source, path: String::new(), value: document };
    document.object()?;
    let mut growth = 1_usize;
    for (name, known, nested) in [
        ("normalizer", NORMALIZERS, "normalizers"),
        ("pre_tokenizer", PRE_TOKENIZERS, "pretokenizers"),
        ("post_processor", POST_PROCESSORS, "processors"),
        ("decoder", DECODERS, "decoders"),
    ] {
        if let Some(part) = document.get(name) {
            growth = growth.saturating_mul(part.check(known, nested)?);
        }
    }
    if growth > MOST_GROWTH {
        return Err(document.refuse(format!("parts that make a text at most {MOST_GROWTH} times longer")));
    }
    let model = document.require("model")?;
    match model.kind(MODELS)? {
        "Unigram" => model.check_unigram()?,
        "BPE" => model.check_bpe()?,
        _ => model.check_vocabulary()?,
    }
    document.get("added_tokens").map_or(Ok(()), |tokens| {
        tokens.each(|token| {
            token.require("content")?.text()?;
            token.require("id")?.id()
        })
    })
}

/// A value and where it lies.
struct Part<'a> {
    source: &'a str,
    path: String,
    value: &'a Value,
}

impl<'a> Part<'a> {
    fn refuse(&self, expected: impl std::fmt::Display) -> Error {
        let found = match self.value {
            Value::Array(items) => format!("a list of {}", items.len()),
            Value::Object(fields) => format!("an object of {}", fields.len()),
            scalar => quote::name(&scalar.to_string()),
        };
        Error::new(
            ErrorKind::Config,
            self.source.to_owned(),
            if self.path.is_empty() { "document" } else { &self.path },
        )
        .expecting(expected)
        .but_found(found)
    }

    fn at(&self, name: &str, value: &'a Value) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self { source: self.source, path: format!("{}{dot}{}", self.path, quote::name(name)), value }
    }

    /// The field, unless absent or null.
    fn get(&self, name: &str) -> Option<Self> {
        self.value.get(name).filter(|value| !value.is_null()).map(|value| self.at(name, value))
    }

    fn require(&self, name: &str) -> Result<Self> {
        self.get(name).ok_or_else(|| self.refuse(format!("an object with `{name}`")))
    }

    fn object(&self) -> Result<&'a Map<String, Value>> {
        self.value.as_object().ok_or_else(|| self.refuse("an object"))
    }

    fn text(&self) -> Result<&'a str> {
        self.value
            .as_str()
            .filter(|text| !text.is_empty())
            .ok_or_else(|| self.refuse("a string that is not empty"))
    }

    fn id(&self) -> Result<()> {
        let known = self.value.as_u64().is_some_and(|id| id < MOST_TOKENS);
        if known { Ok(()) } else { Err(self.refuse(format!("an id below {MOST_TOKENS}"))) }
    }

    fn each(&self, mut check: impl FnMut(Self) -> Result<()>) -> Result<()> {
        let items = self.value.as_array().ok_or_else(|| self.refuse("a list"))?;
        items.iter().enumerate().try_for_each(|(index, item)| check(self.at(&index.to_string(), item)))
    }

    fn kind(&self, known: &[&'static str]) -> Result<&'static str> {
        let kind = self.require("type")?;
        let name = kind.text()?;
        known
            .iter()
            .find(|known| **known == name)
            .copied()
            .ok_or_else(|| kind.refuse(format!("one of {}", known.join(", "))))
    }

    /// A normaliser, pre-tokeniser, post-processor or decoder, or a sequence of them in the field `nested`: how many times longer
    /// it may make a text, beyond a constant.
    fn check(&self, known: &[&'static str], nested: &str) -> Result<usize> {
        for (name, value) in self.object()? {
            if name != "precompiled_charsmap" && value.as_str().is_some_and(|text| text.len() > MOST_TEXT) {
                return Err(self.at(name, value).refuse(format!("at most {MOST_TEXT} bytes")));
            }
        }
        match self.kind(known)? {
            "Sequence" => {
                let mut growth = 1_usize;
                self.require(nested)?.each(|part| {
                    growth = growth.saturating_mul(part.check(known, nested)?);
                    Ok(())
                })?;
                Ok(growth)
            }
            "Precompiled" => {
                let map = self.require("precompiled_charsmap")?;
                let longest = charsmap::longest_replacement(map.text()?);
                longest.map(|bytes| bytes.max(1)).ok_or_else(|| map.refuse("a compiled map of characters"))
            }
            "FixedLength" => match self.get("length") {
                Some(length) if length.value.as_u64().is_none_or(|length| length == 0) => {
                    Err(length.refuse("at least 1"))
                }
                _ => Ok(1),
            },
            "Strip" if self.get("stop").is_some_and(|stop| stop.value.as_u64() != Some(0)) => {
                Err(self.refuse("no `stop` but 0"))
            }
            "TemplateProcessing" => self.check_template().map(|()| 1),
            "Replace" => self.check_pattern(),
            "Split" => self.check_pattern().map(|_| 1),
            // Characters of two bytes for bytes; blanks around characters, or between any two.
            "ByteLevel" | "BertNormalizer" | "BPEDecoder" => Ok(2),
            _ => Ok(1),
        }
    }

    /// How many times longer the field `content` in the place of every match may make a text.
    fn check_pattern(&self) -> Result<usize> {
        let pattern = self.require("pattern")?;
        let string = pattern.get("String");
        let is_string = string.is_some();
        let text = string.or_else(|| pattern.get("Regex")).ok_or_else(|| pattern.refuse("a pattern"))?;
        let matched = text.text()?.len();
        if matched > MOST_TEXT {
            return Err(text.refuse(format!("at most {MOST_TEXT} bytes")));
        }
        let content = self.get("content").and_then(|content| content.value.as_str()).map_or(0, str::len);
        // An expression may match nothing, before every byte.
        Ok(if is_string { content.div_ceil(matched).max(1) } else { content + 1 })
    }

    /// The text once, and special tokens that the part's own table holds.
    fn check_template(&self) -> Result<()> {
        let table = self.require("special_tokens")?;
        for (name, token) in table.object()? {
            let token = table.at(name, token);
            token.require("ids")?.each(|id| id.id())?;
            token.require("tokens")?.each(|token| token.text().map(drop))?;
            let count = |field: &str| token.value.get(field).and_then(Value::as_array).map(Vec::len);
            if count("ids") != count("tokens") {
                return Err(token.refuse("as many ids as tokens"));
            }
        }
        let single = self.require("single")?;
        single.each(|piece| {
            let Some(token) = piece.get("SpecialToken") else {
                return piece.require("Sequence").map(drop);
            };
            let name = token.require("id")?;
            let known = table.value.get(name.text()?).is_some();
            if known { Ok(()) } else { Err(name.refuse("a token of `special_tokens`")) }
        })?;
        let texts =
            single.value.as_array().into_iter().flatten().filter(|piece| piece.get("Sequence").is_some());
        if texts.count() == 1 { Ok(()) } else { Err(single.refuse("the text, once")) }
    }

    /// An object of token to id.
    fn check_vocabulary(&self) -> Result<()> {
        let vocabulary = self.require("vocab")?;
        let mut ids = std::collections::HashSet::new();
        for (token, id) in vocabulary.object()? {
            let id = vocabulary.at(token, id);
            id.id()?;
            // The name of a token may be empty, which no text is.
            if !ids.insert(id.value.as_u64()) {
                return Err(id.refuse("an id of its own"));
            }
        }
        if ids.is_empty() { Err(vocabulary.refuse("at least one token")) } else { Ok(()) }
    }

    fn check_unigram(&self) -> Result<()> {
        let vocabulary = self.require("vocab")?;
        vocabulary.each(|entry| match entry.value.as_array().map(Vec::as_slice) {
            Some([Value::String(_), Value::Number(_)]) => Ok(()),
            _ => Err(entry.refuse("a token and its score")),
        })?;
        let count = vocabulary.value.as_array().map_or(0, Vec::len) as u64;
        if count == 0 || count > MOST_TOKENS { Err(vocabulary.refuse("at least one token")) } else { Ok(()) }
    }

    fn check_bpe(&self) -> Result<()> {
        self.check_vocabulary()?;
        if let Some(dropout) = self.get("dropout").filter(|dropout| dropout.value.as_f64() != Some(0.0)) {
            return Err(dropout.refuse("none: it is for training"));
        }
        if let Some(prefix) = self.get("continuing_subword_prefix").filter(|prefix| prefix.value != "") {
            return Err(prefix.refuse("none"));
        }
        let vocabulary = self.require("vocab")?.object()?;
        self.require("merges")?.each(|merge| {
            let joined = match merge.value {
                Value::String(pair) => pair.split_once(' ').map(|(one, other)| format!("{one}{other}")),
                pair => match pair.as_array().map(Vec::as_slice) {
                    Some([Value::String(one), Value::String(other)]) => Some(format!("{one}{other}")),
                    _ => None,
                },
            };
            let known = joined.is_some_and(|joined| vocabulary.contains_key(&joined));
            if known { Ok(()) } else { Err(merge.refuse("two tokens that are one together")) }
        })
    }
}
