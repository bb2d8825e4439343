//! Which tokenizer the files of a folder are.

use std::path::Path;

use super::classes::{self, Class, Kind};
use super::greedy::Greedy;
use super::pieces::{Pieces, Spelling};
use super::settings::Settings;
use super::special::Special;
use super::vocabulary::{self, Vocabulary};
use super::{Engine, Tokenizer, accept, bpe, overrides, sentencepiece, wordpiece, words};
use crate::weights::modules::network_folder;
use crate::weights::{file, quote};
use crate::{Error, ErrorKind, Result};

const TOKENIZER: &str = "tokenizer.json";
const VOCABULARY: &str = "vocab.txt";
const BPE: [&str; 2] = ["vocab.json", "merges.txt"];
const SENTENCE_PIECE: [&str; 4] = ["spiece.model", "spm.model", "sentencepiece.bpe.model", "tokenizer.model"];

impl Tokenizer {
    /// Reads the tokenizer of `folder`: see the [list](crate::tokenize#what-is-read-of-a-folder) of files and fields.
    ///
    /// Fails with [`ErrorKind::Io`] where there is no vocabulary or one cannot be read, and with [`ErrorKind::Config`] where a file is
    /// damaged, too large (64 MiB; 16 MiB for a `vocab.txt`), or asks for what is not known here.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = network_folder(folder.as_ref())?;
        let settings = Settings::open(&folder)?;
        let found = |name: &str| Some(folder.join(name)).filter(|path| path.exists());
        let read = |path: &Path, most| Ok((file::shown(path), file::read(path, most)?));
        if let Some(path) = found(TOKENIZER) {
            let (source, bytes) = read(&path, accept::MOST_BYTES)?;
            return Self::from_json(&source, &bytes, &settings)?.settled(&settings);
        }
        let tokenizer = if let Some(path) = found(VOCABULARY) {
            let (source, bytes) = read(&path, vocabulary::MOST_BYTES)?;
            Self::from_vocabulary(&source, &bytes, &settings)?
        } else if let [Some(vocabulary), Some(merges)] = BPE.map(&found) {
            let (source, vocabulary) = read(&vocabulary, accept::MOST_BYTES)?;
            let (merges_source, merges) = read(&merges, accept::MOST_BYTES)?;
            let files = bpe::Files::parse(&source, &vocabulary, &merges_source, &merges)?;
            Self::from_merges(files, &settings)?
        } else if let Some(path) = SENTENCE_PIECE.iter().find_map(|name| found(name)) {
            let (source, bytes) = read(&path, accept::MOST_BYTES)?;
            Self::from_sentence_piece(&source, &bytes, &settings)?
        } else {
            return Err(nothing(&folder));
        };
        tokenizer.settled(&settings)
    }

    /// Whether `folder` has a vocabulary that [`Tokenizer::open`] would read.
    pub fn is_in(folder: impl AsRef<Path>) -> bool {
        let folder = network_folder(folder.as_ref()).unwrap_or_else(|_| folder.as_ref().to_owned());
        let names = [TOKENIZER, VOCABULARY, BPE[0]].into_iter().chain(SENTENCE_PIECE);
        names.map(|name| folder.join(name)).any(|path| path.exists())
    }

    /// A tokenizer from the contents of a `tokenizer.json`, which messages call `source`; special tokens by convention.
    pub fn from_json_bytes(source: &str, bytes: &[u8]) -> Result<Self> {
        Self::from_json(source, bytes, &Settings::default())
    }

    /// A tokenizer from the contents of a `vocab.txt`, which messages call `source`; special tokens by convention.
    pub fn from_vocabulary_bytes(source: &str, bytes: &[u8]) -> Result<Self> {
        Self::from_vocabulary(source, bytes, &Settings::default())
    }

    fn from_json(source: &str, bytes: &[u8], settings: &Settings) -> Result<Self> {
        let mut document = crate::weights::parse_json(source, bytes)?;
        if document.is_object() {
            overrides::apply(source, &mut document, settings)?;
        }
        Self::from_document(source, document, settings, Spelling::default())
    }

    /// A tokenizer of a document that is as settings want it.
    fn from_document(
        source: &str,
        mut document: serde_json::Value,
        settings: &Settings,
        spelling: Spelling,
    ) -> Result<Self> {
        if settings.is_lower_case {
            overrides::lower_case(&mut document);
        }
        let mut pieces = Pieces::from_json(source, document)?.with_spelling(spelling);
        if settings.text("truncation_side")? == Some("left") {
            pieces = pieces.cutting_left();
        }
        if settings.flag("split_special_tokens")? == Some(true) {
            pieces = pieces.splitting_special();
        }
        let special = Special::find(settings, source, |token| pieces.id(token))?.and(pieces.special_ids());
        check_around(settings, &pieces, &special)?;
        Ok(Self::of(Engine::Pieces(Box::new(pieces)), special))
    }

    fn of(engine: Engine, special: Special) -> Self {
        let vocab_size = match &engine {
            Engine::Pieces(pieces) => pieces.vocab_size(),
            Engine::Greedy(greedy) => greedy.vocab_size(),
        };
        Self { engine, special, vocab_size, has_types: true, cleans_up: false }
    }

    fn from_vocabulary(source: &str, bytes: &[u8], settings: &Settings) -> Result<Self> {
        let kind = |class: Option<&'static Class>| class.map(|class| (class, class.kind));
        if let Some((class, Kind::Words)) = kind(settings.class_or_family()) {
            let document = words::document(source, bytes, class, settings)?;
            return Self::from_document(source, document, settings, Spelling::default());
        }
        let vocabulary = Vocabulary::parse(source, bytes)?;
        let is_word_pieces = matches!(kind(settings.class()), Some((_, Kind::WordPiece)));
        if is_word_pieces || vocabulary.has_pieces() {
            let special = Special::known(settings, |token| vocabulary.id(token))?;
            let document = wordpiece::document(source, &vocabulary, &special, settings)?;
            let tokens = vocabulary.repeated().map(|(id, token)| (id, token.to_owned())).collect();
            return Self::from_document(
                source,
                document,
                settings,
                Spelling { tokens, ..Spelling::default() },
            );
        }
        refuse_for_greedy(source, &vocabulary, settings)?;
        let special = Special::find(settings, source, |token| vocabulary.id(token))?;
        Ok(Self::of(Engine::Greedy(Greedy::new(vocabulary, special.clone())), special))
    }

    fn from_merges(files: bpe::Files<'_>, settings: &Settings) -> Result<Self> {
        let source = files.source;
        match settings.class_or_family().map(|class| (class, class.kind)) {
            Some((class, Kind::ByteLevel)) => {
                let document = files.byte_level(class, settings)?;
                Self::from_document(source, document, settings, Spelling::default())
            }
            Some((class, Kind::Ctrl)) => {
                let (document, spelling) = files.ctrl(class, settings)?;
                Self::from_document(source, document, settings, spelling)
            }
            found => Err(unknown_class(source, found.map(|(class, _)| class), |kind| {
                matches!(kind, Kind::ByteLevel | Kind::Ctrl)
            })),
        }
    }

    fn from_sentence_piece(source: &str, bytes: &[u8], settings: &Settings) -> Result<Self> {
        match settings.class_or_family().map(|class| (class, class.kind)) {
            Some((class, Kind::SentencePiece(flavour))) => {
                let document = sentencepiece::document(source, bytes, class, flavour, settings)?;
                Self::from_document(source, document, settings, Spelling::default())
            }
            found => Err(unknown_class(source, found.map(|(class, _)| class), |kind| {
                matches!(kind, Kind::SentencePiece(_))
            })),
        }
    }

    /// The same tokenizer with settings of what is made of its tokens.
    fn settled(self, settings: &Settings) -> Result<Self> {
        if let Some(side) = settings.text("truncation_side")?
            && !["left", "right"].contains(&side)
        {
            return Err(settings.refuse("truncation_side", "left or right"));
        }
        let names = settings.get("model_input_names").and_then(serde_json::Value::as_array);
        let has_types = names.is_none_or(|names| names.iter().any(|name| name == "token_type_ids"));
        // CTRL's tokens have no other mark of what stands alone.
        let is_ctrl = settings.class_or_family().is_some_and(|class| class.kind == Kind::Ctrl);
        let cleans_up = settings.flag("clean_up_tokenization_spaces")?.unwrap_or(is_ctrl);
        Ok(Self { has_types, cleans_up, ..self })
    }
}

