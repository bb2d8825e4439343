//! What a folder says of its tokenizer beside the vocabulary: `tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json`.

use std::path::Path;

use serde_json::{Value, json};

use super::classes::{CLASSES, Class};
use crate::weights::{Fields, quote};
use crate::{Error, ErrorKind, Result};

/// Fields of special tokens, in the order in which Hugging Face's library adds those that a vocabulary lacks.
pub(super) const ROLES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// A token beside the vocabulary, or one of it that is found in texts before anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) content: String,
    /// Its id, where a file says.
    pub(super) id: Option<u32>,
    /// `single_word`, `lstrip`, `rstrip`, `normalized`, `special`.
    flags: [bool; 5],
    /// Whether a file has the settings beside the token, so that they hold for a token that is known already.
    pub(super) has_flags: bool,
}

const FLAGS: [&str; 5] = ["single_word", "lstrip", "rstrip", "normalized", "special"];

impl Added {
    /// A special token without settings.
    pub(super) fn special(content: &str) -> Self {
        Self {
            content: content.to_owned(),
            id: None,
            flags: [false, false, false, false, true],
            has_flags: false,
        }
    }

    /// A token that stays whole as it is written.
    pub(super) fn user_defined(content: &str) -> Self {
        Self { content: content.to_owned(), id: None, flags: [false; 5], has_flags: false }
    }

    /// One that takes the blanks before it.
    pub(super) fn with_blank_before(mut self) -> Self {
        self.flags[1] = true;
        self
    }

    pub(super) fn is_special(&self) -> bool {
        self.flags[4]
    }

    /// As `tokenizer.json` has it.
    pub(super) fn to_json(&self, id: u32) -> Value {
        let [single_word, lstrip, rstrip, normalized, special] = self.flags;
        json!({"id": id, "content": self.content, "single_word": single_word, "lstrip": lstrip, "rstrip": rstrip,
               "normalized": normalized, "special": special})
    }

    /// A string, or an object with `content` and settings; nothing for an empty one, which no text has.
    fn read(fields: &Fields, name: &str, default: [bool; 5]) -> Result<Option<Self>> {
        if !fields.get(name).is_some_and(Value::is_object) {
            let content = fields.text(name)?;
            let token = Self { content: content.to_owned(), id: None, flags: default, has_flags: false };
            return Ok((!content.is_empty()).then_some(token));
        }
        let object = fields.object(name)?;
        let content = object.text("content")?.to_owned();
        let mut flags = default;
        for (flag, name) in flags.iter_mut().zip(FLAGS) {
            *flag = object.bool_or(name, *flag)?;
        }
        Ok((!content.is_empty()).then_some(Self { content, id: None, flags, has_flags: true }))
    }
}

/// The settings of a folder.
#[derive(Debug, Default)]
pub(super) struct Settings {
    config: Option<Fields>,
    map: Option<Fields>,
    class: Option<&'static Class>,
    /// The class of the folder's family of models.
    of_model: Option<&'static Class>,
    added: Vec<Added>,
    /// Whether texts are put into small letters, whatever the tokenizer does (`do_lower_case` of sentence-transformers).
    pub(super) is_lower_case: bool,
}

