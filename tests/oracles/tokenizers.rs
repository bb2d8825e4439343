//! Tokenizers as users have them against the ids of other implementations.

use std::path::{Path, PathBuf};

use foveate::tokenize::Tokenizer;
use serde_json::Value as Json;

use crate::report::Report;
use crate::{Found, Result};

/// Fields of an item that are compared.
const COMPARED: &[&str] = &["text", "ids", "tokens", "decoded"];

/// Fields that [`Tokenizer`] gives nothing for: ids and text without special tokens, where tokens begin and end, pairs of texts. `slow_ids` are
/// another implementation's.
const OTHERS: &[&str] = &["ids_plain", "decoded_plain", "offsets", "type_ids", "slow_ids"];

/// Fields beside the items: what made the file, in words and numbers, and a pair of texts.
const BESIDE: &[&str] = &["items", "kind", "pair", "tokenizers", "transformers", "vocab"];

/// The test of a folder with a `tokenizer.json`, whose algorithm that file names. Others, by their own rules, are missing.
pub(crate) fn find(path: &Path) -> Result<Found> {
    if !path.join("tokenizer.json").is_file() || !path.join("expected.json").is_file() {
        return Ok(Found::Missing);
    }
    let folder = path.to_owned();
    Ok(Found::test(move || check(&folder)))
}

fn check(folder: &PathBuf) -> Result<Report> {
    let tokenizer = Tokenizer::open(folder)?;
    let expected: Json = serde_json::from_slice(&std::fs::read(folder.join("expected.json"))?)?;
    let fields = expected.as_object().ok_or("expected.json is not an object")?;
    refuse_others(fields.keys(), &[BESIDE])?;
    if expected["vocab"].as_u64() != Some(tokenizer.vocab_size() as u64) {
        return Err(format!("expected {} tokens, found {}", expected["vocab"], tokenizer.vocab_size()).into());
    }
    let items = expected["items"].as_array().filter(|items| !items.is_empty()).ok_or("no items")?;
    for item in items {
        refuse_others(item.as_object().ok_or("an item is not an object")?.keys(), &[COMPARED, OTHERS])?;
        let text = item["text"].as_str().ok_or("an item has no text")?;
        let ids = tokenizer.encode(text)?;
        let decoded = tokenizer.decode(&ids)?;
        for (field, found) in [("ids", Json::from(ids.clone())), ("decoded", decoded.into())] {
            if item[field] != found {
                return Err(format!("{field} of {text:?}: expected {}, found {found}", item[field]).into());
            }
        }
        let tokens = item["tokens"].as_array().ok_or("an item has no tokens")?;
        if tokens.len() != ids.len() {
            return Err(format!("{} tokens of {text:?}, and {} ids", tokens.len(), ids.len()).into());
        }
        for (&id, token) in ids.iter().zip(tokens) {
            let found = tokenizer.token(id).ok_or("an id without a token")?;
            // Of special tokens, such as that for the unknown, files have the text that became them.
            if *token != found && tokenizer.special_ids().all(|special| special != id) {
                return Err(format!("token {id}: expected {token}, found {found:?}").into());
            }
        }
    }
    let mut report = Report::default();
    let is_there = |name: &&&str| fields.contains_key(**name) || items[0].get(**name).is_some();
    report.not_compared(OTHERS.iter().chain(&["pair"]).filter(is_there).map(|&name| name.to_owned()));
    Ok(report)
}

/// Refuses fields that this test does not know.
fn refuse_others<'a>(mut fields: impl Iterator<Item = &'a String>, known: &[&[&str]]) -> Result<()> {
    match fields.find(|field| !known.iter().any(|list| list.contains(&field.as_str()))) {
        Some(field) => Err(format!("this test does not read `{field}`").into()),
        None => Ok(()),
    }
}
