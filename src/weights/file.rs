//! One file of a checkpoint, in memory or mapped.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::Path;

use memmap2::Mmap;

use super::quote;
use crate::{Error, ErrorKind, Result};

/// The bytes of a file.
pub(super) enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Bytes {
    /// Reads the file at `path`.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let (file, length) = open(path)?;
        let mut bytes = Vec::new();
        // Refused where memory is short, in place of an end of the process.
        let reserved = usize::try_from(length).ok().map(|length| bytes.try_reserve_exact(length));
        if !matches!(reserved, Some(Ok(()))) {
            return Err(Error::new(ErrorKind::OutOfMemory, shown(path), "file")
                .expecting("memory for all of it")
                .but_found(format!("{length} bytes")));
        }
        // No more than that of a file that grows meanwhile.
        file.take(length).read_to_end(&mut bytes).map_err(|error| unreadable(path, error))?;
        Ok(Self::Owned(bytes))
    }

    /// Maps the file at `path`.
    ///
    /// # Safety
    ///
    /// Nobody may change the file or make it shorter while the map lives.
    #[expect(unsafe_code, reason = "hands the contract of a map on to the caller")]
    pub(super) unsafe fn map(path: &Path) -> Result<Self> {
        let (file, length) = open(path)?;
        // Not every system maps an empty file.
        if length == 0 {
            return Ok(Self::Owned(Vec::new()));
        }
        // SAFETY: the map is read-only, and the caller vouches for the file.
        let map = unsafe { Mmap::map(&file) };
        map.map(Self::Mapped).map_err(|error| unreadable(path, error))
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.as_slice().len())
    }
}

/// The whole of a small file; `most` bytes bound it, whatever its length claims.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    read_file(path, most)
}

/// The whole of the file at `path`, which has at most `most` bytes.
///
/// Fails with [`ErrorKind::Io`] when it is missing, cannot be read or is no regular file: a pipe could block and a device never end. Fails
/// with [`ErrorKind::Config`] when it is longer, whatever its length claims.
pub fn read_file(path: impl AsRef<Path>, most: u64) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let file = open_file(path, most)?;
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| unreadable(path, error))?;
    match bytes.len() as u64 > most {
        true => Err(too_long(path, most, "more")),
        false => Ok(bytes),
    }
}

/// The file at `path`, which has at most `most` bytes, for reading part by part. Fails as [`read_file`] does.
pub fn open_file(path: impl AsRef<Path>, most: u64) -> Result<File> {
    let path = path.as_ref();
    let (file, length) = open(path)?;
    if length > most { Err(too_long(path, most, length)) } else { Ok(file) }
}

fn too_long(path: &Path, most: u64, found: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Config, shown(path), "size")
        .expecting(format!("at most {most} bytes"))
        .but_found(found)
}

/// Opens a regular file. Anything else could block (a pipe) or never end (a device).
fn open(path: &Path) -> Result<(File, u64)> {
    let metadata = path.metadata().map_err(|error| unreadable(path, error))?;
    if !metadata.is_file() {
        return Err(Error::new(ErrorKind::Io, shown(path), "file")
            .expecting("a regular file")
            .but_found(kind_of(&metadata)));
    }
    let file = File::open(path).map_err(|error| unreadable(path, error))?;
    Ok((file, metadata.len()))
}

/// What lies at a path where there is no regular file.
fn kind_of(metadata: &Metadata) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = metadata.file_type();
        if kind.is_fifo() {
            return "a pipe";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
        if kind.is_socket() {
            return "a socket";
        }
    }
    if metadata.is_dir() { "a folder" } else { "something else" }
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, shown(path), "file")
        .expecting("a readable file")
        .but_found(quote::complaint(&error))
        .caused_by(error)
}

/// A path in an error message.
pub(crate) fn shown(path: &Path) -> String {
    quote::name(&path.to_string_lossy())
}
