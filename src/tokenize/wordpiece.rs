//! BERT's tokenizer over a `vocab.txt` (Devlin et al. 2018, `BasicTokenizer` and `WordpieceTokenizer`), and that of its relatives.

use serde_json::{Map, Value, json};

use super::classes::{Class, Kind};
use super::document::{add_tokens, named, role, roles, template};
use super::settings::{Added, Settings};
use super::special::Special;
use super::vocabulary::Vocabulary;
use crate::Result;

/// The class of a folder that names none.
const USUAL: &str = "Bert";

/// As a `tokenizer.json` for the file called `source`.
pub(super) fn document(
    source: &str,
    vocabulary: &Vocabulary,
    special: &Special,
    settings: &Settings,
) -> Result<Value> {
    settings.refuse_unless("never_split", &json!([]), "none: tokens that stay whole are special ones")?;
    let stated = settings.class().filter(|class| class.kind == Kind::WordPiece);
    let class = match stated.or_else(|| Class::named(USUAL)) {
        Some(class) => class,
        None => return Err(settings.refuse("tokenizer_class", USUAL)),
    };
    let id = |token: &str| vocabulary.id(token);
    let token = |name: &str| {
        // Old files name the same roles otherwise.
        let other = if name == "cls" { special.opening } else { special.closing };
        let own = role(settings, class, name).ok().flatten().map(|token| token.content);
        let known = own.and_then(|token| id(&token).map(|id| (token, id)));
        known.or_else(|| Some((vocabulary.token(other?)?.to_owned(), other?)))
    };
    let ids: Map<String, Value> =
        (0_u32..).zip(vocabulary.tokens()).map(|(id, token)| (token.clone(), id.into())).collect();
    let (normalizer, pre_tokenizer) = basic(settings)?;
    let unknown = special.unknown.and_then(|id| vocabulary.token(id)).unwrap_or("[UNK]");
    let prefix = settings.text("wordpieces_prefix")?.unwrap_or("##");
    let mut document = json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": template(class.templates, token),
        "decoder": {"type": "WordPiece", "prefix": prefix, "cleanup": true},
        "model": {
            "type": "WordPiece",
            "unk_token": unknown,
            "continuing_subword_prefix": prefix,
            "max_input_chars_per_word": 100,
            "vocab": ids,
        },
    });
    let mut tokens: Vec<Added> =
        roles(settings, class)?.into_iter().filter(|token| id(&token.content).is_some()).collect();
    for token in special.ids.iter().filter_map(|&id| vocabulary.token(id)) {
        if tokens.iter().all(|known| known.content != token) {
            tokens.push(Added::special(token));
        }
    }
    tokens.extend(named(settings)?);
    tokens.extend(settings.added().iter().cloned());
    add_tokens(source, &mut document, &tokens)?;
    Ok(document)
}

/// What happens to a text before its words are cut into pieces: nothing but the split at blanks where `do_basic_tokenize` is false.
fn basic(settings: &Settings) -> Result<(Value, Value)> {
    if settings.flag("do_basic_tokenize")? == Some(false) {
        return Ok((Value::Null, json!({"type": "WhitespaceSplit"})));
    }
    let normalizer = json!({
        "type": "BertNormalizer",
        "clean_text": true,
        "handle_chinese_chars": settings.flag("tokenize_chinese_chars")?.unwrap_or(true),
        "strip_accents": settings.flag("strip_accents")?,
        "lowercase": settings.flag("do_lower_case")?.unwrap_or(true),
    });
    Ok((normalizer, json!({"type": "BertPreTokenizer"})))
}
