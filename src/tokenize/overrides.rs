//! What the other files of a folder change in its `tokenizer.json`, as the classes of Hugging Face's library change it when they read both.
//!
//! Rules: <https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/tokenization_utils_fast.py> and the
//! `tokenization_*_fast.py` files.

use serde_json::{Value, json};

use super::classes::Kind;
use super::document::{add_tokens, named};
use super::settings::Settings;
use crate::Result;

/// Completes what files of older versions leave out: the type of the model, and tokens with a name that is empty, which no text has.
pub(super) fn complete(document: &mut Value) {
    if let Some(Value::Array(tokens)) = document.get_mut("added_tokens") {
        tokens.retain(|token| token["content"] != "");
    }
    let Some(Value::Object(model)) = document.get_mut("model") else { return };
    if model.get("type").is_some_and(|kind| !kind.is_null()) {
        return;
    }
    // In the order in which the tokenizers crate tries them.
    let kind = if model.contains_key("merges") {
        "BPE"
    } else if model.get("vocab").is_some_and(Value::is_array) {
        "Unigram"
    } else if model.contains_key("continuing_subword_prefix") {
        "WordPiece"
    } else {
        "WordLevel"
    };
    model.insert("type".into(), kind.into());
}

/// Applies the settings to a `document` from the file called `source`.
///
/// Fails where a setting contradicts the document, and the library's versions differ in which of the two they take.
pub(super) fn apply(source: &str, document: &mut Value, settings: &Settings) -> Result<()> {
    normalize(document, settings)?;
    prefix(document, settings)?;
    let tokens = [named(settings)?, settings.added().to_vec()].concat();
    add_tokens(source, document, &tokens)
}

/// BERT's settings of letters; for other classes they must be those of the document.
fn normalize(document: &mut Value, settings: &Settings) -> Result<()> {
    let kind = settings.class().map(|class| class.kind);
    let normalizer = &mut document["normalizer"];
    if normalizer["type"] == "BertNormalizer" && matches!(kind, None | Some(Kind::WordPiece)) {
        for (field, part) in [
            ("do_lower_case", "lowercase"),
            ("strip_accents", "strip_accents"),
            ("tokenize_chinese_chars", "handle_chinese_chars"),
        ] {
            if let Some(flag) = settings.flag(field)? {
                normalizer[part] = flag.into();
            }
        }
    } else if let Some(flag) = settings.flag("do_lower_case")?
        && kind != Some(Kind::Whole)
        && flag != lower_cases(normalizer)
    {
        return Err(settings.refuse("do_lower_case", format!("{}, as tokenizer.json has it", !flag)));
    }
    Ok(())
}

/// Whether a normaliser, or one in a sequence, makes small letters.
fn lower_cases(normalizer: &Value) -> bool {
    match normalizer["type"].as_str() {
        Some("Lowercase") => true,
        Some("BertNormalizer") => normalizer["lowercase"] == true,
        Some("Sequence") => normalizer["normalizers"].as_array().into_iter().flatten().any(lower_cases),
        _ => false,
    }
}

/// Makes small letters first, unless the document does.
pub(super) fn lower_case(document: &mut Value) {
    let normalizer = document["normalizer"].take();
    document["normalizer"] = if lower_cases(&normalizer) {
        normalizer
    } else {
        let mut parts = vec![json!({"type": "Lowercase"})];
        match normalizer {
            Value::Null => {}
            Value::Object(mut sequence) if sequence.get("type") == Some(&"Sequence".into()) => {
                let own = sequence.remove("normalizers").unwrap_or_default();
                parts.extend(own.as_array().into_iter().flatten().cloned());
            }
            other => parts.push(other),
        }
        json!({"type": "Sequence", "normalizers": parts})
    };
}

/// Whether a blank is put before a text, and whether offsets leave out the blanks before words.
fn prefix(document: &mut Value, settings: &Settings) -> Result<()> {
    if let Some(flag) = settings.flag("add_prefix_space")? {
        let part = &mut document["pre_tokenizer"];
        if part.get("add_prefix_space").is_some() && part["type"] == "ByteLevel" {
            part["add_prefix_space"] = flag.into();
            if document["post_processor"].get("add_prefix_space").is_some() {
                document["post_processor"]["add_prefix_space"] = flag.into();
            }
        } else if part["type"] == "Metaspace" && flag == (part["prepend_scheme"] == "never") {
            return Err(settings.refuse("add_prefix_space", format!("{}, as tokenizer.json has it", !flag)));
        }
    }
    if let Some(flag) = settings.flag("trim_offsets")?
        && document["post_processor"]["type"] == "RobertaProcessing"
    {
        document["post_processor"]["trim_offsets"] = flag.into();
    }
    Ok(())
}
