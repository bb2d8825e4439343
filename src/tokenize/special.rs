//! Which tokens are special, by name.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Fields, quote};
use crate::{Error, ErrorKind, Result};

/// The field of `special_tokens_map.json` for each role (some models call the same role otherwise), and the conventional names.
const OPENING: (&[&str], [&str; 2]) = (&["cls_token", "bos_token"], ["[CLS]", "<s>"]);
const CLOSING: (&[&str], [&str; 2]) = (&["sep_token", "eos_token"], ["[SEP]", "</s>"]);
const PAD: (&[&str], [&str; 2]) = (&["pad_token"], ["[PAD]", "<pad>"]);
const UNKNOWN: (&[&str], [&str; 2]) = (&["unk_token"], ["[UNK]", "<unk>"]);
const MASK: (&[&str], [&str; 2]) = (&["mask_token"], ["[MASK]", "<mask>"]);

/// The special tokens of a vocabulary.
#[derive(Clone, Debug, Default)]
pub(super) struct Special {
    pub(super) opening: Option<u32>,
    pub(super) closing: Option<u32>,
    pub(super) pad: Option<u32>,
    pub(super) unknown: Option<u32>,
    pub(super) mask: Option<u32>,
    /// All of them, and those that a file marks as special otherwise.
    pub(super) ids: BTreeSet<u32>,
}

impl Special {
    pub(super) fn and(mut self, ids: impl IntoIterator<Item = u32>) -> Self {
        self.ids.extend(ids);
        self
    }
}

/// The names in `special_tokens_map.json`, where there is one.
#[derive(Debug, Default)]
pub(super) struct Names {
    fields: Option<Fields>,
}

impl Names {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("special_tokens_map.json");
        Ok(Self { fields: if path.exists() { Some(Fields::open(&path)?) } else { None } })
    }

    /// Looks every role up in a vocabulary called `source`. A name that the file gives must be there; a conventional one
    /// may be absent, and then the model has no such token.
    pub(super) fn find(&self, source: &str, id: impl Fn(&str) -> Option<u32>) -> Result<Special> {
        let role = |(fields, conventional): (&[&'static str], [&str; 2])| -> Result<Option<u32>> {
            let Some((field, token)) = self.named(fields)? else {
                return Ok(conventional.iter().find_map(|token| id(token)));
            };
            id(&token).map(Some).ok_or_else(|| {
                Error::new(ErrorKind::Config, source.to_owned(), field)
                    .expecting(format!("the token `{}` of special_tokens_map.json", quote::name(&token)))
                    .but_found("no such token")
            })
        };
        let special = Special {
            opening: role(OPENING)?,
            closing: role(CLOSING)?,
            pad: role(PAD)?,
            unknown: role(UNKNOWN)?,
            mask: role(MASK)?,
            ids: BTreeSet::new(),
        };
        let Special { opening, closing, pad, unknown, mask, .. } = special;
        let ids = [opening, closing, pad, unknown, mask].into_iter().flatten();
        Ok(special.and(ids))
    }

    /// The first of `fields` that the file has, and the token it names: a string, or an object with `content`.
    fn named(&self, fields: &[&'static str]) -> Result<Option<(&'static str, String)>> {
        let Some(map) = &self.fields else { return Ok(None) };
        let Some(&field) = fields.iter().find(|field| map.has(field)) else { return Ok(None) };
        let token = if map.get(field).is_some_and(serde_json::Value::is_object) {
            map.object(field)?.text("content")?.to_owned()
        } else {
            map.text(field)?.to_owned()
        };
        Ok(Some((field, token)))
    }
}
