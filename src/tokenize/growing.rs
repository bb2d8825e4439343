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
                before_blanks.max(text.floor_char_boundary(text.len().saturating_sub(CLEANED)))
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
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn opened(model: Value, decoder: Value) -> Tokenizer {
        let json = json!({"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
            "post_processor": null, "decoder": decoder, "model": model});
        Tokenizer::from_json_bytes("tokenizer.json", json.to_string().as_bytes()).unwrap()
    }

    /// What each of `ids` gives, and the rest.
    fn grown(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
        let mut text = tokenizer.growing(&[]).unwrap();
        let mut parts: Vec<String> = ids
            .iter()
            .map(|&id| {
                let part = text.push(id).unwrap();
                assert!(text.tail.len() < 6 * CONTEXT, "{} tokens are decoded each time", text.tail.len());
                part
            })
            .collect();
        parts.push(text.end().unwrap());
        parts
    }

    /// Byte-level BPE without merges: a token for each byte, which the crate spells as GPT-2 does.
    fn bytes() -> Tokenizer {
        let mut others = 0x100..;
        let spelled = |byte: u8| match byte {
            b'!'..=b'~' | 0xa1..=0xac | 0xae.. => char::from(byte),
            _ => char::from_u32(others.next().unwrap()).unwrap(),
        };
        let vocab: serde_json::Map<String, Value> =
            (0..=255).map(spelled).zip(0..).map(|(c, id): (char, u32)| (c.into(), id.into())).collect();
        let model = json!({"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "vocab": vocab, "merges": []});
        opened(
            model,
            json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}),
        )
    }

    #[test]
    fn characters_come_when_their_last_byte_is_there() {
        let tokenizer = bytes();
        let text = "a\u{20ac} \u{1f600}b".repeat(40);
        let ids: Vec<u32> = text.bytes().map(u32::from).collect();
        let parts = grown(&tokenizer, &ids);
        assert_eq!(parts[..9], ["a", "", "", "\u{20ac}", " ", "", "", "", "\u{1f600}"]);
        assert_eq!(parts.concat(), text);
        // What never becomes a character is given out at last, and before that where there is much of it.
        let broken: Vec<u32> = [0xe2, 0x82, 0x62].into_iter().chain([0xff; 200]).collect();
        let parts = grown(&tokenizer, &broken);
        assert_eq!(parts[..3], ["", "", "\u{fffd}b"]);
        assert_eq!(parts.concat(), tokenizer.decode(&broken).unwrap());
    }

    /// Pieces with a blank before each word, of which the text loses the first, and bytes of what has no piece.
    #[test]
    fn blanks_before_words_stay_but_for_the_first() {
        let byte = |byte: u8| format!("<0x{byte:02X}>");
        let words = ["<unk>", "\u{2581}a", "\u{2581}b", "c", "\u{2581}"].map(str::to_owned);
        let vocab: Vec<Value> =
            words.into_iter().chain((0..=255).map(byte)).map(|piece| json!([piece, -1.0])).collect();
        let model = json!({"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": true});
        let metaspace = json!({"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true});
        let tokenizer =
            opened(model, json!({"type": "Sequence", "decoders": [{"type": "ByteFallback"}, metaspace]}));
        let emoji: Vec<u32> = "\u{1f600}".bytes().map(|byte| u32::from(byte) + 5).collect();
        let ids = [&[1, 2, 3, 4, 3][..], &emoji, &[2], &emoji.repeat(20), &[1]].concat().repeat(3);
        let parts = grown(&tokenizer, &ids);
        assert_eq!(parts[..10], ["a", " b", "c", " ", "c", "", "", "", "\u{1f600}", " b"]);
        assert_eq!(parts.concat(), tokenizer.decode(&ids).unwrap());
    }

    #[test]
    fn pieces_of_words_are_joined_and_punctuation_waits() {
        let words = ["[UNK]", "do", "n", "'", "t", "##ing", ".", "wait"];
        let tokenizer = Tokenizer::from_vocabulary_bytes("vocab.txt", words.join("\n").as_bytes()).unwrap();
        let ids = [[7, 5, 5, 5].as_slice(), &[5; 40], &[1, 2, 3, 4, 6, 7, 5, 6]].concat().repeat(4);
        assert_eq!(grown(&tokenizer, &ids).concat(), tokenizer.decode(&ids).unwrap());
    }

    #[test]
    fn words_that_go_on_and_what_was_there_before() {
        let tokenizer = bytes();
        let mut text = tokenizer.growing(&[0x61; 100]).unwrap();
        assert_eq!(
            (text.push(0x62).unwrap(), text.push(1000).unwrap(), text.end().unwrap()),
            ("b".into(), "".into(), "".into())
        );
        // The prompt ends inside a character.
        let mut text = tokenizer.growing(&[0x61, 0xe2, 0x82]).unwrap();
        assert_eq!(text.push(0xac).unwrap(), "\u{20ac}");
    }
}
