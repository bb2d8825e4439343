//! Tokenizers of SentencePiece models (Kudo and Richardson, arXiv 1808.06226): unigram language models and merges, as each class has them.
//!
//! Conversions: <https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/convert_slow_tokenizer.py>, `SpmConverter`.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::classes::{Class, Flavour};
use super::document::{add_tokens, named, role, roles, template};
use super::proto::{Algorithm, Model, PieceKind};
use super::settings::{Added, Settings};
use super::{charsmap, quote};
use crate::{Error, ErrorKind, Result};

/// Where blanks are among pieces.
const BLANK: &str = "\u{2581}";

/// T5's tokens for spans that were left out, where no file says how many.
const SPANS: usize = 100;
const MOST_SPANS: usize = 10_000;

/// What is added to the score of a piece of digits and a comma, so that numbers are cut before it (ALBERT, XLNet).
const COMMA_BEHIND_DIGIT: f64 = -100.0;

/// As a `tokenizer.json` for the model in `bytes`, the file called `source`.
pub(super) fn document(
    source: &str,
    bytes: &[u8],
    class: &Class,
    flavour: Flavour,
    settings: &Settings,
) -> Result<Value> {
    refuse_variations(settings, flavour)?;
    let model = Model::parse(source, bytes)?;
    check(source, &model)?;
    let (entries, unknown) = entries(&model, flavour, settings)?;
    let mut ids: HashMap<&str, u32> = HashMap::new();
    for (id, (text, _)) in (0_u32..).zip(&entries) {
        ids.entry(text).or_insert(id);
    }
    let token = |name: &str| {
        let token = role(settings, class, name).ok().flatten()?.content;
        let id = ids.get(token.as_str()).copied();
        id.map(|id| (token, id))
    };
    let post_processor = template(class.templates, token);
    let mut tokens = Vec::new();
    for piece in &model.pieces {
        if let (PieceKind::Control, true) = (piece.kind, ids.contains_key(piece.text.as_str())) {
            tokens.push(Added::special(&piece.text));
        } else if piece.kind == PieceKind::UserDefined {
            tokens.push(Added::user_defined(&piece.text));
        }
    }
    tokens.extend(roles(settings, class)?);
    tokens.extend(named(settings)?);
    if flavour == Flavour::T5 {
        let spans = entries.iter().filter(|(text, _)| text.starts_with("<extra_id_"));
        tokens.extend(spans.map(|(text, _)| Added::special(text)));
    }
    tokens.extend(settings.added().iter().cloned());
    // Later settings of a token hold.
    let mut last: Vec<Added> = Vec::new();
    for token in tokens {
        last.retain(|known| known.content != token.content);
        last.push(token);
    }
    let metaspace = metaspace(&model, settings)?;
    let mut document = json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": normalizer(&model, flavour, settings)?,
        "pre_tokenizer": pre_tokenizer(&metaspace, flavour, settings)?,
        "post_processor": post_processor,
        "decoder": if model.has_byte_fallback {
            json!({"type": "Sequence", "decoders": [{"type": "ByteFallback"}, metaspace]})
        } else {
            metaspace
        },
        "model": match model.algorithm {
            Algorithm::Bpe => merges(source, &model, &entries, unknown)?,
            _ => json!({"type": "Unigram", "unk_id": unknown, "byte_fallback": model.has_byte_fallback, "vocab": entries}),
        },
    });
    add_tokens(source, &mut document, &last)?;
    Ok(document)
}

/// Refuses settings that would change what a model does in ways that are not known here.
fn refuse_variations(settings: &Settings, flavour: Flavour) -> Result<()> {
    settings.refuse_unless(
        "sp_model_kwargs",
        &json!({}),
        "none, as sampling gives other tokens every time",
    )?;
    if matches!(flavour, Flavour::Albert | Flavour::Xlnet) {
        settings.refuse_unless("remove_space", &json!(true), "true")?;
    }
    if flavour == Flavour::DebertaV2 {
        settings.refuse_unless("vocab_type", &json!("spm"), "`spm`")?;
    }
    Ok(())
}

