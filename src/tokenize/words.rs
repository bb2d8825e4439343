//! Whole words, split at white space: the vocabularies of Transformer-XL, whose texts were tokenised before (WikiText-103). `<eos>` ends
//! a text, as it ends every line there.

use serde_json::{Map, Value, json};

use super::classes::Class;
use super::document::{add_tokens, role, roles, template};
use super::settings::{Added, Settings};
use super::vocabulary::{self, Vocabulary};
use crate::Result;

/// As a `tokenizer.json` for `vocab.txt`, the file called `source`: a word a line, what is behind it (its count) left out. A word that is
/// there twice counts once.
pub(super) fn document(source: &str, bytes: &[u8], class: &Class, settings: &Settings) -> Result<Value> {
    for flag in ["lower_case", "lowercase", "do_lower_case"] {
        settings.refuse_unless(flag, &json!(false), "false")?;
    }
    let lines = Vocabulary::parse(source, bytes)?;
    let mut ids = Map::new();
    for (number, line) in (1..).zip(lines.tokens()) {
        let word =
            line.split_whitespace().next().ok_or_else(|| vocabulary::damaged(source, number, "a word"))?;
        if !ids.contains_key(word) {
            ids.insert(word.to_owned(), ids.len().into());
        }
    }
    let id = |token: &str| ids.get(token).and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
    let token = |name: &str| {
        let token = role(settings, class, name).ok().flatten()?.content;
        id(&token).map(|id| (token, id))
    };
    let tokens: Vec<Added> =
        roles(settings, class)?.into_iter().filter(|token| id(&token.content).is_some()).collect();
    let unknown = role(settings, class, "unk")?.map(|token| token.content);
    let mut document = json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": template(class.templates, token),
        "decoder": null,
        "model": {"type": "WordLevel", "unk_token": unknown.as_deref().unwrap_or("<unk>"), "vocab": ids},
    });
    add_tokens(source, &mut document, &[tokens, settings.added().to_vec()].concat())?;
    Ok(document)
}
