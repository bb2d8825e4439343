//! Atomic replacement of files: whenever the process ends, a file has its old contents or all of the new ones.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

/// Links to links, before they are taken for a circle; Linux follows as many.
const MOST_LINKS: usize = 40;

/// What the names of files end in that are not yet in their place.
const SUFFIX: &str = ".unfinished";

/// A path that a file can be written to.
#[derive(Debug)]
pub struct OutputFile(Place);

#[derive(Debug)]
enum Place {
    /// Of a file or of nothing, behind all links.
    Regular(PathBuf),
    /// A device or a pipe, which a file must not replace.
    Stream(File),
}

/// Replaces the contents of the file at `path` by `bytes` atomically, or writes them to the device or the pipe that is there.
///
/// Fails when they cannot be written; a file is then as it was. A file that may not be written to is not replaced, either.
pub fn replace_file(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    OutputFile(Place::of(path.as_ref())?).write(bytes)
}

impl OutputFile {
    /// Checks whether `path` can be written to, and changes nothing there. A pipe is opened, which waits for its reader.
    ///
    /// Fails when it is a folder, or when neither it nor a file beside it can be written.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let place = Place::of(path.as_ref())?;
        if let Place::Regular(place) = &place {
            begin(place)?;
        }
        Ok(Self(place))
    }

    /// Replaces the file's contents by `bytes` atomically, or writes them to the device or the pipe.
    pub fn write(&self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        match &self.0 {
            Place::Regular(place) => replace(place, bytes.as_ref()),
            Place::Stream(stream) => {
                let mut stream: &File = stream;
                stream.write_all(bytes.as_ref())
            }
        }
    }

    /// Whether both are the same file or the same device, by whatever paths.
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Place::Regular(own), Place::Regular(other)) => own == other,
            (Place::Stream(own), Place::Stream(other)) => is_one_file(own.metadata(), other.metadata()),
            _ => false,
        }
    }

    /// Whether it is the file at `path`, by whatever name. Nothing is opened there: a pipe would wait for its other end.
    pub fn is_at(&self, path: &Path) -> bool {
        match &self.0 {
            Place::Stream(own) => is_one_file(own.metadata(), path.metadata()),
            Place::Regular(own) => {
                let there = path.canonicalize().or_else(|_| absent(path));
                there.is_ok_and(|there| *own == there) || is_one_file(own.metadata(), path.metadata())
            }
        }
    }
}

impl Place {
    fn of(path: &Path) -> io::Result<Self> {
        match path.metadata() {
            Ok(found) if found.is_dir() => Err(io::Error::new(ErrorKind::IsADirectory, "a folder")),
            Ok(found) => {
                let stream = OpenOptions::new().write(true).open(path)?;
                if found.is_file() {
                    path.canonicalize().map(Self::Regular)
                } else {
                    Ok(Self::Stream(stream))
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => absent(path).map(Self::Regular),
            Err(error) => Err(error),
        }
    }
}

/// Where a file will be that is not there yet, behind the links that lead to it.
fn absent(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let is_folder = path
            .as_os_str()
            .as_encoded_bytes()
            .last()
            .is_some_and(|&end| std::path::is_separator(end.into()));
        let name = path.file_name().filter(|_| !is_folder);
        let name = name.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "no name of a file"))?;
        let folder = folder_of(&path).canonicalize().map_err(|error| match error.kind() {
            ErrorKind::NotFound => io::Error::new(ErrorKind::NotFound, "no such folder"),
            _ => error,
        })?;
        let place = folder.join(name);
        match place.read_link() {
            Ok(next) => path = folder.join(next),
            Err(_) => return Ok(place),
        }
    }
    Err(io::Error::other("links that lead in a circle"))
}

/// The folder that the last part of `path` is a name in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn replace(place: &Path, bytes: &[u8]) -> io::Result<()> {
    clear_away(place);
    let mut file = begin(place)?;
    if let Ok(old) = place.metadata() {
        keep_access(file.as_file(), &old)?;
    }
    file.write_all(bytes)?;
    // Contents must reach the disk before the name does, and the name before this returns.
    file.as_file().sync_all()?;
    file.persist(place).map_err(|error| error.error)?;
    sync_folder(folder_of(place))
}

/// A new file beside `place`, which is removed when it is dropped. Only in the same folder a rename is one move.
fn begin(place: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    let prefix = prefix(place);
    builder.prefix(&prefix).suffix(SUFFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As every new file: what the user's mask leaves of it.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    loop {
        let file = builder.tempfile_in(folder_of(place))?;
        match file.as_file().try_lock() {
            // Between creation and lock, it looked like one that nobody is at work on.
            Err(TryLockError::WouldBlock) => {}
            // Where nothing can be locked, nothing is cleared away.
            Ok(()) | Err(TryLockError::Error(_)) if file.path().exists() => return Ok(file),
            _ => {}
        }
    }
}

/// What the names of unfinished files begin with that take the place of `place`: hidden, and short enough for any file system.
fn prefix(place: &Path) -> OsString {
    const MOST_BYTES: usize = 200;
    let name = place.file_name().unwrap_or_default();
    let mut prefix = OsString::from(".");
    if name.len() <= MOST_BYTES {
        prefix.push(name);
    } else {
        prefix.push(name.to_string_lossy().chars().take(MOST_BYTES / 4).collect::<String>());
    }
    prefix.push(".");
    prefix
}

/// Removes what processes have left that were killed while they wrote `place`: unfinished files that nobody has locked. What cannot be looked at
/// or removed stays.
fn clear_away(place: &Path) {
    let prefix = prefix(place);
    let is_ours = |name: &OsStr| {
        let name = name.as_encoded_bytes();
        name.starts_with(prefix.as_encoded_bytes()) && name.ends_with(SUFFIX.as_bytes())
    };
    let Ok(entries) = fs::read_dir(folder_of(place)) else { return };
    for entry in entries.flatten().filter(|entry| is_ours(&entry.file_name())) {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        let file = is_file.then(|| OpenOptions::new().write(true).open(entry.path()));
        if let Some(Ok(file)) = file
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Gives `file` the permissions of the one it replaces, and the owner where the system lets the user.
fn keep_access(file: &File, old: &Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        let new = file.metadata()?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            let _ = fchown(file, Some(old.uid()), Some(old.gid()));
        }
    }
    if file.metadata()?.permissions() != old.permissions() {
        file.set_permissions(old.permissions())?;
    }
    Ok(())
}

/// Only Unix lets a folder be opened and synchronised; elsewhere a rename is as durable as the system makes it.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    match File::open(folder)?.sync_all() {
        // The rename is done: a file system that synchronises no folders has said nothing against it.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

/// Whether both are of one file, device or folder; false where the system has no numbers for them.
pub(super) fn is_one_file(one: io::Result<Metadata>, other: io::Result<Metadata>) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let place = |metadata: Metadata| (metadata.dev(), metadata.ino());
        matches!((one.map(place), other.map(place)), (Ok(one), Ok(other)) if one == other)
    }
    #[cfg(not(unix))]
    {
        let _ = (one, other);
        false
    }
}
