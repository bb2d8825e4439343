//! From text to token ids and back.
//!
//! # What is read of a folder
//!
//! | file | what for |
//! |---|---|
//! | `tokenizer.json` | all of it but `truncation` and `padding`: lengths are the caller's. Files of old versions may lack `model.type`. It comes before the vocabularies below |
//! | `vocab.txt` | word pieces as BERT's where some begin with `##`; whole words for the class `TransfoXL`; else the longest token is matched first, which is what models of SMILES strings and of protein sequences need |
//! | `vocab.json` and `merges.txt` | byte-level BPE as GPT-2's and RoBERTa's, and CTRL's; the class must be known |
//! | `spiece.model`, `spm.model`, `sentencepiece.bpe.model`, `tokenizer.model` | SentencePiece models, unigram or BPE; the class must be known |
//! | `tokenizer_config.json` | the fields below |
//! | `special_tokens_map.json` | `bos_token`, `eos_token`, `unk_token`, `sep_token`, `pad_token`, `cls_token`, `mask_token`, `additional_special_tokens` |
//! | `added_tokens.json` | tokens beside the vocabulary and their ids, where `tokenizer_config.json` has no `added_tokens_decoder` |
//! | `config.json` | `tokenizer_class`, and `model_type` where no file names a class |
//! | `sentence_bert_config.json` and its older names | `do_lower_case`: small letters, whatever else the folder says |
//!
//! Of `tokenizer_config.json`:
//!
//! | field | what happens |
//! |---|---|
//! | `tokenizer_class` | one of the known names, with or without `Fast`; others are refused |
//! | the special tokens above, `extra_special_tokens`, `added_tokens_decoder` | tokens, ids and how they are found in texts; those that a vocabulary lacks get the next ids |
//! | `do_lower_case`, `strip_accents`, `tokenize_chinese_chars` | obeyed for word pieces, and over a `tokenizer.json` with BERT's normaliser; `do_lower_case` of others must be what `tokenizer.json` says |
//! | `do_basic_tokenize`, `never_split`, `wordpieces_prefix` | of a `vocab.txt`: obeyed; a list of words that stay whole is refused |
//! | `add_prefix_space`, `trim_offsets`, `add_bos_token`, `add_eos_token` | obeyed; refused where they contradict a `tokenizer.json` |
//! | `keep_accents`, `split_by_punct`, `legacy`, `extra_ids`; `remove_space`, `vocab_type`, `sp_model_kwargs`, `errors` | of other vocabularies: obeyed; refused with other values than the usual |
//! | `split_special_tokens` | names of special tokens in a text are text |
//! | `truncation_side` | where [`Tokenizer::encode_truncated`] cuts |
//! | `model_input_names` | without `token_type_ids` all types are 0 |
//! | `clean_up_tokenization_spaces` | where it is true, decoded texts have no blanks before punctuation |
//! | `model_max_length` | read by [`Model::open`](crate::models::Model::open) |
//!
//! Other fields change no ids: `padding_side` (nothing is padded), `chat_template`, `name_or_path` and the like.
//!
//! Special tokens have the names that files give or else, for each, the conventional one of the vocabulary: `[CLS] [SEP] [PAD] [UNK] [MASK]` or
//! `<s> </s> <pad> <unk> <mask>`.
//!
//! Files are not trusted. The tokenizers crate (0.23.2) panics on a number of malformed `tokenizer.json`, so that
//! every part of one is checked before it gets there; other vocabularies become such a document, and are checked as one.

mod accept;
mod bpe;
mod charsmap;
mod classes;
mod document;
mod encoding;
mod greedy;
mod growing;
mod open;
mod overrides;
mod pieces;
mod proto;
mod sentencepiece;
mod settings;
mod special;
mod table;
mod vocabulary;
mod wordpiece;
mod words;

use rayon::prelude::*;

use crate::weights::quote;
use crate::{Error, ErrorKind, Result};

pub use encoding::Encoding;
pub use growing::GrowingText;
pub use table::Table;

use greedy::Greedy;
use pieces::Pieces;
use special::Special;

/// Turns text into the token ids of one model, and back.
#[derive(Debug)]
pub struct Tokenizer {
    engine: Engine,
    special: Special,
    vocab_size: usize,
    /// Whether types are given.
    has_types: bool,
    /// Whether decoded texts lose blanks before punctuation.
    cleans_up: bool,
}

#[derive(Debug)]
enum Engine {
    Pieces(Box<Pieces>),
    Greedy(Greedy),
}

impl Tokenizer {
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
        let mut encoding = match &self.engine {
            Engine::Pieces(pieces) => pieces.encode_texts(first, second, room),
            Engine::Greedy(greedy) => greedy.encode_texts(first, second, room),
        }?;
        if !self.has_types {
            encoding.types.fill(0);
        }
        Ok(encoding)
    }

    /// [`Tokenizer::encode_truncated`] of a question and a table that may answer it, as TAPEX reads them (Liu et al., arXiv 2107.07653): the
    /// question, a blank and the table written out ([`Table`]'s text), all in small letters. Rows that do not fit are cut off at the end.
    pub fn encode_table(&self, question: &str, table: &Table, max_tokens: usize) -> Result<Vec<u32>> {
        let text = format!("{question} {table}").to_lowercase();
        self.encode_truncated(text.trim_start(), max_tokens)
    }

    /// The text of `ids`, special tokens left out. Fails with [`ErrorKind::Argument`] on an id outside the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.check_ids(ids)?;
        let kept: Vec<u32> = ids.iter().copied().filter(|id| !self.special.ids.contains(id)).collect();
        self.text_of(&kept)
    }

    /// The text of `ids`, special tokens among them by their names. Fails as [`Tokenizer::decode`] does.
    pub fn decode_all(&self, ids: &[u32]) -> Result<String> {
        self.check_ids(ids)?;
        self.text_of(ids)
    }

    fn check_ids(&self, ids: &[u32]) -> Result<()> {
        match ids.iter().position(|&id| self.token(id).is_none()) {
            Some(index) => Err(Error::new(ErrorKind::Argument, "tokenize", format!("ids[{index}]"))
                .expecting("an id of the vocabulary")
                .but_found(ids[index])),
            None => Ok(()),
        }
    }

    fn text_of(&self, ids: &[u32]) -> Result<String> {
        let text = match &self.engine {
            Engine::Pieces(pieces) => pieces.decode(ids)?,
            Engine::Greedy(greedy) => greedy.decode(ids),
        };
        Ok(if self.cleans_up { cleaned_up(text) } else { text })
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

/// The text without the blanks before punctuation and shortened words that a tokenizer put there:
/// <https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/tokenization_utils_base.py>, `clean_up_tokenization`.
fn cleaned_up(text: String) -> String {
    const SHORTER: [(&str, &str); 10] = [
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ];
    SHORTER.iter().fold(text, |text, (from, to)| text.replace(from, to))
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
