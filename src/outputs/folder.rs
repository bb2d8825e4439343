//! A folder that one process at a time writes to.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::file::{folder_of, is_one_file, sync_folder};

/// A folder that this process holds a lock on, as long as the value lives. The system releases the lock when the process ends, in whatever way.
///
/// The lock is advisory: it keeps out only those who lock the folder, too. On a file system that knows no locks (some network file systems) nobody
/// is kept out.
#[derive(Debug)]
pub struct LockedFolder {
    path: PathBuf,
    lock: File,
}

impl LockedFolder {
    /// Makes the folder at `path` where it is not there, and locks it.
    ///
    /// Fails with [`io::ErrorKind::WouldBlock`] when another process has it, and when it cannot be made.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        loop {
            fs::create_dir_all(path)?;
            let folder = Self { path: path.to_owned(), lock: lockable(path)? };
            match folder.lock.try_lock() {
                Err(TryLockError::WouldBlock) => {
                    return Err(io::Error::new(
                        io::ErrorKind::WouldBlock,
                        "another process that writes to it",
                    ));
                }
                // Who had it before may have renamed or removed it.
                Ok(()) if !folder.is_in_place() => {}
                Ok(()) | Err(TryLockError::Error(_)) => return Ok(folder),
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes all that it holds.
    pub fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Moves it to `path`, where nothing or an empty folder is. It stays locked.
    pub fn rename(&mut self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        sync_folder(&self.path)?;
        if path.is_dir() {
            fs::remove_dir(path)?;
        }
        fs::rename(&self.path, path)?;
        path.clone_into(&mut self.path);
        sync_folder(folder_of(path))
    }

    #[cfg(unix)]
    fn is_in_place(&self) -> bool {
        is_one_file(self.lock.metadata(), self.path.metadata())
    }

    /// The lock is of another file, which stays.
    #[cfg(not(unix))]
    fn is_in_place(&self) -> bool {
        true
    }
}

/// What is locked for the folder at `path`: on Unix the folder itself, so that nothing is left anywhere, and elsewhere, where a folder cannot be
/// opened, a file beside it.
fn lockable(path: &Path) -> io::Result<File> {
    if cfg!(unix) {
        return File::open(path);
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    File::options().create(true).truncate(false).write(true).open(path.with_file_name(name))
}
