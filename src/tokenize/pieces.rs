//! The tokenizers crate behind one door: whatever is built passes [`accept::check`].

use std::collections::HashMap;

use serde_json::Value;
use tokenizers::{ModelWrapper, PostProcessor, PostProcessorWrapper};

use super::bpe::GOES_ON;
use super::{Encoding, accept, overrides, quote, shares};
use crate::{Error, ErrorKind, Result};

#[derive(Debug)]
pub(super) struct Pieces {
    /// Without the post-processor, which would shorten the offsets of words twice.
    tokenizer: tokenizers::Tokenizer,
    post_processor: Option<PostProcessorWrapper>,
    added: usize,
    spelling: Spelling,
    side: tokenizers::TruncationDirection,
}

/// What a vocabulary's file says otherwise than the tokenizers crate has it.
#[derive(Debug, Default)]
pub(super) struct Spelling {
    /// Tokens by id as the file spells them, where the crate has no token of that id, or another text of it.
    pub(super) tokens: HashMap<u32, String>,
    /// Ids from the first on, which the file does not have, stand for the second, the unknown token.
    pub(super) unknown: Option<(u32, u32)>,
    /// Whether tokens are joined by blanks but for those that end in `@@`.
    pub(super) joins: bool,
}

impl Pieces {
    /// The tokenizer that `json`, from a file called `source`, describes.
    pub(super) fn from_json(source: &str, mut json: Value) -> Result<Self> {
        overrides::complete(&mut json);
        accept::check(source, &json)?;
        if let Value::Object(fields) = &mut json {
            // How long ids get is the caller's decision.
            fields.remove("truncation");
            fields.remove("padding");
        }
        // As text again, because the crate reads some parts only from borrowed strings; and from the checked value,
        // because the file's text may hold a key twice.
        let damaged = || Error::new(ErrorKind::Config, source.to_owned(), "document");
        let text =
            serde_json::to_vec(&json).map_err(|error| damaged().but_found(quote::complaint(&error)))?;
        let mut tokenizer = tokenizers::Tokenizer::from_bytes(text)
            .map_err(|error| damaged().expecting("a tokenizer").but_found(quote::complaint(&error)))?;
        check_ids(source, &json, &tokenizer)?;
        // A post-processor names its tokens by ids of its own, which may be in no vocabulary.
        let empty = tokenizer.post_process(tokenizers::Encoding::default(), None, true);
        let around = empty
            .map_err(|error| damaged().expecting("a post-processor").but_found(quote::complaint(&error)))?;
        if let Some(id) = around.get_ids().iter().find(|&&id| tokenizer.id_to_token(id).is_none()) {
            return Err(Error::new(ErrorKind::Config, source.to_owned(), "post_processor")
                .expecting("ids of the vocabulary")
                .but_found(id));
        }
        let added = around.get_ids().len();
        let post_processor = tokenizer.get_post_processor().cloned();
        tokenizer.with_post_processor(None::<PostProcessorWrapper>);
        // Of tokens that are found in normalised texts the crate gives the normalised form.
        let own = tokenizer.get_added_tokens_decoder().into_iter().map(|(id, token)| (id, token.content));
        let tokens = own.filter(|(id, token)| tokenizer.id_to_token(*id).as_ref() != Some(token)).collect();
        let spelling = Spelling { tokens, ..Spelling::default() };
        let side = tokenizers::TruncationDirection::Right;
        Ok(Self { tokenizer, post_processor, added, spelling, side })
    }

    /// The same tokenizer of a file that spells tokens otherwise.
    pub(super) fn with_spelling(mut self, spelling: Spelling) -> Self {
        let own = std::mem::take(&mut self.spelling.tokens);
        self.spelling = spelling;
        self.spelling.tokens.extend(own);
        self
    }

    /// The same tokenizer, which cuts texts at their beginning.
    pub(super) fn cutting_left(self) -> Self {
        Self { side: tokenizers::TruncationDirection::Left, ..self }
    }

    /// The same tokenizer, to which the names of special tokens in a text are text.
    pub(super) fn splitting_special(mut self) -> Self {
        self.tokenizer.set_encode_special_tokens(true);
        self
    }

    /// The ids around a text.
    pub(super) fn around(&self) -> Result<Vec<u32>> {
        self.encode("", usize::MAX)
    }

    /// Special tokens around a text.
    pub(super) fn added(&self) -> usize {
        self.added
    }

    /// At most `room` ids between the special tokens.
    pub(super) fn encode(&self, text: &str, room: usize) -> Result<Vec<u32>> {
        let refused = |error: tokenizers::Error| {
            Error::new(ErrorKind::Argument, "tokenize", "text").but_found(quote::complaint(&error))
        };
        let mut encoding = self.tokenizer.encode_fast(text, false).map_err(refused)?;
        encoding.truncate(room, 0, self.side);
        // What was cut off would get special tokens of its own.
        encoding.take_overflowing();
        let encoding = self.post_process([Some(encoding), None]).map_err(refused)?;
        Ok(self.known(encoding.get_ids()))
    }

    /// The tokens of a text, or of two, with special tokens around them; without a post-processor, one behind another.
    fn post_process(
        &self,
        texts: [Option<tokenizers::Encoding>; 2],
    ) -> tokenizers::Result<tokenizers::Encoding> {
        let mut encodings: Vec<_> = texts.into_iter().flatten().collect();
        for (text, encoding) in encodings.iter_mut().enumerate() {
            encoding.set_sequence_id(text);
            encoding.set_type_ids(vec![text as u32; encoding.len()]);
        }
        if let Some(processor) = &self.post_processor {
            encodings = processor.process_encodings(encodings, true)?;
        }
        Ok(tokenizers::Encoding::merge(encodings, false))
    }

