//! What `--profile` means: which kernel shapes are in force, and where they come from.

use std::fmt;
use std::path::{Path, PathBuf};

use foveate::gpu::{Context, Profile};
use foveate::kernel::Tuning;
use foveate::weights::read_file;
use foveate::{Error, ErrorKind, Result};
use serde::Serialize;

use crate::args::ProfileArgs;
use crate::limits;
use crate::output;

/// Where kernel shapes come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// The library's own table.
    Table,
    /// The profile in this file.
    Profile(PathBuf),
}

/// The kernel shapes in force, as reports carry them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TuningReport {
    pub(crate) source: Source,
    pub(crate) kernels: Tuning,
}

impl fmt::Display for TuningReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Table => write!(f, "tuning     built-in table: {}", self.kernels),
            Source::Profile(path) => write!(f, "tuning     profile {}: {}", shown(path), self.kernels),
        }
    }
}

/// What `--profile` names.
#[derive(Clone, Debug)]
pub(crate) enum Loaded {
    /// Nothing.
    None,
    /// A profile, of whatever adapter.
    Profile(PathBuf, Box<Profile>),
    /// A file of another version, and why it is of no use.
    Foreign(PathBuf, Error),
}

/// Reads the value of `--profile`. Fails when the file is missing or damaged.
pub(crate) fn load(args: &ProfileArgs) -> Result<Loaded> {
    let Some(path) = &args.profile else { return Ok(Loaded::None) };
    let unreadable = |found: &dyn fmt::Display| {
        Error::new(ErrorKind::Io, "profile", format!("--profile {}", shown(path)))
            .expecting("a file of `foveate tune`")
            .but_found(found)
            .with_hint("leave out --profile for the built-in table")
    };
    let bytes = read_file(path, limits::PROFILE).map_err(|error| match error.kind() {
        ErrorKind::Io => unreadable(&error.found()),
        _ => unreadable(&format!("more than {} bytes", limits::PROFILE)),
    })?;
    let text = String::from_utf8(bytes).map_err(|error| unreadable(&error))?;
    match Profile::from_json(&text) {
        Ok(profile) => Ok(Loaded::Profile(path.clone(), Box::new(profile))),
        Err(error) if error.kind() == ErrorKind::Foreign => Ok(Loaded::Foreign(path.clone(), error)),
        Err(error) => Err(Error::new(
            error.kind(),
            "profile",
            format!("--profile {}: {}", shown(path), error.argument()),
        )
        .expecting(error.expected())
        .but_found(error.found())
        .with_hint("leave out --profile for the built-in table, or run `foveate tune` again")),
    }
}

/// The context with the kernel shapes of `loaded`. A profile of another adapter, driver or version is ignored with a warning that says why.
pub(crate) fn apply(context: Context, loaded: &Loaded) -> Result<(Context, Source)> {
    let (path, error) = match loaded {
        Loaded::None => return Ok((context, Source::Table)),
        Loaded::Foreign(path, error) => (path, error.clone()),
        Loaded::Profile(path, profile) => match context.tuned(profile) {
            Ok(tuned) => {
                let tuned = if profile.tuning.wants_cooperative() { tuned.self_tested() } else { tuned };
                return Ok((tuned, Source::Profile(path.clone())));
            }
            Err(error) if error.kind() == ErrorKind::Foreign => (path, error),
            Err(error) => return Err(error),
        },
    };
    warn(path, &format!("on {}, {error}", context.info().name));
    Ok((context, Source::Table))
}

/// Says that a profile has no meaning where there are no kernels. Fails as [`load`] does.
pub(crate) fn ignore_without_adapter(args: &ProfileArgs) -> Result<()> {
    match load(args)? {
        Loaded::None => {}
        Loaded::Profile(path, _) | Loaded::Foreign(path, _) => {
            warn(&path, "the CPU reference has no kernels to tune");
        }
    }
    Ok(())
}

fn warn(path: &Path, reason: &str) {
    output::note(format!("warning: --profile {} is ignored: {reason}", shown(path)));
}

fn shown(path: &Path) -> String {
    output::one_line(&path.display().to_string(), 200)
}
