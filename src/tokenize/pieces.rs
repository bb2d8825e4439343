//! The tokenizers crate behind one door: whatever is built passes [`accept::check`].

use serde_json::{Map, Value, json};
use tokenizers::{ModelWrapper, PostProcessor};

use super::special::Special;
use super::vocabulary::Vocabulary;
use super::{Encoding, Fields, accept, quote, shares};
use crate::{Error, ErrorKind, Result};

#[derive(Debug)]
pub(super) struct Pieces {
    tokenizer: tokenizers::Tokenizer,
    added: usize,
}

impl Pieces {
    /// The tokenizer that `json`, from a file called `source`, describes.
    pub(super) fn from_json(source: &str, mut json: Value) -> Result<Self> {
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
        let tokenizer = tokenizers::Tokenizer::from_bytes(text)
            .map_err(|error| damaged().expecting("a tokenizer").but_found(quote::complaint(&error)))?;
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
        Ok(Self { tokenizer, added })
    }

    /// BERT's tokenizer over a `vocab.txt` called `source` (Devlin et al. 2018, `BasicTokenizer` and `WordpieceTokenizer`).
    pub(super) fn word_pieces(
        source: &str,
        vocabulary: &Vocabulary,
        special: &Special,
        config: Option<&Fields>,
    ) -> Result<Self> {
        let flag = |name, default| config.map_or(Ok(default), |config| config.bool_or(name, default));
        let strip_accents = match config {
            Some(config) if config.has("strip_accents") => Some(config.bool("strip_accents")?),
            _ => None,
        };
        let name = |id: &Option<u32>| id.and_then(|id| vocabulary.token(id));
        let mut template = Vec::new();
        let mut around = Map::new();
        for (place, id) in [special.opening, special.closing].iter().enumerate() {
            if let (Some(token), Some(id)) = (name(id), id) {
                template.push(json!({"SpecialToken": {"id": token, "type_id": 0}}));
                around.insert(token.to_owned(), json!({"id": token, "ids": [id], "tokens": [token]}));
            }
            if place == 0 {
                template.push(json!({"Sequence": {"id": "A", "type_id": 0}}));
            }
        }
        let mut pair = template.clone();
        pair.push(json!({"Sequence": {"id": "B", "type_id": 1}}));
        if let Some(token) = name(&special.closing) {
            pair.push(json!({"SpecialToken": {"id": token, "type_id": 1}}));
        }
        let recognised = special.ids.iter().filter_map(|&id| Some((id, vocabulary.token(id)?)));
        let recognised: Vec<Value> = recognised
            .map(|(id, token)| {
                json!({"id": id, "content": token, "special": true, "normalized": false,
                       "single_word": false, "lstrip": false, "rstrip": false})
            })
            .collect();
        let ids: Map<String, Value> =
            (0_u32..).zip(vocabulary.tokens()).map(|(id, t)| (t.clone(), id.into())).collect();
        let json = json!({
            "version": "1.0",
            "added_tokens": recognised,
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": true,
                "handle_chinese_chars": flag("tokenize_chinese_chars", true)?,
                "strip_accents": strip_accents,
                "lowercase": flag("do_lower_case", true)?,
            },
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {"type": "TemplateProcessing", "single": template, "pair": pair, "special_tokens": around},
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
            "model": {
                "type": "WordPiece",
                "unk_token": name(&special.unknown).unwrap_or("[UNK]"),
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": ids,
            },
        });
        Self::from_json(source, json)
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
        encoding.truncate(room, 0, tokenizers::TruncationDirection::Right);
        // What was cut off would get special tokens of its own.
        encoding.take_overflowing();
        let encoding = self.tokenizer.post_process(encoding, None, true).map_err(refused)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Special tokens around a text, or around and between two.
    pub(super) fn added_to(&self, is_pair: bool) -> usize {
        self.tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(is_pair))
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
            encoding.truncate(kept, 0, tokenizers::TruncationDirection::Right);
            // What was cut off would get special tokens of its own.
            encoding.take_overflowing();
        }
        let encoding = self.tokenizer.post_process(first, second, true).map_err(refused)?;
        let special = encoding.get_special_tokens_mask();
        let sequences = encoding.get_sequence_ids();
        let own = |place: usize| special[place] == 0;
        let places = 0..encoding.len();
        Ok(Encoding {
            ids: encoding.get_ids().to_vec(),
            types: encoding.get_type_ids().to_vec(),
            texts: places.clone().map(|place| sequences[place].filter(|_| own(place))).collect(),
            words: places
                .map(|place| encoding.get_word_ids()[place].filter(|_| own(place)).map(|word| word as usize))
                .collect(),
            offsets: encoding.get_offsets().iter().map(|&(start, end)| start..end).collect(),
        })
    }

    pub(super) fn decode(&self, ids: &[u32]) -> Result<String> {
        // The crate's BPE decoder subtracts one from their number.
        if ids.is_empty() {
            return Ok(String::new());
        }
        self.tokenizer.decode(ids, true).map_err(|error| {
            Error::new(ErrorKind::Argument, "tokenize", "ids").but_found(quote::complaint(&error))
        })
    }

    pub(super) fn token(&self, id: u32) -> Option<String> {
        self.tokenizer.id_to_token(id)
    }

    pub(super) fn id(&self, token: &str) -> Option<u32> {
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
        self.tokenizer.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1)
    }

    /// The ids that the file marks as special.
    pub(super) fn special_ids(&self) -> Vec<u32> {
        let added = self.tokenizer.get_added_tokens_decoder();
        added.into_iter().filter_map(|(id, token)| token.special.then_some(id)).collect()
    }
}