    /// Special tokens around a text, or around and between two.
    pub(super) fn added_to(&self, is_pair: bool) -> usize {
        self.post_processor.as_ref().map_or(0, |processor| processor.added_tokens(is_pair))
    }

    /// At most `room` tokens of both texts together, and the special tokens around them.
    pub(super) fn encode_texts(&self, first: &str, second: Option<&str>, room: usize) -> Result<Encoding> {
        let refused = |error: tokenizers::Error| {
            Error::new(ErrorKind::Argument, "tokenize", "text").but_found(quote::complaint(&error))
        };
        let mut first = self.tokenizer.encode(first, false).map_err(refused)?;
        let mut second =
            second.map(|text| self.tokenizer.encode(text, false)).transpose().map_err(refused)?;
        let kept = shares(room, [first.len(), second.as_ref().map_or(0, |second| second.len())]);
        for (encoding, kept) in [Some(&mut first), second.as_mut()].into_iter().flatten().zip(kept) {
            encoding.truncate(kept, 0, self.side);
            // What was cut off would get special tokens of its own.
            encoding.take_overflowing();
        }
        let encoding = self.post_process([Some(first), second]).map_err(refused)?;
        let special = encoding.get_special_tokens_mask();
        let sequences = encoding.get_sequence_ids();
        let own = |place: usize| special[place] == 0;
        let places = 0..encoding.len();
        Ok(Encoding {
            ids: self.known(encoding.get_ids()),
            types: encoding.get_type_ids().to_vec(),
            texts: places.clone().map(|place| sequences[place].filter(|_| own(place))).collect(),
            words: places
                .map(|place| encoding.get_word_ids()[place].filter(|_| own(place)).map(|word| word as usize))
                .collect(),
            offsets: encoding.get_offsets().iter().map(|&(start, end)| start..end).collect(),
        })
    }

    /// Ids as the file has them.
    fn known(&self, ids: &[u32]) -> Vec<u32> {
        let known = |&id: &u32| match self.spelling.unknown {
            Some((first, unknown)) if id >= first => unknown,
            _ => id,
        };
        ids.iter().map(known).collect()
    }

    /// The text of ids of the vocabulary, special tokens among them written out.
    pub(super) fn decode(&self, ids: &[u32]) -> Result<String> {
        // The crate's BPE decoder subtracts one from their number.
        if ids.is_empty() {
            return Ok(String::new());
        }
        if self.spelling.joins {
            let tokens: Vec<String> = ids.iter().filter_map(|&id| self.token(id)).collect();
            return Ok(tokens.join(" ").replace(&format!("{GOES_ON} "), "").trim().to_owned());
        }
        let own = |&id: &u32| {
            let other = self.spelling.tokens.get(&id).and_then(|token| self.id(token));
            if self.tokenizer.id_to_token(id).is_none() { other.unwrap_or(id) } else { id }
        };
        let ids: Vec<u32> = ids.iter().map(own).collect();
        self.tokenizer.decode(&ids, false).map_err(|error| {
            Error::new(ErrorKind::Argument, "tokenize", "ids").but_found(quote::complaint(&error))
        })
    }

    /// Whether tokens are joined by blanks but for those that end in `@@`.
    pub(super) fn joins(&self) -> bool {
        self.spelling.joins
    }

    pub(super) fn token(&self, id: u32) -> Option<String> {
        if self.spelling.unknown.is_some_and(|(first, _)| id >= first) {
            return None;
        }
        self.spelling.tokens.get(&id).cloned().or_else(|| self.tokenizer.id_to_token(id))
    }

    pub(super) fn id(&self, token: &str) -> Option<u32> {
        if self.spelling.joins {
            let found = self.spelling.tokens.iter().find(|(_, own)| *own == token).map(|(id, _)| *id);
            return found
                .or_else(|| self.tokenizer.token_to_id(token))
                .filter(|id| self.token(*id).is_some());
        }
        self.tokenizer.token_to_id(token)
    }

    pub(super) fn algorithm(&self) -> &'static str {
        match self.tokenizer.get_model() {
            ModelWrapper::BPE(_) => "BPE",
            ModelWrapper::WordPiece(_) => "WordPiece",
            ModelWrapper::WordLevel(_) => "whole words",
            ModelWrapper::Unigram(_) => "Unigram",
        }
    }

    /// One more than the largest id.
    pub(super) fn vocab_size(&self) -> usize {
        let own = self.tokenizer.get_vocab(true).into_values();
        let ids = own.chain(self.spelling.tokens.keys().copied());
        ids.filter(|id| self.spelling.unknown.is_none_or(|(first, _)| *id < first))
            .max()
            .map_or(0, |id| id as usize + 1)
    }

    /// The ids that the file marks as special.
    pub(super) fn special_ids(&self) -> Vec<u32> {
        let added = self.tokenizer.get_added_tokens_decoder();
        added.into_iter().filter_map(|(id, token)| token.special.then_some(id)).collect()
    }
}

/// Refuses tokens beside the vocabulary that the crate gives another id than the file does.
fn check_ids(source: &str, json: &Value, tokenizer: &tokenizers::Tokenizer) -> Result<()> {
    for (place, token) in json["added_tokens"].as_array().into_iter().flatten().enumerate() {
        let (content, id) = (token["content"].as_str().unwrap_or_default(), token["id"].as_u64());
        let found = tokenizer.token_to_id(content).map(u64::from);
        if found != id {
            let name = format!("added_tokens.{place} `{}`", quote::name(content));
            let found = found.map_or_else(|| "none".to_owned(), |id| id.to_string());
            return Err(Error::new(ErrorKind::Config, source.to_owned(), name)
                .expecting(format!("id {found}, which the token has by the model"))
                .but_found(token["id"].clone()));
        }
    }
    Ok(())
}
