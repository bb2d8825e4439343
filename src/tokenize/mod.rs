//! From text to token ids and back.
//!
//! A folder's `tokenizer.json` is read by the tokenizers crate; a `vocab.txt` with `##` pieces is BERT's WordPiece; any other
//! `vocab.txt` is matched greedily, the longest token first, which is what models of SMILES strings and of protein sequences
//! need. Lengths are the caller's: truncation and padding that a file asks for are switched off.
//!
//! Files are not trusted. The tokenizers crate (0.23.2) panics on a number of malformed `tokenizer.json`, so that
//! every part of one is checked before it gets there.

mod accept;
mod charsmap;
mod encoding;
mod greedy;
mod pieces;
mod special;
mod vocabulary;

use std::path::Path;

use rayon::prelude::*;

use crate::weights::{Fields, file, quote};
use crate::{Error, ErrorKind, Result};

pub use encoding::Encoding;

use greedy::Greedy;
use pieces::Pieces;
use special::{Names, Special};
use vocabulary::Vocabulary;

const TOKENIZER: &str = "tokenizer.json";
const VOCABULARY: &str = "vocab.txt";

/// Turns text into the token ids of one model, and back.
#[derive(Debug)]
pub struct Tokenizer {
    engine: Engine,
    special: Special,
    vocab_size: usize,
}

#[derive(Debug)]
enum Engine {
    Pieces(Box<Pieces>),
    Greedy(Greedy),
}

