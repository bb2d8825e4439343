//! The text of ids that come one by one. What a token adds depends on those before it (a blank, a character that began there), so that some of
//! them are decoded again with each; how many does not depend on the length of the text.

use std::collections::HashSet;

use super::bpe::GOES_ON;
use super::{Engine, Tokenizer};
use crate::Result;

/// Tokens before the new ones that are decoded again.
const CONTEXT: usize = 8;

/// Bytes at the end of a text that tokens behind it may still change where blanks before punctuation go: more than any of those has.
const CLEANED: usize = 16;

/// Bytes in a row that are waited for to become characters: more than are decoded together.
const BYTES: usize = 4 * CONTEXT;

/// A text that grows token by token: [`Tokenizer::growing`].
#[derive(Debug)]
pub struct GrowingText<'t> {
    tokenizer: &'t Tokenizer,
    special: HashSet<u32>,
    /// The last of the ids, from one on at which a text may begin.
    tail: Vec<u32>,
    /// Bytes of their text that were given out.
    given: usize,
    /// How long the tail may get before its first part is tried to be left out.
    room: usize,
}

impl Tokenizer {
    /// What follows the text of `ids`, which may be none, as it grows. All that is given out is the text of the ids that come, as
    /// [`Tokenizer::decode`] has it of all; of a row of bytes that are no characters in the end, what were characters before.
    ///
    /// Fails as [`Tokenizer::decode`] does.
    pub fn growing(&self, ids: &[u32]) -> Result<GrowingText<'_>> {
        let special: HashSet<u32> = self.special_ids().collect();
        let tail = ids.iter().copied().filter(|id| !special.contains(id)).collect();
        let mut text = GrowingText { tokenizer: self, special, tail, given: 0, room: 2 * CONTEXT };
        let decoded = self.decode(&text.tail)?;
        text.given = decoded.trim_end_matches(char::REPLACEMENT_CHARACTER).len();
        text.shorten(&decoded)?;
        Ok(text)
    }

    /// Bytes of a decoded text that tokens behind it do not change.
    fn length_settled(&self, text: &str) -> usize {
        match &self.engine {
            // Blanks before punctuation and shortened words go, of which one has a blank on either side.
            _ if self.cleans_up => {
                let mut blanks = text.bytes().enumerate().rev().filter(|(_, byte)| *byte == b' ');
                let before_blanks = blanks.nth(1).map_or(0, |(at, _)| at);
                let far =
                    (0..=text.len().saturating_sub(CLEANED)).rev().find(|at| text.is_char_boundary(*at));
                before_blanks.max(far.unwrap_or(0))
            }
            Engine::Pieces(pieces) if pieces.joins() => text.strip_suffix(GOES_ON).unwrap_or(text).len(),
            _ if is_complete(text) => text.len(),
            _ => text.trim_end_matches(char::REPLACEMENT_CHARACTER).len(),
        }
    }
}

/// Whether no token behind it can complete a character that `text` ends with. Where bytes have tokens, a row of them is shown as so many
/// replacements until all of it is characters.
fn is_complete(text: &str) -> bool {
    let replaced = text.chars().rev().take_while(|&it| it == char::REPLACEMENT_CHARACTER).count();
    replaced == 0 || replaced > BYTES
}

impl GrowingText<'_> {
    /// What of the text is settled by one more token: nothing where it ends inside a character. An id outside the vocabulary adds nothing, nor
    /// does a special token.
    ///
    /// Fails as [`Tokenizer::decode`] does.
    pub fn push(&mut self, id: u32) -> Result<String> {
        if self.special.contains(&id) || self.tokenizer.token(id).is_none() {
            return Ok(String::new());
        }
        self.tail.push(id);
        let text = self.tokenizer.decode(&self.tail)?;
        let settled = self.tokenizer.length_settled(&text);
        let fresh = text.get(self.given..settled).unwrap_or_default().to_owned();
        self.given = self.given.max(settled);
        self.shorten(&text)?;
        Ok(fresh)
    }

    /// The rest of the text: characters that were never completed, and what a later token could have changed.
    ///
    /// Fails as [`Tokenizer::decode`] does.
    pub fn end(self) -> Result<String> {
        let text = self.tokenizer.decode(&self.tail)?;
        Ok(text.get(self.given..).unwrap_or_default().to_owned())
    }

    /// Leaves out what is decoded no more, where the tail has grown long: tokens up to one from which on the text reads the same. `text` is that
    /// of the tail.
    fn shorten(&mut self, text: &str) -> Result<()> {
        if self.tail.len() < self.room || !is_complete(text) {
            return Ok(());
        }
        // Inside a character, or behind the beginning of a word, it does not.
        for start in (1..=self.tail.len().saturating_sub(CONTEXT)).rev().take(CONTEXT) {
            let kept = self.tokenizer.decode(&self.tail[start..])?;
            let left_out = text.len().saturating_sub(kept.len());
            if !kept.is_empty() && text.ends_with(&kept) && left_out <= self.given {
                self.tail.drain(..start);
                self.given -= left_out;
                self.room = 2 * CONTEXT;
                return Ok(());
            }
        }
        self.room = self.tail.len() + CONTEXT;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
