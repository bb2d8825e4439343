//! Recordings with their texts, from a folder.

use std::path::{Path, PathBuf};

use super::Wave;
use crate::weights::read_file;
use crate::{Error, ErrorKind, Result};

/// The most bytes of the text of one recording.
const MOST_TEXT: u64 = 1 << 20;

/// A recording, and what is said in it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Recorded {
    /// The recording's file.
    pub source: String,
    /// Samples of one channel.
    pub samples: Vec<f32>,
    /// The words, with single blanks between them.
    pub text: String,
}

/// Every `NAME.wav` of the folder with its `NAME.txt`, in the order of their names, at `rate` samples a second.
///
/// Fails when there is none, and for one that cannot be read or has no text or an empty one.
pub fn recordings(folder: impl AsRef<Path>, rate: u32) -> Result<Vec<Recorded>> {
    let folder = folder.as_ref();
    let refused = |expected: &str, found: String| {
        Error::new(ErrorKind::Io, "recordings", folder.display().to_string())
            .expecting(expected)
            .but_found(found)
    };
    let entries = std::fs::read_dir(folder)
        .map_err(|error| refused("a folder of recordings", error.to_string()).caused_by(error))?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|error| refused("a folder that can be read", error.to_string()).caused_by(error))?
            .path();
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("wav")) {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(refused("recordings, NAME.wav", "none".to_owned()));
    }
    paths.iter().map(|path| recorded(path, rate)).collect()
}

fn recorded(path: &Path, rate: u32) -> Result<Recorded> {
    let beside = path.with_extension("txt");
    let source = beside.display().to_string();
    let bytes = read_file(&beside, MOST_TEXT)?;
    let refused =
        |place: String| Error::new(ErrorKind::Io, source.clone(), place).expecting("words in UTF-8");
    let text = std::str::from_utf8(&bytes)
        .map_err(|error| refused(format!("byte {}", error.valid_up_to())).but_found("another encoding"))?;
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        return Err(refused("text".to_owned()).but_found("nothing but blanks"));
    }
    let source = path.display().to_string();
    let wave = Wave::open(path)?.resampled(rate).map_err(|error| error.within(source.clone()))?;
    Ok(Recorded { source, samples: wave.samples, text })
}
