//! Tokenizers as users have them against the ids of other implementations.

use std::path::{Path, PathBuf};

use foveate::tokenize::{Table, Tokenizer};
use serde_json::Value as Json;

use crate::report::Report;
use crate::{Found, Result, older};

/// Fields of an item that are compared.
const COMPARED: &[&str] =
    &["text", "ids", "tokens", "decoded", "decoded_plain", "ids_plain", "offsets", "type_ids"];

/// The ids of the implementation that reads older files, where they differ.
const OTHERS: &[&str] = &["slow_ids"];

/// Fields beside the items: what made the file, in words and numbers, and a pair of texts.
const BESIDE: &[&str] =
    &["items", "kind", "merges", "note", "pair", "sha256", "source", "tokenizers", "transformers", "vocab"];

/// A folder without a vocabulary of its own, and where `tests/fetch-gpt2-vocabulary.sh` puts that.
const FETCHED: (&str, &str) = ("gpt2-real", "target/checkpoints/gpt2-vocabulary");

/// Folders without a file that names their class, and that class.
const CLASSES: &[(&str, &str)] = &[("ctrl", "CTRLTokenizer"), ("transfo-xl", "TransfoXLTokenizer")];

/// The test of a folder with a vocabulary, or of tables (`tapex.json`) under that of `bpe-roberta` beside it.
pub(crate) fn find(path: &Path) -> Result<Found> {
    let path = path.to_owned();
    if path.extension().is_some_and(|extension| extension == "json") {
        return Ok(Found::test(move || check_tables(&path)));
    }
    let vocabulary = match path.file_name() {
        Some(name) if name == FETCHED.0 => Path::new(env!("CARGO_MANIFEST_DIR")).join(FETCHED.1),
        _ => path.clone(),
    };
    if !path.join("expected.json").is_file() || !Tokenizer::is_in(&vocabulary) {
        return Ok(Found::Missing);
    }
    Ok(Found::test(move || check(&path, &vocabulary)))
}

