//! Where profiles are kept.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use foveate::gpu::Context;
use foveate::{Error, ErrorKind, Result};

use super::COMMAND;
use crate::output::{self, Sink};

/// A file that a profile can be written to.
#[derive(Debug)]
pub(super) struct Destination {
    path: PathBuf,
    file: Sink,
}

impl Destination {
    /// The value of `--out`, or a file in the user's cache that is named after the adapter of `context`. A path that cannot be written is
    /// refused before anything is measured.
    pub(super) fn new(out: Option<&Path>, context: &Context) -> Result<Self> {
        let path = match out {
            Some(path) => path.to_owned(),
            None => {
                let folder = cache_folder()?;
                fs::create_dir_all(&folder).map_err(|error| refused(&folder, &error))?;
                folder.join(file_name(context))
            }
        };
        Ok(Self { file: Sink::file(COMMAND, "--out", &path)?, path })
    }

    pub(super) fn sink(&self) -> &Sink {
        &self.file
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn refused(path: &Path, found: &dyn std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Io,
        COMMAND,
        format!("--out {}", output::one_line(&path.display().to_string(), 200)),
    )
    .expecting("a file that can be written")
    .but_found(found)
}

/// The folder that the platform has for what can be made again.
fn cache_folder() -> Result<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let named = |variable| env::var_os(variable).map(PathBuf::from).and_then(absolute);
    let cache = if cfg!(windows) {
        named("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        env::home_dir().map(|home| home.join("Library/Caches"))
    } else {
        // A relative path is to be ignored (XDG Base Directory Specification).
        named("XDG_CACHE_HOME").or_else(|| env::home_dir().map(|home| home.join(".cache")))
    };
    cache.and_then(absolute).map(|cache| cache.join("foveate")).ok_or_else(|| {
        Error::new(ErrorKind::Io, COMMAND, "--out")
            .expecting("a file, where the user has no cache folder")
            .but_found("none")
    })
}

/// One file for each adapter and API.
fn file_name(context: &Context) -> String {
    let info = context.info();
    let name = format!("tuning {} {}", info.name, info.backend);
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join("-") + ".json"
}
