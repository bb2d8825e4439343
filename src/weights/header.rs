//! The header of a safetensors file: 8 bytes of length, JSON, then the tensors' bytes without gaps.
//! Format: <https://github.com/huggingface/safetensors/blob/v0.8.0/README.md#format>.
//!
//! The element types and the JSON of one entry are the safetensors crate's. The checks of the whole are here, because its own
//! (0.8.0) take the last of two tensors of one name, name no tensor where a shape and its bytes disagree, and add offsets
//! without a check (eight tensors of 2^61 bytes overflow, a panic where overflow is checked).

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use safetensors::tensor::{Dtype, TensorInfo};
use serde::de::{Deserializer as _, Error as _, MapAccess, Visitor};

use super::quote;
use crate::{Error, ErrorKind, Result};

/// Bytes in front of the header's JSON.
const PREFIX: usize = size_of::<u64>();
/// The format's own bound on the JSON.
const MAX_HEADER: u64 = 100_000_000;

/// Where a tensor lies in its file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// In bytes of the file.
    pub(super) range: Range<usize>,
}

/// What a header says.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub(super) entries: Vec<Entry>,
    /// Texts under `__metadata__`.
    pub(super) metadata: BTreeMap<String, String>,
}

/// Reads and checks the header of `bytes`, a whole file called `file`: every range of the result lies inside it.
pub(super) fn read(file: &str, bytes: &[u8]) -> Result<Header> {
    let damaged = |argument: &str| Error::new(ErrorKind::Weights, file.to_owned(), argument);
    let Some((length, rest)) = bytes.split_first_chunk::<PREFIX>() else {
        return Err(damaged("length")
            .expecting("a safetensors file of at least 8 bytes")
            .but_found(format!("{} bytes", bytes.len())));
    };
    let length = u64::from_le_bytes(*length);
    let json =
        usize::try_from(length).ok().filter(|_| length <= MAX_HEADER).and_then(|length| rest.get(..length));
    let Some(json) = json else {
        let most = MAX_HEADER.min(rest.len() as u64);
        return Err(damaged("header")
            .expecting(format!("a safetensors file whose header has at most {most} bytes"))
            .but_found(format!("a header length of {length}")));
    };
    let mut header = parse(json).map_err(|error| {
        damaged("header")
            .expecting("JSON of a safetensors header")
            .but_found(format!("{}, at its column {}", quote::json(&error, json), error.column()))
            .caused_by(error)
    })?;
    check(file, &mut header.entries, PREFIX + json.len(), bytes.len())?;
    Ok(header)
}

/// Checks shapes against offsets, and that the tensors tile the file from `start` to `end`; makes ranges the file's.
fn check(file: &str, entries: &mut [Entry], start: usize, end: usize) -> Result<()> {
    entries.sort_by_key(|entry| (entry.range.start, entry.range.end));
    let mut expected = 0;
    for entry in entries.iter_mut() {
        let damaged = || {
            Error::new(ErrorKind::Weights, file.to_owned(), format!("tensor `{}`", quote::name(&entry.name)))
        };
        let Range { start: from, end: to } = entry.range;
        if from != expected || to < from || to > end - start {
            return Err(damaged()
                .expecting(format!("bytes from {expected} on, at most to {}", end - start))
                .but_found(format!("{from} to {to}")));
        }
        let elements = entry.shape.iter().try_fold(1_usize, |elements, &dim| elements.checked_mul(dim));
        let bits = elements.and_then(|elements| elements.checked_mul(entry.dtype.bitsize()));
        if bits.is_none_or(|bits| bits % 8 != 0 || bits / 8 != to - from) {
            return Err(damaged()
                .expecting(format!("the bytes of {} {}", entry.dtype, quote::shape(&entry.shape)))
                .but_found(to - from));
        }
        expected = to;
        entry.range = start + from..start + to;
    }
    if expected != end - start {
        return Err(Error::new(ErrorKind::Weights, file.to_owned(), "length")
            .expecting(format!("{} bytes, as the header says", start + expected))
            .but_found(end));
    }
    Ok(())
}

fn parse(json: &[u8]) -> serde_json::Result<Header> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let header = deserializer.deserialize_map(Entries)?;
    deserializer.end()?;
    Ok(header)
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut header = Header::default();
        let mut names = std::collections::HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                // Files with other things than texts there are read all the same.
                if let serde_json::Value::Object(fields) = map.next_value()? {
                    let texts = fields.into_iter().filter_map(|(name, value)| match value {
                        serde_json::Value::String(text) => Some((name, text)),
                        _ => None,
                    });
                    header.metadata.extend(texts);
                }
                continue;
            }
            let TensorInfo { dtype, shape, data_offsets: (start, end) } =
                map.next_value().map_err(|error| {
                    M::Error::custom(format!("tensor `{}`: {}", quote::name(&name), quote::complaint(&error)))
                })?;
            if !names.insert(name.clone()) {
                return Err(M::Error::custom(format!("tensor `{}` twice", quote::name(&name))));
            }
            header.entries.push(Entry { name, dtype, shape, range: start..end });
        }
        Ok(header)
    }
}