impl Tokenizer {
    /// Reads `tokenizer.json`, or else `vocab.txt`, in `folder`.
    ///
    /// Special tokens have the names in `special_tokens_map.json` or else, for each, the conventional one of the vocabulary:
    /// `[CLS] [SEP] [PAD] [UNK] [MASK]` or `<s> </s> <pad> <unk> <mask>`. WordPiece lower-cases unless `tokenizer_config.json`
    /// has `do_lower_case: false`, and obeys its `strip_accents` and `tokenize_chinese_chars`.
    ///
    /// Fails with [`ErrorKind::Io`] where there is neither file or one cannot be read, and with [`ErrorKind::Config`] where one
    /// is damaged, too large (64 MiB; 16 MiB for a `vocab.txt`), or asks for what is not known here.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let names = Names::open(folder)?;
        let tokenizer = folder.join(TOKENIZER);
        if tokenizer.exists() {
            let bytes = file::read(&tokenizer, accept::MOST_BYTES)?;
            return Self::from_json(&file::shown(&tokenizer), &bytes, &names);
        }
        let vocabulary = folder.join(VOCABULARY);
        if !vocabulary.exists() {
            return Err(Error::new(ErrorKind::Io, file::shown(folder), "folder")
                .expecting(format!("{TOKENIZER} or {VOCABULARY} in it"))
                .but_found("neither"));
        }
        let source = file::shown(&vocabulary);
        let vocabulary = Vocabulary::parse(&source, &file::read(&vocabulary, vocabulary::MOST_BYTES)?)?;
        let path = folder.join("tokenizer_config.json");
        let config = if path.exists() { Some(Fields::open(&path)?) } else { None };
        Self::from_vocabulary(&source, vocabulary, config.as_ref(), &names)
    }

    /// A tokenizer from the contents of a `tokenizer.json`, which messages call `source`; special tokens by convention.
    pub fn from_json_bytes(source: &str, bytes: &[u8]) -> Result<Self> {
        Self::from_json(source, bytes, &Names::default())
    }

    /// A tokenizer from the contents of a `vocab.txt`, which messages call `source`; special tokens by convention.
    pub fn from_vocabulary_bytes(source: &str, bytes: &[u8]) -> Result<Self> {
        Self::from_vocabulary(source, Vocabulary::parse(source, bytes)?, None, &Names::default())
    }

    fn from_json(source: &str, bytes: &[u8], names: &Names) -> Result<Self> {
        let pieces = Pieces::from_json(source, crate::weights::parse_json(source, bytes)?)?;
        let special = names.find(source, |token| pieces.id(token))?.and(pieces.special_ids());
        Ok(Self { vocab_size: pieces.vocab_size(), special, engine: Engine::Pieces(Box::new(pieces)) })
    }

    fn from_vocabulary(
        source: &str,
        vocabulary: Vocabulary,
        config: Option<&Fields>,
        names: &Names,
    ) -> Result<Self> {
        let special = names.find(source, |token| vocabulary.id(token))?;
        let vocab_size = vocabulary.len();
        let engine = if vocabulary.has_pieces() {
            Engine::Pieces(Box::new(Pieces::word_pieces(source, &vocabulary, &special, config)?))
        } else {
            Engine::Greedy(Greedy::new(vocabulary, special.clone()))
        };
        Ok(Self { engine, special, vocab_size })
    }

    /// The token ids of `text`, with the special tokens around it that the model expects. The name of a special token in
    /// `text` (`[MASK]`, `<mask>`) stands for that token.
    ///
    /// Fails with [`ErrorKind::Argument`] on what the vocabulary cannot express, if it has no token for the unknown.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_truncated(text, usize::MAX)
    }

    /// [`Tokenizer::encode`] of every text, in parallel. Fails with the first text's error.
    pub fn encode_batch(&self, texts: &[impl AsRef<str> + Sync]) -> Result<Vec<Vec<u32>>> {
        let encoded: Vec<_> = texts.par_iter().map(|text| self.encode(text.as_ref())).collect();
        encoded.into_iter().collect()
    }

    /// [`Tokenizer::encode`], but at most `max_tokens` ids: text is cut at its end, the special tokens stay. Fails also when
    /// `max_tokens` does not hold them.
    pub fn encode_truncated(&self, text: &str, max_tokens: usize) -> Result<Vec<u32>> {
        let added = match &self.engine {
            Engine::Pieces(pieces) => pieces.added(),
            Engine::Greedy(greedy) => greedy.added(),
        };
        let Some(room) = max_tokens.checked_sub(added) else {
            return Err(Error::new(ErrorKind::Argument, "tokenize", "max_tokens")
                .expecting(format!("at least {added}, for the special tokens"))
                .but_found(max_tokens));
        };
        match &self.engine {
            Engine::Pieces(pieces) => pieces.encode(text, room),
            Engine::Greedy(greedy) => greedy.encode(text, room),
        }
    }

    /// The tokens of a text, or of two with the special tokens between them that the model expects, at most `max_tokens`: where there are
    /// more, the longer text is cut at its end until they fit.
    ///
    /// Fails as [`Tokenizer::encode_truncated`] does.
    pub fn encode_texts(&self, texts: &[&str], max_tokens: usize) -> Result<Encoding> {
        let (first, second) = match *texts {
            [first] => (first, None),
            [first, second] => (first, Some(second)),
            _ => {
                return Err(Error::new(ErrorKind::Argument, "tokenize", "texts")
                    .expecting("one or two")
                    .but_found(texts.len()));
            }
        };
        let added = match &self.engine {
            Engine::Pieces(pieces) => pieces.added_to(second.is_some()),
            Engine::Greedy(greedy) => greedy.added_to(second.is_some()),
        };
        let Some(room) = max_tokens.checked_sub(added) else {
            return Err(Error::new(ErrorKind::Argument, "tokenize", "max_tokens")
                .expecting(format!("at least {added}, for the special tokens"))
                .but_found(max_tokens));
        };
        match &self.engine {
            Engine::Pieces(pieces) => pieces.encode_texts(first, second, room),
            Engine::Greedy(greedy) => greedy.encode_texts(first, second, room),
        }
    }

    /// The text of `ids`, special tokens left out. Fails with [`ErrorKind::Argument`] on an id outside the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let mut kept = Vec::with_capacity(ids.len());
        for (index, &id) in ids.iter().enumerate() {
            if self.token(id).is_none() {
                return Err(Error::new(ErrorKind::Argument, "tokenize", format!("ids[{index}]"))
                    .expecting("an id of the vocabulary")
                    .but_found(id));
            }
            if !self.special.ids.contains(&id) {
                kept.push(id);
            }
        }
        match &self.engine {
            Engine::Pieces(pieces) => pieces.decode(&kept),
            Engine::Greedy(greedy) => Ok(greedy.decode(&kept)),
        }
    }

    /// The token of that id, as the vocabulary spells it.
    pub fn token(&self, id: u32) -> Option<String> {
        match &self.engine {
            Engine::Pieces(pieces) => pieces.token(id),
            Engine::Greedy(greedy) => greedy.token(id).map(str::to_owned),
        }
    }

    /// How text is cut into tokens, in a word or two.
    pub fn algorithm(&self) -> &'static str {
        match &self.engine {
            Engine::Pieces(pieces) => pieces.algorithm(),
            Engine::Greedy(_) => "greedy longest match",
        }
    }

    /// The id of that token.
    pub fn id(&self, token: &str) -> Option<u32> {
        match &self.engine {
            Engine::Pieces(pieces) => pieces.id(token),
            Engine::Greedy(greedy) => greedy.id(token),
        }
    }

    /// The token that stands for a masked one.
    pub fn mask_id(&self) -> Option<u32> {
        self.special.mask
    }

    /// The token that fills a batch up.
    pub fn pad_id(&self) -> Option<u32> {
        self.special.pad
    }

    /// Rows that a table of embeddings needs: one more than the largest id.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The ids of all special tokens, ascending.
    pub fn special_ids(&self) -> impl Iterator<Item = u32> {
        self.special.ids.iter().copied()
    }
}

/// How many tokens of two texts are kept where `room` are: of the longer one fewer, until both fit.
fn shares(room: usize, [first, second]: [usize; 2]) -> [usize; 2] {
    if first + second <= room {
        return [first, second];
    }
    let half = room / 2;
    match (first <= half, second <= half) {
        (true, _) => [first, room - first],
        (_, true) => [room - second, second],
        _ => [room - half, half],
    }
}