fn check(source: &str, model: &Model) -> Result<()> {
    let refused = |field: &str, expected: &str, found: String| {
        Err(Error::new(ErrorKind::Config, source.to_owned(), field.to_owned())
            .expecting(expected)
            .but_found(found))
    };
    if let Algorithm::Word | Algorithm::Char = model.algorithm {
        return refused(
            "model_type",
            "a unigram model or merges (BPE)",
            format!("{:?}", model.algorithm).to_lowercase(),
        );
    }
    if model.is_suffix {
        return refused("treat_whitespace_as_suffix", "false", "true".into());
    }
    for (field, flag) in [
        ("remove_extra_whitespaces", model.removes_extra_blanks),
        ("escape_whitespaces", model.escapes_blanks),
    ] {
        if !flag {
            return refused(field, "true", "false".into());
        }
    }
    if model.unknown as usize >= model.pieces.len() {
        return refused("unk_id", "one of the pieces", model.unknown.to_string());
    }
    Ok(())
}

/// Texts and scores in the order of ids, and the id of the unknown piece.
fn entries(model: &Model, flavour: Flavour, settings: &Settings) -> Result<(Vec<(String, f64)>, u32)> {
    let own = model.pieces.iter().map(|piece| (piece.text.clone(), f64::from(piece.score)));
    Ok(match flavour {
        Flavour::T5 => {
            let spans = settings.number("extra_ids", MOST_SPANS)?.unwrap_or(SPANS);
            // A model may have them itself.
            let spans = if model.pieces.iter().any(|piece| piece.text == "<extra_id_0>") { 0 } else { spans };
            let spans = (0..spans).rev().map(|number| (format!("<extra_id_{number}>"), 0.0));
            (own.chain(spans).collect(), model.unknown)
        }
        Flavour::Albert | Flavour::Xlnet => {
            let comma = |(text, score): (String, f64)| {
                let stem = text.strip_suffix(',').and_then(|stem| stem.chars().last());
                let is_number = stem.is_some_and(char::is_numeric);
                (text, if is_number { score + COMMA_BEHIND_DIGIT } else { score })
            };
            (own.map(comma).collect(), model.unknown)
        }
        Flavour::DebertaV2 => (own.collect(), model.unknown),
        // Its ids are fairseq's, four tokens before the pieces behind the model's own three.
        Flavour::XlmRoberta => {
            let before = ["<s>", "<pad>", "</s>", "<unk>"].map(|text| (text.to_owned(), 0.0));
            (before.into_iter().chain(own.skip(3)).chain([("<mask>".to_owned(), 0.0)]).collect(), 3)
        }
    })
}

