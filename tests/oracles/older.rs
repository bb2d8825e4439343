//! Vocabularies as they were before `tokenizer.json`, made of one: `vocab.txt`, `vocab.json` with `merges.txt`, and SentencePiece models. Written
//! here by hand, so that their readers are tested against the formats and not against themselves.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::Result;

/// Folders whose vocabulary another class reads without its `tokenizer.json`, with that class and settings beside it.
const FOLDERS: &[(&str, &str)] = &[
    ("bpe-gpt2", r#"{"tokenizer_class": "GPT2Tokenizer"}"#),
    (
        "bpe-roberta",
        r#"{"tokenizer_class": "RobertaTokenizerFast", "mask_token": {"content": "<mask>", "lstrip": false}}"#,
    ),
    ("wordpiece-bert", r#"{"do_lower_case": true}"#),
    ("spm-t5", r#"{"tokenizer_class": "T5Tokenizer", "extra_ids": 3}"#),
    ("spm-albert", r#"{"tokenizer_class": "AlbertTokenizer"}"#),
    ("spm-xlnet", r#"{"tokenizer_class": "XLNetTokenizer"}"#),
    ("spm-deberta-v3", r#"{"tokenizer_class": "DebertaV2Tokenizer"}"#),
];

/// A folder with the vocabulary of `folder` in its older form; nothing where it has none.
pub(crate) fn write(folder: &Path) -> Result<Option<PathBuf>> {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((_, config)) = FOLDERS.iter().find(|(known, _)| *known == name) else { return Ok(None) };
    let document: Json = serde_json::from_slice(&std::fs::read(folder.join("tokenizer.json"))?)?;
    let older = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("older-{name}"));
    std::fs::create_dir_all(&older)?;
    std::fs::write(older.join("tokenizer_config.json"), config)?;
    let model = &document["model"];
    match model["type"].as_str().unwrap_or_default() {
        "WordPiece" => std::fs::write(older.join("vocab.txt"), lines(&model["vocab"])?)?,
        "BPE" => {
            std::fs::write(older.join("vocab.json"), serde_json::to_vec(&model["vocab"])?)?;
            let merges = model["merges"].as_array().ok_or("no merges")?.iter();
            let merges: Vec<&str> = merges.filter_map(Json::as_str).collect();
            std::fs::write(older.join("merges.txt"), format!("#version: 0.2\n{}\n", merges.join("\n")))?;
        }
        _ => std::fs::write(older.join("spiece.model"), sentence_piece(&document)?)?,
    }
    Ok(Some(older))
}

/// Tokens, one a line, in the order of their ids.
fn lines(vocabulary: &Json) -> Result<String> {
    let mut tokens: Vec<(&str, u64)> = Vec::new();
    for (token, id) in vocabulary.as_object().ok_or("no vocabulary")? {
        tokens.push((token, id.as_u64().ok_or("no id")?));
    }
    tokens.sort_by_key(|(_, id)| *id);
    Ok(tokens.iter().map(|(token, _)| format!("{token}\n")).collect())
}

/// The model that a Unigram document was converted from. Tokens that the conversion added at the end are left out.
fn sentence_piece(document: &Json) -> Result<Vec<u8>> {
    let model = &document["model"];
    let unknown = model["unk_id"].as_u64().ok_or("no unk_id")?;
    let entries = model["vocab"].as_array().ok_or("no vocabulary")?;
    let special: Vec<&Json> =
        document["added_tokens"].as_array().into_iter().flatten().map(|token| &token["content"]).collect();
    let mut bytes = Vec::new();
    for (id, entry) in (0_u64..).zip(entries) {
        let (text, score) = (entry[0].as_str().ok_or("no token")?, entry[1].as_f64().ok_or("no score")?);
        if text.starts_with("<extra_id_") {
            continue;
        }
        // ALBERT's and XLNet's conversions take 100 off numbers before a comma.
        let is_number = text.strip_suffix(',').is_some_and(|stem| stem.ends_with(char::is_numeric));
        let score = if is_number && score < -100.0 { score + 100.0 } else { score };
        let kind = match id {
            id if id == unknown => 2,
            _ if special.contains(&&json!(text)) => 3,
            _ => 1,
        };
        let mut piece = field(1, text.as_bytes());
        piece.push(2 << 3 | 5);
        piece.extend((score as f32).to_le_bytes());
        piece.extend(number(3, kind));
        bytes.extend(field(1, &piece));
    }
    bytes.extend(field(2, &[number(3, 1), number(40, unknown)].concat()));
    let parts = document["normalizer"]["normalizers"].as_array().ok_or("no normalizers")?;
    let map = parts.iter().find_map(|part| part["precompiled_charsmap"].as_str()).ok_or("no map")?;
    bytes.extend(field(3, &field(2, &from_base64(map))));
    Ok(bytes)
}

/// A protocol buffer's field of bytes.
fn field(tag: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(tag << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

fn number(tag: u64, value: u64) -> Vec<u8> {
    [varint(tag << 3), varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn from_base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        bits = bits << 6 | u32::from(digit(byte));
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