impl Settings {
    /// Reads the files in `folder` that there are.
    ///
    /// Fails when one is damaged, and for an unknown `tokenizer_class`.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let optional = |name: &str| {
            let path = folder.join(name);
            path.exists().then(|| Fields::open(path)).transpose()
        };
        let mut settings = Self {
            config: optional("tokenizer_config.json")?,
            map: optional("special_tokens_map.json")?,
            ..Self::default()
        };
        settings.find_class(optional("config.json")?.as_ref())?;
        settings.added = settings.read_added(optional("added_tokens.json")?.as_ref())?;
        for name in crate::models::TRANSFORMER {
            if let Some(fields) = optional(name)? {
                settings.is_lower_case = fields.bool_or("do_lower_case", false)?;
                break;
            }
        }
        Ok(settings)
    }

    fn find_class(&mut self, model: Option<&Fields>) -> Result<()> {
        const FIELD: &str = "tokenizer_class";
        let files = [self.config.as_ref(), model];
        if let Some(fields) = files.into_iter().flatten().find(|fields| fields.has(FIELD)) {
            let found = Class::named(fields.text(FIELD)?);
            let Some(class) = found else {
                let names: Vec<&str> = CLASSES.iter().map(|class| class.name).collect();
                return Err(fields
                    .refuse(FIELD, format!("one of the tokenizers {}", names.join(", ")))
                    .with_hint("a tokenizer.json of class PreTrainedTokenizerFast needs no other"));
            };
            self.class = Some(class);
        }
        // A field of another type is told of where the model is opened.
        let family = model.and_then(|fields| fields.text("model_type").ok());
        self.of_model = family.and_then(Class::of_model);
        Ok(())
    }

    /// Tokens with ids, of which `tokenizer_config.json` has the later form; and special ones without a part.
    fn read_added(&self, file: Option<&Fields>) -> Result<Vec<Added>> {
        const PLAIN: [bool; 5] = [false, false, false, true, false];
        const SPECIAL: [bool; 5] = [false, false, false, false, true];
        let mut others = Vec::new();
        for fields in [self.map.as_ref(), self.config.as_ref()].into_iter().flatten() {
            for name in ["additional_special_tokens", "extra_special_tokens"] {
                others.extend(read_list(fields, name, SPECIAL)?);
            }
        }
        let mut roles = Vec::new();
        for role in ROLES {
            roles.extend(self.token(role)?.map(|token| token.content));
        }
        let mut added: Vec<Added> = Vec::new();
        if let Some(decoder) = self.decoder()? {
            for name in decoder.names() {
                let id = name.parse().map_err(|_| decoder.refuse(name, "an id as its name"))?;
                let token = Added::read(&decoder, name, PLAIN)?;
                added.extend(token.map(|token| Added { id: Some(id), ..token }));
            }
        } else if let Some(fields) = file {
            for name in fields.names().filter(|name| !name.is_empty()) {
                let id = u32::try_from(fields.usize(name, 0..=u32::MAX as usize)?).unwrap_or(u32::MAX);
                let is_special =
                    roles.iter().any(|role| role == name) || others.iter().any(|other| other.content == name);
                let flags = if is_special { SPECIAL } else { PLAIN };
                added.push(Added { content: name.to_owned(), id: Some(id), flags, has_flags: false });
            }
        }
        added.sort_by_key(|token| token.id);
        for other in others {
            if added.iter().all(|token| token.content != other.content) {
                added.push(other);
            }
        }
        Ok(added)
    }

    fn decoder(&self) -> Result<Option<Fields>> {
        const FIELD: &str = "added_tokens_decoder";
        let config = self.config.as_ref().filter(|config| config.has(FIELD));
        config.map(|config| config.object(FIELD)).transpose()
    }

    /// The class that files name; nothing where none does.
    pub(super) fn class(&self) -> Option<&'static Class> {
        self.class
    }

    /// The class that files name, or else that of the family of models.
    pub(super) fn class_or_family(&self) -> Option<&'static Class> {
        self.class.or(self.of_model)
    }

    /// Tokens of `added_tokens_decoder` or `added_tokens.json`, by id, and then special tokens that have no part.
    pub(super) fn added(&self) -> &[Added] {
        &self.added
    }

    /// The special token that a file names for `role`. Where `tokenizer_config.json` has its own list of tokens it comes first, else
    /// `special_tokens_map.json` does, as Hugging Face's library reads them.
    pub(super) fn token(&self, role: &'static str) -> Result<Option<Added>> {
        let mut files = [self.map.as_ref(), self.config.as_ref()];
        if self.decoder()?.is_some() {
            files.reverse();
        }
        let found = files.into_iter().flatten().find(|fields| fields.has(role));
        // Those of a later list are known with their settings.
        found.map_or(Ok(None), |fields| Added::read(fields, role, [false, false, false, false, true]))
    }

    /// The name of the file that names the token of `role`.
    pub(super) fn source(&self, role: &str) -> String {
        let files = [self.map.as_ref(), self.config.as_ref()].into_iter().flatten();
        let mut named = files.filter(|fields| fields.has(role)).map(|fields| fields.source().to_owned());
        named.next().unwrap_or_default()
    }

    /// A flag of `tokenizer_config.json`, where it is there.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>> {
        let config = self.config.as_ref().filter(|config| config.has(name));
        config.map(|config| config.bool(name)).transpose()
    }

    /// A text of `tokenizer_config.json`, where it is there.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>> {
        let config = self.config.as_ref().filter(|config| config.has(name));
        config.map(|config| config.text(name)).transpose()
    }

    /// A number of `tokenizer_config.json`, where it is there.
    pub(super) fn number(&self, name: &str, most: usize) -> Result<Option<usize>> {
        let config = self.config.as_ref().filter(|config| config.has(name));
        config.map(|config| config.usize(name, 0..=most)).transpose()
    }

    /// A field of `tokenizer_config.json` as it is, unless absent or null.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.config.as_ref()?.get(name)
    }

    /// An error about a field of `tokenizer_config.json`.
    pub(super) fn refuse(&self, name: &str, expected: impl std::fmt::Display) -> Error {
        match &self.config {
            Some(config) => config.refuse(name, expected),
            None => {
                Error::new(ErrorKind::Config, "tokenizer_config.json", name.to_owned()).expecting(expected)
            }
        }
    }

    /// Refuses fields that have another value than the one that makes no difference.
    pub(super) fn refuse_unless(&self, name: &str, value: &Value, expected: &str) -> Result<()> {
        match self.get(name) {
            Some(found) if found != value => Err(self.refuse(name, expected)),
            _ => Ok(()),
        }
    }
}

/// A list of tokens, or an object of them.
fn read_list(fields: &Fields, name: &str, default: [bool; 5]) -> Result<Vec<Added>> {
    let mut tokens = Vec::new();
    match fields.get(name) {
        None => {}
        Some(Value::Array(items)) => {
            let numbered = items.iter().enumerate();
            let object: serde_json::Map<_, _> =
                numbered.map(|(place, item)| (place.to_string(), item.clone())).collect();
            let source = format!("{}: {name}", fields.source());
            let inner = Fields::new(source, Value::Object(object))?;
            for place in 0..items.len() {
                tokens.extend(Added::read(&inner, &place.to_string(), default)?);
            }
        }
        Some(Value::Object(_)) => {
            let inner = fields.object(name)?;
            for token in inner.names().filter(|token| inner.has(token)) {
                tokens.extend(Added::read(&inner, token, default)?);
            }
        }
        Some(_) => return Err(fields.refuse(name, "a list of tokens, or an object with them")),
    }
    Ok(tokens)
}

/// An error about a token that a vocabulary called `source` lacks.
pub(super) fn missing(source: &str, field: &str, file: &str, token: &str) -> Error {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    Error::new(ErrorKind::Config, source.to_owned(), field)
        .expecting(format!("the token `{}` of {name}", quote::name(token)))
        .but_found("no such token")
}
