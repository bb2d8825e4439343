//! Prompts, which are put before texts that are embedded: `config_sentence_transformers.json`.

use std::borrow::Cow;
use std::path::Path;

use crate::weights::Fields;
use crate::{Error, ErrorKind, Result};

const FILE: &str = "config_sentence_transformers.json";

/// Texts that an embedding model was trained with before queries, documents and the like, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompts {
    named: Vec<(String, String)>,
    /// The name of the one that is used where none is asked for.
    default: Option<String>,
    /// Whether tokens of a prompt are pooled as those of the text are.
    pub(super) are_pooled: bool,
}

impl Default for Prompts {
    fn default() -> Self {
        // Every model of sentence-transformers has these two.
        let named = ["query", "document"].map(|name| (name.to_owned(), String::new())).to_vec();
        Self { named, default: None, are_pooled: true }
    }
}

impl Prompts {
    /// Reads the file in `folder`, where there is one.
    ///
    /// Fails when a prompt is no text, the default is none of them, or the folder is of another type of model than one that embeds texts.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        const TYPE: &str = "SentenceTransformer";
        let mut prompts = Self::default();
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(prompts);
        }
        let fields = Fields::open(path)?;
        if fields.text_or("model_type", TYPE)? != TYPE {
            return Err(fields.refuse("model_type", TYPE));
        }
        if fields.has("truncate_dim") {
            return Err(fields.refuse("truncate_dim", "null"));
        }
        if fields.has("prompts") {
            let named = fields.object("prompts")?;
            for name in named.names().filter(|name| named.has(name)) {
                let text = named.text(name)?.to_owned();
                match prompts.named.iter_mut().find(|(known, _)| known == name) {
                    Some((_, prompt)) => *prompt = text,
                    None => prompts.named.push((name.to_owned(), text)),
                }
            }
        }
        if fields.has("default_prompt_name") {
            let name = fields.text("default_prompt_name")?;
            if prompts.named.iter().all(|(known, _)| known != name) {
                return Err(fields.refuse("default_prompt_name", format!("one of {}", prompts.listed())));
            }
            prompts.default = Some(name.to_owned());
        }
        Ok(prompts)
    }

    /// Names and texts.
    pub fn named(&self) -> impl Iterator<Item = (&str, &str)> {
        self.named.iter().map(|(name, prompt)| (name.as_str(), prompt.as_str()))
    }

    /// The name of the prompt that is used where none is asked for.
    pub fn default_name(&self) -> Option<&str> {
        self.default.as_deref()
    }

    /// The prompt called `name`, or else the default one; nothing where there is none.
    ///
    /// Fails with [`ErrorKind::Argument`] when there is no such prompt, and with [`ErrorKind::Unsupported`] for one whose tokens must be
    /// left out of the pooling (`include_prompt` of the pooling's file).
    pub fn get(&self, name: Option<&str>) -> Result<&str> {
        let Some(name) = name.or(self.default.as_deref()) else { return Ok("") };
        let found = self.named.iter().find(|(known, _)| known == name);
        let Some((_, prompt)) = found else {
            return Err(Error::new(ErrorKind::Argument, "models", "prompt")
                .expecting(format!("one of {}", self.listed()))
                .but_found(format!("`{name}`")));
        };
        if prompt.is_empty() || self.are_pooled {
            return Ok(prompt);
        }
        Err(Error::new(ErrorKind::Unsupported, "models", format!("prompt `{name}`"))
            .expecting("`include_prompt` true in the pooling's config.json, as a prompt precedes the text")
            .but_found("false: tokens of the prompt would have to be left out of the pooling"))
    }

    /// `text` behind the prompt that [`Prompts::get`] finds. Fails as that does.
    pub fn apply<'t>(&self, text: &'t str, name: Option<&str>) -> Result<Cow<'t, str>> {
        let prompt = self.get(name)?;
        Ok(if prompt.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(format!("{prompt}{text}")) })
    }

    fn listed(&self) -> String {
        self.named.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }
}
