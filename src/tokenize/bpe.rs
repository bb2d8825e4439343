//! Byte-pair encodings (Sennrich et al., arXiv 1508.07909) of `vocab.json` and `merges.txt`: of bytes, as GPT-2 and RoBERTa have them, and of
//! words whose pieces but the last end in `@@`, as CTRL has them.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::accept::MOST_TOKENS;
use super::classes::Class;
use super::document::{add_tokens, role, roles, template};
use super::pieces::Spelling;
use super::settings::{Added, Settings};
use super::{quote, settings};
use crate::weights::parse_json;
use crate::{Error, ErrorKind, Result};

/// Ends the last piece of a word among merges.
const END: &str = "</w>";
/// Ends every other piece of a word in CTRL's vocabulary.
pub(super) const GOES_ON: &str = "@@";

/// The two files.
pub(super) struct Files<'a> {
    pub(super) source: &'a str,
    pub(super) vocabulary: Map<String, Value>,
    pub(super) merges: Vec<[String; 2]>,
}

impl<'a> Files<'a> {
    /// The contents of `vocab.json`, called `source`, and of `merges.txt`, called `merges_source`.
    pub(super) fn parse(source: &'a str, json: &[u8], merges_source: &str, merges: &[u8]) -> Result<Self> {
        let Value::Object(vocabulary) = parse_json(source, json)? else {
            return Err(Error::new(ErrorKind::Config, source.to_owned(), "document")
                .expecting("an object of tokens and ids"));
        };
        let text = str::from_utf8(merges).map_err(|_| {
            Error::new(ErrorKind::Config, merges_source.to_owned(), "text").expecting("UTF-8")
        })?;
        let mut pairs = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let parts: Vec<&str> = line.split_whitespace().collect();
            match parts[..] {
                // The first line may name a version.
                [] | ["#version:", ..] if parts.is_empty() || number == 1 => {}
                [one, other] => pairs.push([one.to_owned(), other.to_owned()]),
                _ => {
                    return Err(Error::new(
                        ErrorKind::Config,
                        merges_source.to_owned(),
                        format!("line {number}"),
                    )
                    .expecting("two pieces")
                    .but_found(format!("`{}`", quote::name(line))));
                }
            }
        }
        Ok(Self { source, vocabulary, merges: pairs })
    }

    fn id(&self, token: &str) -> Option<u32> {
        self.vocabulary.get(token).and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok())
    }

    /// The special token of a role that templates name, where the vocabulary has it.
    fn token(&self, settings: &Settings, class: &Class, name: &str) -> Option<(String, u32)> {
        let token = role(settings, class, name).ok().flatten()?.content;
        self.id(&token).map(|id| (token, id))
    }

    /// Those of a class that the vocabulary has, and those that files name.
    fn added(&self, settings: &Settings, class: &Class) -> Result<Vec<Added>> {
        let mut tokens = Vec::new();
        for token in roles(settings, class)? {
            if self.id(&token.content).is_some() {
                tokens.push(token);
            }
        }
        tokens.extend(super::document::named(settings)?);
        tokens.extend(settings.added().iter().cloned());
        Ok(tokens)
    }

    /// As a `tokenizer.json` of bytes, for a class whose templates say what is around a text.
    pub(super) fn byte_level(self, class: &Class, settings: &Settings) -> Result<Value> {
        settings.refuse_unless("errors", &json!("replace"), "`replace`")?;
        settings.refuse_unless("vocab_type", &json!("gpt2"), "`gpt2`")?;
        let has_prefix = settings.flag("add_prefix_space")?.unwrap_or(false);
        let token = |name: &str| self.token(settings, class, name);
        let level = |trims: bool| json!({"type": "ByteLevel", "add_prefix_space": has_prefix, "trim_offsets": trims, "use_regex": true});
        let is_bare = class.templates[0] == "A";
        let post_processor = match (token("cls"), token("sep")) {
            // Offsets of words leave out the blanks before them.
            (Some(cls), Some(sep)) if class.templates[1] == "cls A sep sep B sep" => json!({
                "type": "RobertaProcessing", "sep": [sep.0, sep.1], "cls": [cls.0, cls.1],
                "trim_offsets": settings.flag("trim_offsets")?.unwrap_or(true), "add_prefix_space": has_prefix,
            }),
            _ if is_bare && settings.flag("add_bos_token")? == Some(true) => {
                template(["bos A", "bos A bos:1 B:1"], token)
            }
            _ if is_bare => level(false),
            _ => template(class.templates, token),
        };
        let unknown = token("unk").map(|(token, _)| token);
        let added = self.added(settings, class)?;
        let mut document = json!({
            "version": "1.0",
            "added_tokens": [],
            "normalizer": null,
            "pre_tokenizer": level(true),
            "post_processor": post_processor,
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {
                "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": "",
                "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false,
                "vocab": self.vocabulary, "merges": self.merges,
            },
        });
        add_tokens(self.source, &mut document, &added)?;
        Ok(document)
    }

    /// As a `tokenizer.json` of words that end in `</w>`, and how the file spells its tokens: `low@@` for a piece that goes on, `low` for the
    /// end of a word. Pieces that merges make and that the file lacks are unknown.
    ///
    /// Rule: <https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/models/ctrl/tokenization_ctrl.py>.
    pub(super) fn ctrl(self, class: &Class, settings: &Settings) -> Result<(Value, Spelling)> {
        let unknown = self.token(settings, class, "unk").ok_or_else(|| {
            let name =
                role(settings, class, "unk").ok().flatten().map_or_else(String::new, |token| token.content);
            settings::missing(self.source, "unk_token", "the vocabulary", &name)
        })?;
        let mut ids = Map::new();
        let mut spelled = HashMap::new();
        for (token, id) in &self.vocabulary {
            let piece = match token.strip_suffix(GOES_ON) {
                Some(piece) if !piece.is_empty() => piece.to_owned(),
                _ if *token == unknown.0 => token.clone(),
                _ => format!("{token}{END}"),
            };
            if let Some(id) = id.as_u64().and_then(|id| u32::try_from(id).ok()) {
                spelled.insert(id, token.clone());
            }
            ids.insert(piece, id.clone());
        }
        let mut document = json!({
            "version": "1.0",
            "added_tokens": [],
            "normalizer": null,
            // What Python's `\S+\n?` finds.
            "pre_tokenizer": {
                "type": "Split", "pattern": {"Regex": r"[^\s\x1c-\x1f]+\n?"}, "behavior": "Removed", "invert": true,
            },
            "post_processor": template(class.templates, |_| None),
            "decoder": {"type": "BPEDecoder", "suffix": END},
            "model": {
                "type": "BPE", "dropout": null, "unk_token": unknown.0, "continuing_subword_prefix": "",
                "end_of_word_suffix": END, "fuse_unk": false, "byte_fallback": false, "vocab": ids,
                "merges": self.merges,
            },
        });
        add_tokens(self.source, &mut document, &self.added(settings, class)?)?;
        let others = with_all_pieces(&mut document, &self.merges);
        Ok((document, Spelling { tokens: spelled, unknown: Some((others, unknown.1)), joins: true }))
    }
}

/// Gives pieces of merges that the vocabulary lacks ids beyond those of any token, and returns the first of these.
fn with_all_pieces(document: &mut Value, merges: &[[String; 2]]) -> u32 {
    // Half of all ids: the other half is for tokens.
    let first = (MOST_TOKENS / 2) as u32;
    let mut lacking: Vec<(String, Value)> = Vec::new();
    for entry in document["added_tokens"].as_array().into_iter().flatten() {
        lacking.extend(entry["content"].as_str().map(|content| (content.to_owned(), entry["id"].clone())));
    }
    if let Value::Object(vocabulary) = &mut document["model"]["vocab"] {
        let mut next = first;
        let mut pieces = Vec::new();
        for [one, other] in merges {
            pieces.extend([one.clone(), other.clone(), format!("{one}{other}")]);
        }
        pieces.retain(|piece| !vocabulary.contains_key(piece));
        if !pieces.is_empty() {
            // Tokens beside the vocabulary are numbered on from its last one: they must be in it before others are.
            for (token, id) in lacking {
                vocabulary.entry(token).or_insert(id);
            }
        }
        for piece in pieces {
            if !vocabulary.contains_key(&piece) {
                vocabulary.insert(piece, next.into());
                next += 1;
            }
        }
    }
    first
}