/// Refuses `add_bos_token` and `add_eos_token` that are true where nothing puts such a token there.
fn check_around(settings: &Settings, pieces: &Pieces, special: &Special) -> Result<()> {
    for (field, role, conventional) in
        [("add_bos_token", "bos_token", special.opening), ("add_eos_token", "eos_token", special.closing)]
    {
        if settings.flag(field)? != Some(true) {
            continue;
        }
        let named = settings.token(role)?.and_then(|token| pieces.id(&token.content));
        let around = pieces.around()?;
        let end = if field == "add_bos_token" { around.first() } else { around.last() };
        let by_class = settings.class_or_family().and_then(|class| class.token(role));
        let wanted = named.or(by_class.and_then(|token| pieces.id(token))).or(conventional);
        if wanted.is_none() || end.copied() != wanted {
            return Err(settings.refuse(field, "false, as tokenizer.json puts no such token there"));
        }
    }
    Ok(())
}

/// Refuses settings of words for a vocabulary that has none, and tokens that it lacks.
fn refuse_for_greedy(source: &str, vocabulary: &Vocabulary, settings: &Settings) -> Result<()> {
    if settings.is_lower_case {
        return Err(Error::new(ErrorKind::Unsupported, source.to_owned(), "do_lower_case")
            .expecting("false in sentence_bert_config.json, as this vocabulary has no words")
            .but_found("true"));
    }
    for (name, value) in [
        ("do_lower_case", false.into()),
        ("split_special_tokens", false.into()),
        ("truncation_side", serde_json::Value::from("right")),
    ] {
        settings.refuse_unless(name, &value, &format!("{value}, as vocab.txt has no words"))?;
    }
    for token in settings.added() {
        let known = vocabulary.id(&token.content);
        if known.is_none() || token.id.is_some_and(|id| Some(id) != known) {
            let name = format!("the added token `{}`", quote::name(&token.content));
            return Err(Error::new(ErrorKind::Config, source.to_owned(), name)
                .expecting("it in vocab.txt, which has no words, under its id")
                .but_found(known.map_or_else(|| "no such token".to_owned(), |id| format!("id {id}"))));
        }
    }
    Ok(())
}

/// An error for a vocabulary that several classes read, each in its way.
fn unknown_class(source: &str, found: Option<&Class>, fits: impl Fn(Kind) -> bool) -> Error {
    let names: Vec<&str> =
        classes::CLASSES.iter().filter(|class| fits(class.kind)).map(|class| class.name).collect();
    Error::new(ErrorKind::Config, source.to_owned(), "tokenizer_class")
        .expecting(format!("one of {} in tokenizer_config.json", names.join(", ")))
        .but_found(found.map_or("none", |class| class.name))
}

/// An error for a folder without a vocabulary that is read.
fn nothing(folder: &Path) -> Error {
    let error = Error::new(ErrorKind::Io, file::shown(folder), "folder").expecting(format!(
        "{TOKENIZER}, {VOCABULARY}, {} with {}, or one of {} in it",
        BPE[0],
        BPE[1],
        SENTENCE_PIECE.join(", ")
    ));
    let others = ["vocab.bin", "vocab.pkl", "vocab.bpe", "encoder.json", "tekken.json", BPE[0], BPE[1]];
    let found = others.iter().find(|name| folder.join(name).exists());
    error
        .but_found(found.map_or("none of them".to_owned(), |name| format!("{name}, which is not read alone")))
}
