//! One file of a checkpoint, mapped or in memory.

use std::fmt;
use std::fs::File;
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
    /// Maps the file at `path`.
    pub(super) fn map(path: &Path) -> Result<Self> {
        let (file, length) = open(path)?;
        // Not every system maps an empty file.
        if length == 0 {
            return Ok(Self::Owned(Vec::new()));
        }
        #[expect(
            unsafe_code,
            reason = "a map is only as stable as its file, which the doc of `Checkpoint::open` passes on"
        )]
        // SAFETY: the map is read-only; that nobody changes the file meanwhile is asked of the caller of `Checkpoint::open`.
        let map = unsafe { Mmap::map(&file) };
        map.map(Self::Mapped).map_err(|error| unreadable(path, &error))
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
    let (file, _) = open(path)?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > most {
        return Err(Error::new(ErrorKind::Config, shown(path), "size")
            .expecting(format!("at most {most} bytes"))
            .but_found("more"));
    }
    Ok(bytes)
}

/// Opens a regular file. Anything else could block (a pipe) or never end (a device).
fn open(path: &Path) -> Result<(File, u64)> {
    let metadata = path.metadata().map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        return Err(Error::new(ErrorKind::Io, shown(path), "file")
            .expecting("a regular file")
            .but_found(if metadata.is_dir() { "a folder" } else { "something else" }));
    }
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    Ok((file, metadata.len()))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, shown(path), "file")
        .expecting("a readable file")
        .but_found(quote::complaint(error))
}

/// A path in an error message.
pub(crate) fn shown(path: &Path) -> String {
    quote::name(&path.to_string_lossy())
}
