//! Which tokens are special, by name.

use std::collections::BTreeSet;

use super::settings::{Settings, missing};
use crate::Result;

/// The field of each role (some models call the same role otherwise), and the conventional names.
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
    /// Looks every role up in a vocabulary called `source`. A name that a file gives must be there; a conventional one
    /// may be absent, and then the model has no such token.
    pub(super) fn find(settings: &Settings, source: &str, id: impl Fn(&str) -> Option<u32>) -> Result<Self> {
        Self::look_up(settings, Some(source), id)
    }

    /// [`Special::find`] in a vocabulary that tokens are added to, where it lacks some.
    pub(super) fn known(settings: &Settings, id: impl Fn(&str) -> Option<u32>) -> Result<Self> {
        Self::look_up(settings, None, id)
    }

    fn look_up(settings: &Settings, source: Option<&str>, id: impl Fn(&str) -> Option<u32>) -> Result<Self> {
        let role = |(fields, conventional): (&[&'static str], [&str; 2])| -> Result<Option<u32>> {
            for field in fields {
                if let Some(token) = settings.token(field)? {
                    match (id(&token.content), source) {
                        (Some(id), _) => return Ok(Some(id)),
                        (None, Some(source)) => {
                            return Err(missing(source, field, &settings.source(field), &token.content));
                        }
                        (None, None) => {}
                    }
                }
            }
            Ok(conventional.iter().find_map(|token| id(token)))
        };
        let mut special = Self {
            opening: role(OPENING)?,
            closing: role(CLOSING)?,
            pad: role(PAD)?,
            unknown: role(UNKNOWN)?,
            mask: role(MASK)?,
            ids: BTreeSet::new(),
        };
        let Self { opening, closing, pad, unknown, mask, .. } = special;
        special.ids = [opening, closing, pad, unknown, mask].into_iter().flatten().collect();
        for token in settings.added().iter().filter(|token| token.is_special()) {
            special.ids.extend(id(&token.content));
        }
        Ok(special)
    }

    pub(super) fn and(mut self, ids: impl IntoIterator<Item = u32>) -> Self {
        self.ids.extend(ids);
        self
    }
}
