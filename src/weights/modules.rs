//! `modules.json` of a sentence-transformers folder: which modules make an embedding, and in which folders they lie.
//!
//! Written by <https://github.com/huggingface/sentence-transformers/blob/v5.1.2/sentence_transformers/SentenceTransformer.py>, `save`.

use std::path::{Component, Path, PathBuf};

use super::config::{Fields, read_json};
use super::file;
use crate::{Error, ErrorKind, Result};

const MODULES: &str = "modules.json";

/// A row of the list.
#[derive(Debug)]
pub(crate) struct Module {
    /// Its class, `sentence_transformers.models.Pooling` and the like.
    pub(crate) class: String,
    /// Its folder below that of the list; empty for that one itself.
    pub(crate) path: String,
    /// The row, for messages about it.
    pub(crate) fields: Fields,
}

impl Module {
    /// The class without its path; nothing for a class of another library, whatever it is called.
    pub(crate) fn kind(&self) -> Option<&str> {
        self.class.strip_prefix("sentence_transformers.")?.rsplit('.').next()
    }
}

/// The modules of `folder`, in their order; nothing where it has no list.
///
/// Fails when it is no list of modules, or one lies outside the folder.
pub(crate) fn modules(folder: &Path) -> Result<Option<Vec<Module>>> {
    let path = folder.join(MODULES);
    if !path.exists() {
        return Ok(None);
    }
    let (listed, source) = (read_json(&path)?, file::shown(&path));
    let Some(rows) = listed.as_array().filter(|rows| !rows.is_empty()) else {
        return Err(Error::new(ErrorKind::Config, source, "document").expecting("a list of modules"));
    };
    let module = |row: &serde_json::Value| {
        let fields = Fields::new(&source, row.clone())?;
        let path = fields.text_or("path", "")?.trim_end_matches('/').to_owned();
        if !Path::new(&path).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(fields.refuse("path", "a folder inside this one"));
        }
        Ok(Module { class: fields.text("type")?.to_owned(), path, fields })
    };
    rows.iter().map(module).collect::<Result<Vec<_>>>().map(Some)
}

/// The folder with the network and the tokenizer: `folder` itself, or where old folders of sentence-transformers have another, that.
///
/// A list that is damaged matters to who reads the modules, and here only where the folder has no network of its own.
pub(crate) fn network_folder(folder: &Path) -> Result<PathBuf> {
    let modules = match modules(folder) {
        Err(_) if folder.join("config.json").exists() => None,
        modules => modules?,
    };
    let first = modules.and_then(|modules| modules.into_iter().next());
    let path = first.filter(|module| module.kind() == Some("Transformer")).map(|module| module.path);
    Ok(path.filter(|path| !path.is_empty()).map_or_else(|| folder.to_owned(), |path| folder.join(path)))
}
