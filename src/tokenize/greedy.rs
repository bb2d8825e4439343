//! The longest match first, left to right, over text without words.

use super::special::Special;
use super::vocabulary::Vocabulary;
use crate::{Error, ErrorKind, Result};

#[derive(Debug)]
pub(super) struct Greedy {
    vocabulary: Vocabulary,
    special: Special,
    /// Bytes of the longest token.
    longest: usize,
}

impl Greedy {
    pub(super) fn new(vocabulary: Vocabulary, special: Special) -> Self {
        let longest = vocabulary.tokens().iter().map(String::len).max().unwrap_or(0);
        Self { vocabulary, special, longest }
    }

    /// Special tokens around a text.
    pub(super) fn added(&self) -> usize {
        self.special.opening.iter().chain(&self.special.closing).count()
    }

    /// At most `room` ids between the special tokens.
    pub(super) fn encode(&self, text: &str, room: usize) -> Result<Vec<u32>> {
        let mut ids: Vec<u32> = self.special.opening.into_iter().collect();
        let most = ids.len().saturating_add(room);
        let mut rest = text;
        while !rest.is_empty() && ids.len() < most {
            let (id, length) = self.next(rest).ok_or_else(|| unknown(text, text.len() - rest.len()))?;
            ids.push(id);
            rest = &rest[length..];
        }
        ids.extend(self.special.closing);
        Ok(ids)
    }

    /// The token at the start of `rest` and its length in bytes; a character that starts none is one unknown token.
    fn next(&self, rest: &str) -> Option<(u32, usize)> {
        let longest = self.longest.min(rest.len());
        let ends = (1..=longest).rev().filter(|&end| rest.is_char_boundary(end));
        let known = ends.filter_map(|end| Some((self.vocabulary.id(&rest[..end])?, end))).next();
        known.or_else(|| Some((self.special.unknown?, rest.chars().next()?.len_utf8())))
    }

    pub(super) fn decode(&self, ids: &[u32]) -> String {
        ids.iter().filter_map(|&id| self.vocabulary.token(id)).collect()
    }

    pub(super) fn token(&self, id: u32) -> Option<&str> {
        self.vocabulary.token(id)
    }

    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.vocabulary.id(token)
    }
}

fn unknown(text: &str, at: usize) -> Error {
    let character = text[at..].chars().next().map_or_else(String::new, |c| c.escape_default().to_string());
    Error::new(ErrorKind::Argument, "tokenize", format!("text, byte {at}"))
        .expecting("characters of the vocabulary, which has no token for others")
        .but_found(format!("`{character}`"))
}
