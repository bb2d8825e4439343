//! Where profiles are kept.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use foveate::gpu::{Context, Profile};
use foveate::weights::replace_file;
use foveate::{Error, ErrorKind, Result};

use super::COMMAND;
use crate::output;

/// A path that a profile can be written to.
#[derive(Debug)]
pub(super) struct Destination(PathBuf);

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
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if path.is_dir() || path.file_name().is_none() {
            return Err(refused(&path, &"a folder"));
        }
        if !folder.unwrap_or(Path::new(".")).is_dir() {
            return Err(refused(&path, &"no such folder"));
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".writable");
        let probe = path.with_file_name(name);
        fs::write(&probe, [])
            .and_then(|()| fs::remove_file(&probe))
            .map_err(|error| refused(&path, &error))?;
        Ok(Self(path))
    }

    /// Writes `profile` in one move.
    pub(super) fn write(&self, profile: &Profile) -> Result<()> {
        replace_file(&self.0, profile.to_json()?.as_bytes()).map_err(|error| refused(&self.0, &error))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
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