/// The folder as users have it: with a class, which some lack here.
fn open(folder: &Path) -> Result<Tokenizer> {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((_, class)) = CLASSES.iter().find(|(known, _)| *known == name) else {
        return Ok(Tokenizer::open(folder)?);
    };
    let copy = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("tokenizers-{name}"));
    std::fs::create_dir_all(&copy)?;
    for file in std::fs::read_dir(folder)? {
        let file = file?;
        std::fs::write(copy.join(file.file_name()), std::fs::read(file.path())?)?;
    }
    std::fs::write(copy.join("tokenizer_config.json"), format!(r#"{{"tokenizer_class": "{class}"}}"#))?;
    Ok(Tokenizer::open(&copy)?)
}

fn check(folder: &Path, vocabulary: &Path) -> Result<Report> {
    let tokenizer = open(vocabulary)?;
    let expected: Json = serde_json::from_slice(&std::fs::read(folder.join("expected.json"))?)?;
    let fields = expected.as_object().ok_or("expected.json is not an object")?;
    refuse_others(fields.keys(), &[BESIDE])?;
    if let Some(vocab) = expected["vocab"].as_u64()
        && vocab != tokenizer.vocab_size() as u64
    {
        return Err(format!("expected {vocab} tokens, found {}", tokenizer.vocab_size()).into());
    }
    let items = expected["items"].as_array().filter(|items| !items.is_empty()).ok_or("no items")?;
    for item in items {
        refuse_others(item.as_object().ok_or("an item is not an object")?.keys(), &[COMPARED, OTHERS])?;
        check_item(&tokenizer, item, expected["kind"].as_str().unwrap_or_default())?;
    }
    if let (Some(a), Some(b)) = (expected["pair"]["a"].as_str(), expected["pair"]["b"].as_str()) {
        let found = tokenizer.encode_texts(&[a, b], usize::MAX)?;
        same("ids of the pair", &expected["pair"]["ids"], found.ids)?;
        same("type_ids of the pair", &expected["pair"]["type_ids"], found.types)?;
    }
    if let Some(older) = older::write(folder)? {
        check_older(&Tokenizer::open(&older)?, &expected).map_err(|error| format!("older files: {error}"))?;
    }
    Ok(Report::default())
}

/// The same vocabulary in its older form: the ids are those of the slow tokenizer, where they differ.
fn check_older(tokenizer: &Tokenizer, expected: &Json) -> Result<()> {
    if let Some(vocab) = expected["vocab"].as_u64() {
        same("tokens", &vocab.into(), tokenizer.vocab_size())?;
    }
    for item in expected["items"].as_array().into_iter().flatten() {
        let text = item["text"].as_str().ok_or("an item has no text")?;
        if item["slow_ids"].is_null() {
            check_item(tokenizer, item, "")?;
        } else {
            same(&format!("ids of {text:?}"), &item["slow_ids"], tokenizer.encode(text)?)?;
        }
    }
    let pair = &expected["pair"];
    if let (Some(a), Some(b)) = (pair["a"].as_str(), pair["b"].as_str()) {
        let found = tokenizer.encode_texts(&[a, b], usize::MAX)?;
        same("ids of the pair", &pair["ids"], found.ids)?;
        same("type_ids of the pair", &pair["type_ids"], found.types)?;
    }
    Ok(())
}

fn check_item(tokenizer: &Tokenizer, item: &Json, kind: &str) -> Result<()> {
    let text = item["text"].as_str().ok_or("an item has no text")?;
    let ids = tokenizer.encode(text)?;
    same(&format!("ids of {text:?}"), &item["ids"], ids.clone())?;
    let encoding = tokenizer.encode_texts(&[text], usize::MAX)?;
    same(&format!("ids of {text:?} with places"), &item["ids"], encoding.ids.clone())?;
    if item.get("type_ids").is_some() {
        same(&format!("types of {text:?}"), &item["type_ids"], encoding.types.clone())?;
    }
    if item.get("ids_plain").is_some() {
        let own: Vec<u32> = encoding.places(0).map(|place| encoding.ids[place]).collect();
        same(&format!("ids of {text:?} alone"), &item["ids_plain"], own)?;
    }
    if item.get("offsets").is_some() {
        // Of special tokens around the text the files have [0, 0], as these ranges are.
        let characters = |byte: usize| text.get(..byte).map(|before| before.chars().count());
        let found: Option<Vec<[usize; 2]>> = encoding
            .offsets
            .iter()
            .map(|range| Some([characters(range.start)?, characters(range.end)?]))
            .collect();
        let found = found.ok_or_else(|| format!("offsets of {text:?} cut a character"))?;
        same(&format!("offsets of {text:?}"), &item["offsets"], found)?;
    }
    // Slow tokenizers of transformers write special tokens out where nothing else is asked for.
    let is_slow = kind.starts_with("CTRL");
    let decoded = if is_slow { tokenizer.decode_all(&ids)? } else { tokenizer.decode(&ids)? };
    if item.get("decoded").is_some() {
        same(&format!("decoded of {text:?}"), &item["decoded"], decoded)?;
    }
    if item.get("decoded_plain").is_some() {
        let own: Vec<u32> = encoding.places(0).map(|place| encoding.ids[place]).collect();
        same(&format!("decoded_plain of {text:?}"), &item["decoded_plain"], tokenizer.decode_all(&own)?)?;
    }
    let Some(tokens) = item["tokens"].as_array() else { return Ok(()) };
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
    Ok(())
}

fn check_tables(path: &Path) -> Result<Report> {
    let folder = path.with_file_name("bpe-roberta");
    let tokenizer = Tokenizer::open(&folder)?;
    let expected: Json = serde_json::from_slice(&std::fs::read(path)?)?;
    for item in expected["items"].as_array().filter(|items| !items.is_empty()).ok_or("no items")? {
        let texts = |value: &Json| -> Vec<String> {
            value
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|cell| cell.as_str().map(str::to_owned))
                .collect()
        };
        let rows = item["table"]["rows"].as_array().ok_or("no rows")?;
        let table = Table { header: texts(&item["table"]["header"]), rows: rows.iter().map(texts).collect() };
        same("flat", &item["flat"], table.to_string())?;
        let Some(query) = item["query"].as_str().filter(|_| item.get("ids").is_some()) else { continue };
        let ids = tokenizer.encode_table(query, &table, usize::MAX)?;
        same(&format!("ids of {query:?}"), &item["ids"], ids.clone())?;
        same(&format!("decoded of {query:?}"), &item["decoded"], tokenizer.decode_all(&ids)?)?;
    }
    Ok(Report::default())
}

fn same(what: &str, expected: &Json, found: impl Into<Json> + Clone) -> Result<()> {
    let found = found.into();
    if *expected == found {
        Ok(())
    } else {
        Err(format!("{what}: expected {expected}, found {found}").into())
    }
}

/// Refuses fields that this test does not know.
fn refuse_others<'a>(mut fields: impl Iterator<Item = &'a String>, known: &[&[&str]]) -> Result<()> {
    match fields.find(|field| !known.iter().any(|list| list.contains(&field.as_str()))) {
        Some(field) => Err(format!("this test does not read `{field}`").into()),
        None => Ok(()),
    }
}
