//! Where what is trained goes: folders that one training at a time writes to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use foveate::outputs::LockedFolder;
use foveate::{Error, ErrorKind, Result};

use super::refused;

/// The folder at `path`, for this process alone, to be the value of `--out` or written in its place.
pub(super) fn lock(path: &Path, out: &Path) -> Result<LockedFolder> {
    LockedFolder::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Error::new(ErrorKind::Io, "train", "--out")
            .expecting("a folder that no other process writes to")
            .but_found(format!("{}, in use by another", out.display())),
        _ => refused(path, "a folder that can be made", &error),
    })
}

/// A folder that is not there until all of it is: it is written beside its place, and moved there.
pub(super) struct Destination {
    out: PathBuf,
    unfinished: LockedFolder,
    is_moved: bool,
}

impl Destination {
    /// Makes the folder beside `out`, so that a place where nothing can be written is found before the training. Fails when `out` holds
    /// anything, and when another process is at work on it.
    pub(super) fn open(out: &Path) -> Result<Self> {
        check_empty(out)?;
        let mut name = out.file_name().unwrap_or_default().to_owned();
        if name.is_empty() {
            return Err(Error::new(ErrorKind::Argument, "train", "--out")
                .expecting("the name of a folder")
                .but_found(format!("`{}`", out.display())));
        }
        // Behind links, so that all names of one folder have the same one beside it.
        let mut place = out.canonicalize().unwrap_or_else(|_| out.to_owned());
        if let (Ok(folder), false) = (parent(out).canonicalize(), out.exists()) {
            place = folder.join(&name);
        }
        name = place.file_name().unwrap_or_default().to_owned();
        name.push(".unfinished");
        let unfinished = lock(&place.with_file_name(name), out)?;
        let destination = Self { out: place, unfinished, is_moved: false };
        // Who had the lock before may have finished.
        check_empty(out)?;
        // What a process that was killed left there.
        let cleared = destination.unfinished.clear();
        cleared.map_err(|error| {
            refused(destination.unfinished.path(), "a folder that can be cleared", &error)
        })?;
        Ok(destination)
    }

    /// Writes the folder and puts it into its place, which it gives.
    pub(super) fn finish(mut self, write: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        write(self.unfinished.path())?;
        let moved = self.unfinished.rename(&self.out);
        moved.map_err(|error| refused(&self.out, "a folder that can be put there", &error))?;
        self.is_moved = true;
        Ok(self.out.clone())
    }
}

impl Drop for Destination {
    /// Nothing is left of a training that failed.
    fn drop(&mut self) {
        if !self.is_moved {
            let _ = fs::remove_dir_all(self.unfinished.path());
        }
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn check_empty(out: &Path) -> Result<()> {
    let is_empty = fs::read_dir(out).map(|mut entries| entries.next().is_none());
    if !out.exists() || is_empty.unwrap_or(false) {
        return Ok(());
    }
    let found = if out.is_dir() { "which holds something" } else { "which is no folder" };
    Err(Error::new(ErrorKind::Argument, "train", "--out")
        .expecting("a new folder, or an empty one")
        .but_found(format!("{}, {found}", out.display())))
}
