//! The longest match first, left to right, over text without words.

use std::ops::Range;

use super::special::Special;
use super::vocabulary::Vocabulary;
use super::{Encoding, shares};
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

    /// Lines of the file.
    pub(super) fn vocab_size(&self) -> usize {
        self.vocabulary.len()
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

    /// The number of special tokens added to a text or a pair; each text ends with the closing one.
    pub(super) fn added_to(&self, is_pair: bool) -> usize {
        let closing = usize::from(self.special.closing.is_some());
        usize::from(self.special.opening.is_some()) + closing * if is_pair { 2 } else { 1 }
    }

    /// At most `room` tokens of both texts together, and the special tokens around them. Every token is a word.
    pub(super) fn encode_texts(&self, first: &str, second: Option<&str>, room: usize) -> Result<Encoding> {
        let texts: Vec<&str> = [Some(first), second].into_iter().flatten().collect();
        let tokens = texts.iter().map(|text| self.tokens(text)).collect::<Result<Vec<_>>>()?;
        let kept = shares(room, [tokens[0].len(), tokens.get(1).map_or(0, Vec::len)]);
        let mut encoding = Encoding::default();
        if let Some(opening) = self.special.opening {
            encoding.push_special(opening, 0);
        }
        for (text, (tokens, kept)) in tokens.iter().zip(kept).enumerate() {
            for (word, (id, range)) in tokens.iter().take(kept).enumerate() {
                encoding.ids.push(*id);
                encoding.types.push(text as u32);
                encoding.texts.push(Some(text));
                encoding.words.push(Some(word));
                encoding.offsets.push(range.clone());
            }
            if let Some(closing) = self.special.closing {
                encoding.push_special(closing, text as u32);
            }
        }
        Ok(encoding)
    }

    /// All tokens of `text`, and the bytes that each stands for.
    fn tokens(&self, text: &str) -> Result<Vec<(u32, Range<usize>)>> {
        let (mut tokens, mut at) = (Vec::new(), 0);
        while at < text.len() {
            let (id, length) = self.next(&text[at..]).ok_or_else(|| unknown(text, at))?;
            tokens.push((id, at..at + length));
            at += length;
        }
        Ok(tokens)
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
