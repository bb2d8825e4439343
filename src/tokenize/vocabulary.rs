//! `vocab.txt`: one token a line, its id the number of the line.

use std::collections::HashMap;

use super::quote;
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

impl Vocabulary {
    /// Reads the file called `source`. Only line ends are taken off: a space is a token like any other.
    pub(super) fn parse(source: &str, bytes: &[u8]) -> Result<Self> {
        let damaged = |line: usize| Error::new(ErrorKind::Config, source.to_owned(), format!("line {line}"));
        let text = str::from_utf8(bytes).map_err(|error| {
            let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
            damaged(line).expecting("UTF-8").but_found("other bytes")
        })?;
        if text.is_empty() {
            return Err(damaged(1).expecting("a token").but_found("an empty file"));
        }
        let mut vocabulary = Self { tokens: Vec::new(), ids: HashMap::new() };
        for (id, token) in (0_u32..).zip(text.lines()) {
            let line = id as usize + 1;
            if token.is_empty() || token.len() > MOST_TOKEN_BYTES {
                return Err(damaged(line)
                    .expecting(format!("a token of 1 to {MOST_TOKEN_BYTES} bytes"))
                    .but_found(token.len()));
            }
            if let Some(first) = vocabulary.ids.insert(token.to_owned(), id) {
                return Err(damaged(line).expecting("a token of its own").but_found(format!(
                    "`{}`, as on line {}",
                    quote::name(token),
                    first + 1
                )));
            }
            vocabulary.tokens.push(token.to_owned());
        }
        Ok(vocabulary)
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
