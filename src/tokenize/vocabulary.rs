//! `vocab.txt`: one token a line, its id the number of the line.

use std::collections::HashMap;
use std::fmt::Display;

use crate::{Error, ErrorKind, Result};

/// The largest file that is read: a hundred times the vocabulary of BERT.
pub(super) const MOST_BYTES: u64 = 16 << 20;
/// The longest token: matching a text takes time in proportion to it.
const MOST_TOKEN_BYTES: usize = 1024;

#[derive(Debug)]
pub(super) struct Vocabulary {
    tokens: Vec<String>,
    ids: HashMap<String, u32>,
}

/// An error about a line of the file called `source`.
pub(super) fn damaged(source: &str, line: usize, expected: impl Display) -> Error {
    Error::new(ErrorKind::Config, source.to_owned(), format!("line {line}")).expecting(expected)
}

impl Vocabulary {
    /// Reads the file called `source`. Only line ends are taken off: a space is a token like any other. An empty line is an empty token,
    /// which no text has; of a token that is there twice the last id is that of texts. Hugging Face's readers take both so.
    pub(super) fn parse(source: &str, bytes: &[u8]) -> Result<Self> {
        let text = str::from_utf8(bytes).map_err(|error| {
            let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
            damaged(source, line, "UTF-8").but_found("other bytes")
        })?;
        if text.is_empty() {
            return Err(damaged(source, 1, "a token").but_found("an empty file"));
        }
        let mut vocabulary = Self { tokens: Vec::new(), ids: HashMap::new() };
        for (id, token) in (0_u32..).zip(text.lines()) {
            if token.len() > MOST_TOKEN_BYTES {
                let expected = format!("a token of at most {MOST_TOKEN_BYTES} bytes");
                return Err(damaged(source, id as usize + 1, expected).but_found(token.len()));
            }
            vocabulary.ids.insert(token.to_owned(), id);
            vocabulary.tokens.push(token.to_owned());
        }
        Ok(vocabulary)
    }

    /// Ids of tokens that are there again under a later one, each with its token.
    pub(super) fn repeated(&self) -> impl Iterator<Item = (u32, &str)> {
        let numbered = (0_u32..).zip(&self.tokens);
        numbered.map(|(id, token)| (id, token.as_str())).filter(|(id, token)| self.id(token) != Some(*id))
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    pub(super) fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(id as usize).map(String::as_str)
    }

    /// The tokens in the order of their ids.
    pub(super) fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// Whether it holds word pieces, which continue a word behind `##`.
    pub(super) fn has_pieces(&self) -> bool {
        self.tokens.iter().any(|token| token.len() > 2 && token.starts_with("##"))
    }
}