fn normalizer(model: &Model, flavour: Flavour, settings: &Settings) -> Result<Value> {
    let replace =
        |text: &str, by: &str| json!({"type": "Replace", "pattern": {"String": text}, "content": by});
    let mut parts = Vec::new();
    match flavour {
        Flavour::Albert | Flavour::Xlnet => {
            parts.extend([replace("``", "\""), replace("''", "\"")]);
            if !settings.flag("keep_accents")?.unwrap_or(false) {
                parts.extend([json!({"type": "NFKD"}), json!({"type": "StripAccents"})]);
            }
            // ALBERT's texts are in small letters where nothing else is said, XLNet's are not.
            if settings.flag("do_lower_case")?.unwrap_or(flavour == Flavour::Albert) {
                parts.push(json!({"type": "Lowercase"}));
            }
        }
        Flavour::DebertaV2 => {
            if settings.flag("do_lower_case")?.unwrap_or(false) {
                parts.push(json!({"type": "Lowercase"}));
            }
            parts.push(json!({"type": "Strip", "strip_left": true, "strip_right": true}));
        }
        Flavour::T5 | Flavour::XlmRoberta => {
            settings.refuse_unless("do_lower_case", &json!(false), "false")?
        }
    }
    if !model.charsmap.is_empty() {
        parts.push(json!({"type": "Precompiled", "precompiled_charsmap": charsmap::encode(&model.charsmap)}));
    }
    // Blanks at the end are taken off, and several are one.
    parts.push(json!({"type": "Strip", "strip_left": false, "strip_right": true}));
    parts.push(json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": BLANK}));
    Ok(json!({"type": "Sequence", "normalizers": parts}))
}

fn metaspace(model: &Model, settings: &Settings) -> Result<Value> {
    let adds = settings.flag("add_prefix_space")?.unwrap_or(model.adds_blank_before);
    let scheme = match settings.flag("legacy")? {
        _ if !adds => "never",
        Some(false) => "first",
        _ => "always",
    };
    Ok(json!({"type": "Metaspace", "replacement": BLANK, "prepend_scheme": scheme, "split": true}))
}

fn pre_tokenizer(metaspace: &Value, flavour: Flavour, settings: &Settings) -> Result<Value> {
    if flavour == Flavour::DebertaV2 && settings.flag("split_by_punct")? == Some(true) {
        let punctuation = json!({"type": "Punctuation", "behavior": "Isolated"});
        return Ok(json!({"type": "Sequence", "pretokenizers": [punctuation, metaspace]}));
    }
    Ok(metaspace.clone())
}

/// A model of merges: of every piece, those two of which it consists; better pieces first.
fn merges(source: &str, model: &Model, entries: &[(String, f64)], unknown: u32) -> Result<Value> {
    let mut ids: HashMap<&str, u32> = HashMap::new();
    for (id, (text, _)) in (0_u32..).zip(entries) {
        if ids.insert(text, id).is_some() {
            let piece = format!("piece `{}`", quote::name(text));
            return Err(Error::new(ErrorKind::Config, source.to_owned(), piece)
                .expecting("it once")
                .but_found("it twice"));
        }
    }
    let mut merges: Vec<(f64, &str, &str)> = Vec::new();
    for (text, score) in entries {
        let places = text.char_indices().skip(1).map(|(at, _)| text.split_at(at));
        let mut own: Vec<(&str, &str)> =
            places.filter(|(one, other)| ids.contains_key(one) && ids.contains_key(other)).collect();
        own.sort_by_key(|(one, other)| (ids[one], ids[other]));
        merges.extend(own.into_iter().map(|(one, other)| (*score, one, other)));
    }
    let length = |text: &str| text.chars().count();
    merges.sort_by(|a, b| {
        let lengths = (length(b.1), length(b.2)).cmp(&(length(a.1), length(a.2)));
        b.0.total_cmp(&a.0).then(lengths)
    });
    let pairs: Vec<[&str; 2]> = merges.into_iter().map(|(_, one, other)| [one, other]).collect();
    Ok(json!({
        "type": "BPE", "dropout": null, "unk_token": entries[unknown as usize].0, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": model.has_byte_fallback, "vocab": ids,
        "merges": pairs,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::proto::Piece;
    use super::*;

    #[test]
    fn classes_change_the_pieces_of_a_model() {
        let pieces = [("<unk>", PieceKind::Unknown), ("1,", PieceKind::Normal), ("a,", PieceKind::Normal)];
        let piece = |(text, kind): (&str, PieceKind)| Piece { text: text.to_owned(), score: -2.0, kind };
        let model = Model {
            pieces: pieces.map(piece).to_vec(),
            algorithm: Algorithm::Unigram,
            unknown: 0,
            has_byte_fallback: false,
            is_suffix: false,
            charsmap: Vec::new(),
            adds_blank_before: true,
            removes_extra_blanks: true,
            escapes_blanks: true,
        };
        let of = |flavour| entries(&model, flavour, &Settings::default()).unwrap().0;
        let plain = [-2.0, -2.0, -2.0];
        let scores = |flavour| of(flavour).iter().take(3).map(|(_, score)| *score).collect::<Vec<_>>();
        assert_eq!(scores(Flavour::DebertaV2), plain);
        assert_eq!(scores(Flavour::Albert), [-2.0, -102.0, -2.0], "numbers are cut before a comma");
        assert_eq!(scores(Flavour::Xlnet), [-2.0, -102.0, -2.0]);
        let spans = of(Flavour::T5);
        assert_eq!(
            (spans.len(), spans[3].0.as_str(), spans[102].0.as_str()),
            (103, "<extra_id_99>", "<extra_id_0>")
        );
    }
}
