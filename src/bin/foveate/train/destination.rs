//! Where what is trained goes: folders that one training at a time writes to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use foveate::outputs::{LockedFolder, folder_of};
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

/// Refuses a `text` that is one of the files that a training writes to the folder `out`.
pub(super) fn check_apart(text: &Path, out: &Path, files: &[&str]) -> Result<()> {
    let place = |path: &Path| path.canonicalize().ok();
    let is_text = |name: &&&str| place(&out.join(name)).is_some_and(|written| place(text) == Some(written));
    match files.iter().find(is_text) {
        None => Ok(()),
        Some(name) => Err(Error::new(ErrorKind::Argument, "train", "--out")
            .expecting("a folder whose files are other than the text")
            .but_found(format!("{name}, which is both"))),
    }
}

/// A folder that is not there until all of it is: it is written beside its place, and moved there.
pub(super) struct Destination {
    out: PathBuf,
    unfinished: LockedFolder,
    is_written: bool,
}

impl Destination {
    /// Makes the folder beside `out`, so that a place where nothing can be written is found before the training. Fails when `out` holds
    /// anything, is a link to nothing or another file system's root, where no folder can be moved to, and when another process is at work on it.
    pub(super) fn open(out: &Path) -> Result<Self> {
        check_place(out)?;
        let mut name = out.file_name().unwrap_or_default().to_owned();
        if name.is_empty() {
            return Err(Error::new(ErrorKind::Argument, "train", "--out")
                .expecting("the name of a folder")
                .but_found(format!("`{}`", out.display())));
        }
        // Behind links, so that all names of one folder have the same one beside it.
        let mut place = out.canonicalize().unwrap_or_else(|_| out.to_owned());
        if let (Ok(folder), false) = (folder_of(out).canonicalize(), out.exists()) {
            place = folder.join(&name);
        }
        name = place.file_name().unwrap_or_default().to_owned();
        name.push(".unfinished");
        let unfinished = lock(&place.with_file_name(name), out)?;
        let destination = Self { out: place, unfinished, is_written: false };
        // Who had the lock before may have finished.
        check_place(out)?;
        // What a process that was killed left there.
        let cleared = destination.unfinished.clear();
        cleared.map_err(|error| {
            refused(destination.unfinished.path(), "a folder that can be cleared", &error)
        })?;
        Ok(destination)
    }

    /// Writes the folder and puts it into its place, which it gives. What is written stays, and is named, where it cannot be put there.
    pub(super) fn finish(mut self, write: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        write(self.unfinished.path())?;
        self.is_written = true;
        let moved = self.unfinished.rename(&self.out);
        moved.map_err(|error| {
            // The next training for the same place would clear its own name.
            let mut name = self.out.file_name().unwrap_or_default().to_owned();
            name.push(format!(".trained-{}", std::process::id()));
            let _ = self.unfinished.rename(self.out.with_file_name(name));
            refused(&self.out, "a folder that can be put there", &error)
                .with_hint(format!("what was trained is whole, in {}", self.unfinished.path().display()))
        })?;
        Ok(self.out.clone())
    }
}

impl Drop for Destination {
    /// Nothing is left of a training that failed.
    fn drop(&mut self) {
        if !self.is_written {
            let _ = fs::remove_dir_all(self.unfinished.path());
        }
    }
}

/// Refuses what a folder cannot be moved to.
fn check_place(out: &Path) -> Result<()> {
    let found = if out.is_symlink() && !out.exists() {
        "a link to nothing"
    } else if !out.exists() {
        return Ok(());
    } else if !out.is_dir() {
        "which is no folder"
    } else if fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
        "which holds something"
    } else if is_mounted(out) {
        "on which a file system is mounted, so that no folder can take its place"
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::Argument, "train", "--out")
        .expecting("a new folder, or an empty one")
        .but_found(format!("{}, {found}", out.display())))
}

/// Whether the folder at `path` is on another file system than the one that it is in.
fn is_mounted(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let device = |path: &Path| path.metadata().map(|found| found.dev());
        // Behind links: what is moved goes to where they lead.
        let place = path.canonicalize();
        let pair = place.and_then(|place| Ok((device(&place)?, device(folder_of(&place))?)));
        pair.is_ok_and(|(own, around)| own != around)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new folder for a test of this name.
    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("foveate-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn what_is_trained_stays_where_it_cannot_be_put_into_its_place() {
        let folder = scratch("kept");
        let out = folder.join("out");
        let write = |unfinished: &Path| {
            fs::write(unfinished.join("weights"), "trained").unwrap();
            // Another program is at work on the place meanwhile.
            fs::create_dir(&out).unwrap();
            fs::write(out.join("foreign"), "").unwrap();
            Ok(())
        };
        let error = Destination::open(&out).unwrap().finish(write).unwrap_err();
        let (_, kept) = error.hint().unwrap().split_once(", in ").unwrap();
        assert_eq!(fs::read_to_string(Path::new(kept).join("weights")).unwrap(), "trained");
        fs::remove_file(out.join("foreign")).unwrap();
        drop(Destination::open(&out).unwrap());
        assert!(Path::new(kept).join("weights").exists() && !folder.join("out.unfinished").exists());
        // Of one that cannot be written, nothing stays.
        let refused = |_: &Path| Err(Error::new(ErrorKind::Io, "train", "weights"));
        Destination::open(&out).unwrap().finish(refused).unwrap_err();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "the kept folder and the place");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    #[cfg(unix)]
    fn a_place_that_no_folder_can_be_moved_to_is_refused_before_the_training() {
        let folder = scratch("refused");
        let link = folder.join("link");
        std::os::unix::fs::symlink(folder.join("nothing"), &link).unwrap();
        let found = |out: &Path| Destination::open(out).err().map(|error| error.found().to_owned());
        assert!(found(&link).is_some_and(|found| found.ends_with("a link to nothing")));
        fs::create_dir(folder.join("nothing")).unwrap();
        assert_eq!(found(&link), None);
        assert_eq!(is_mounted(Path::new("/proc")), Path::new("/proc/self").exists());
        assert!(!is_mounted(&folder));
        fs::remove_dir_all(&folder).unwrap();
    }
}
