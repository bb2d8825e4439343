//! A `tokenizer.json` in the making: what builders of vocabularies share, and tokens beside a vocabulary.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use super::accept::MOST_TOKENS;
use super::classes::Class;
use super::quote;
use super::settings::{Added, ROLES, Settings};
use crate::{Error, ErrorKind, Result};

/// A special token and its id.
pub(super) type Token = (String, u32);

/// The post-processor of a pair of `templates` ([`Class::templates`]) whose special tokens are found by `token`; those that are not there are
/// left out.
pub(super) fn template(templates: [&str; 2], token: impl Fn(&str) -> Option<Token>) -> Value {
    let mut special = Map::new();
    let mut side = |template: &str| -> Vec<Value> {
        let parts = template.split(' ').map(|part| part.split_once(':').unwrap_or((part, "0")));
        let piece = |(name, kind): (&str, &str)| {
            let kind: u32 = kind.parse().unwrap_or(0);
            if let "A" | "B" = name {
                return Some(json!({"Sequence": {"id": name, "type_id": kind}}));
            }
            let (text, id) = token(name)?;
            special.insert(text.clone(), json!({"id": text, "ids": [id], "tokens": [text]}));
            Some(json!({"SpecialToken": {"id": text, "type_id": kind}}))
        };
        parts.filter_map(piece).collect()
    };
    let [single, pair] = templates.map(&mut side);
    json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special})
}

/// The special token of a role, which templates call without `_token`: as a file or else the class names it.
pub(super) fn role(settings: &Settings, class: &Class, role: &str) -> Result<Option<Added>> {
    let Some(field) = ROLES.iter().find(|field| field.strip_suffix("_token") == Some(role)) else {
        return Ok(None);
    };
    let token = match settings.token(field)? {
        Some(token) if token.has_flags => return Ok(Some(token)),
        Some(token) => Some(token),
        None => class.token(field).map(Added::special),
    };
    let takes_blank = role == "mask" && class.mask_takes_blank;
    Ok(token.map(|token| if takes_blank { token.with_blank_before() } else { token }))
}

/// The special tokens of a class that a vocabulary without `tokenizer.json` has, in the order of [`ROLES`].
pub(super) fn roles(settings: &Settings, class: &Class) -> Result<Vec<Added>> {
    let names = ROLES.iter().filter_map(|field| field.strip_suffix("_token"));
    let tokens = names.map(|name| role(settings, class, name)).collect::<Result<Vec<_>>>()?;
    Ok(tokens.into_iter().flatten().collect())
}

/// Special tokens that files name, without those that a class has.
pub(super) fn named(settings: &Settings) -> Result<Vec<Added>> {
    let tokens = ROLES.iter().map(|field| settings.token(field)).collect::<Result<Vec<_>>>()?;
    Ok(tokens.into_iter().flatten().collect())
}

/// Puts `tokens` into the `added_tokens` of a `document`: into those of the vocabulary and those it has already by their names, others with
/// the ids that files say, or else the next ones.
///
/// Fails when a file says another id than a token has, and when the ids of those that are new leave a gap behind a list of tokens.
pub(super) fn add_tokens(source: &str, document: &mut Value, tokens: &[Added]) -> Result<()> {
    if tokens.is_empty() {
        return Ok(());
    }
    let vocabulary = Ids::of(document);
    let mut entries: BTreeMap<u32, Value> = BTreeMap::new();
    let mut ids: HashMap<String, u32> = HashMap::new();
    for entry in document["added_tokens"].as_array().into_iter().flatten() {
        if let (Some(content), Some(id)) = (entry["content"].as_str(), id_of(&entry["id"])) {
            ids.insert(content.to_owned(), id);
            entries.insert(id, entry.clone());
        }
    }
    let mut next = vocabulary.next.max(entries.keys().next_back().map_or(0, |id| id + 1));
    for token in tokens {
        let known = ids.get(&token.content).or_else(|| vocabulary.ids.get(&token.content)).copied();
        if let (Some(known), Some(said)) = (known, token.id)
            && known != said
        {
            return Err(refused(source, token).expecting(format!("id {known}")).but_found(said));
        }
        let id = known.or(token.id).unwrap_or(next);
        if u64::from(id) >= MOST_TOKENS {
            return Err(refused(source, token).expecting(format!("an id below {MOST_TOKENS}")).but_found(id));
        }
        if known.is_none() && (entries.contains_key(&id) || vocabulary.has_id(id)) {
            return Err(refused(source, token).expecting("an id that no other token has").but_found(id));
        }
        next = next.max(id + 1);
        let is_listed = ids.contains_key(&token.content);
        if !is_listed || token.has_flags {
            entries.insert(id, token.to_json(id));
        }
        ids.insert(token.content.clone(), id);
    }
    vocabulary.close_gaps(source, document, &entries)?;
    document["added_tokens"] = entries.into_values().collect();
    Ok(())
}

fn refused(source: &str, token: &Added) -> Error {
    Error::new(
        ErrorKind::Config,
        source.to_owned(),
        format!("the added token `{}`", quote::name(&token.content)),
    )
}

fn id_of(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

/// The tokens of a document's model.
struct Ids {
    ids: HashMap<String, u32>,
    /// One more than the largest.
    next: u32,
}

impl Ids {
    /// Of an object of tokens and ids, or a list of tokens and scores; of anything else, which is refused later, none.
    fn of(document: &Value) -> Self {
        let ids: HashMap<String, u32> = match &document["model"]["vocab"] {
            Value::Object(tokens) => {
                tokens.iter().filter_map(|(token, id)| Some((token.clone(), id_of(id)?))).collect()
            }
            Value::Array(tokens) => {
                let texts = (0_u32..).zip(tokens);
                texts.filter_map(|(id, entry)| Some((entry[0].as_str()?.to_owned(), id))).collect()
            }
            _ => HashMap::new(),
        };
        let next = ids.values().max().map_or(0, |id| id.saturating_add(1));
        Self { ids, next }
    }

    fn has_id(&self, id: u32) -> bool {
        id < self.next && self.ids.values().any(|known| *known == id)
    }

    /// The tokenizers crate numbers tokens that its model lacks on from the number of those that it has. Where that gives other ids than these,
    /// the tokens go into the model, too.
    fn close_gaps(&self, source: &str, document: &mut Value, entries: &BTreeMap<u32, Value>) -> Result<()> {
        let content = |entry: &Value| entry["content"].as_str().unwrap_or_default().to_owned();
        let fresh = entries.iter().map(|(&id, entry)| (id, content(entry)));
        let fresh: Vec<(u32, String)> =
            fresh.filter(|(_, token)| !token.is_empty() && !self.ids.contains_key(token)).collect();
        let count = match &document["model"]["vocab"] {
            Value::Array(tokens) => tokens.len(),
            _ => self.ids.len(),
        };
        if (count..).zip(&fresh).all(|(expected, (id, _))| expected == *id as usize) {
            return Ok(());
        }
        let Value::Object(vocabulary) = &mut document["model"]["vocab"] else {
            let (id, token) = &fresh[0];
            let token = Added::special(token);
            return Err(refused(source, &token)
                .expecting(format!("ids from {count} on without a gap"))
                .but_found(id));
        };
        vocabulary.extend(fresh.into_iter().map(|(id, token)| (token, id.into())));
        Ok(())
    }
}
