//! What the files of a checkpoint hold.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Component, Path};
use std::sync::Arc;

use safetensors::tensor::Dtype;

use super::file::{self, Bytes};
use super::{config, header, quote};
use crate::{Error, ErrorKind, Result};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The tensors of a checkpoint, by name. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Checkpoint(Arc<Contents>);

#[derive(Debug)]
struct Contents {
    /// What messages call the checkpoint.
    source: String,
    files: Vec<Arc<StoredFile>>,
    tensors: BTreeMap<String, Stored>,
    metadata: BTreeMap<String, String>,
}

#[derive(Debug)]
struct StoredFile {
    source: String,
    bytes: Bytes,
}

#[derive(Clone, Debug)]
struct Stored {
    file: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    range: Range<usize>,
}

/// One tensor as its file stores it: row-major, little-endian.
#[derive(Clone, Copy)]
pub struct StoredTensor<'a> {
    file: &'a str,
    dtype: Dtype,
    shape: &'a [usize],
    bytes: &'a [u8],
}

impl<'a> StoredTensor<'a> {
    /// Extents of the axes, outermost first.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// The format's name of the element type: `F32`, `BF16`, `I64`, ..
    pub fn dtype(&self) -> String {
        self.dtype.to_string()
    }

    /// The elements. They lie at any address: files align nothing.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What messages call the file it lies in.
    pub fn file(&self) -> &'a str {
        self.file
    }

    pub(super) fn element(&self) -> Dtype {
        self.dtype
    }
}

impl fmt::Debug for StoredTensor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} in {}", self.dtype, quote::shape(self.shape), self.file)
    }
}

impl Checkpoint {
    /// Reads a `.safetensors` file, or a folder that holds `model.safetensors.index.json` with the shards it names, or
    /// `model.safetensors`. [`Self::map`] is for files larger than memory.
    ///
    /// Fails with [`ErrorKind::Io`] where a file cannot be read, with [`ErrorKind::OutOfMemory`] where memory has no room for it, with
    /// [`ErrorKind::Config`] where the index is damaged or names a file outside its folder, and with [`ErrorKind::Weights`] where a header
    /// and its bytes disagree.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_by(path.as_ref(), Bytes::read)
    }

    /// [`Self::open`] by memory map: the system reads what is used, when it is used, and may drop it again.
    ///
    /// # Safety
    ///
    /// Nobody may change or shorten the files while the checkpoint, or weights loaded from it, are in use: headers are checked once, and
    /// later bytes would be taken for those that were checked; where a file became shorter, the system ends the process.
    #[expect(unsafe_code, reason = "hands the contract of a map on to the caller")]
    pub unsafe fn map(path: impl AsRef<Path>) -> Result<Self> {
        // SAFETY: the caller vouches for the files.
        Self::open_by(path.as_ref(), |path| unsafe { Bytes::map(path) })
    }

    fn open_by(path: &Path, bytes: impl Fn(&Path) -> Result<Bytes>) -> Result<Self> {
        if !path.is_dir() {
            let source = file::shown(path);
            return Self::gather(source.clone(), vec![(source, bytes(path)?)], None);
        }
        if path.join(INDEX).exists() {
            return Self::open_shards(path, bytes);
        }
        let single = path.join(SINGLE);
        if !single.exists() {
            return Err(other_format(path));
        }
        let source = file::shown(&single);
        Self::gather(source.clone(), vec![(source, bytes(&single)?)], None)
    }

    /// The checkpoint in `bytes`, a whole safetensors file that messages call `name`.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Result<Self> {
        let source = quote::name(&name.into());
        Self::gather(source.clone(), vec![(source, Bytes::Owned(bytes))], None)
    }

    fn open_shards(folder: &Path, bytes: impl Fn(&Path) -> Result<Bytes>) -> Result<Self> {
        let path = folder.join(INDEX);
        let index = Index::parse(&file::shown(&path), &file::read(&path, config::MOST_BYTES)?)?;
        let mut files = Vec::with_capacity(index.shards.len());
        for shard in &index.shards {
            let shard = folder.join(shard);
            files.push((file::shown(&shard), bytes(&shard)?));
        }
        Self::gather(file::shown(folder), files, Some(&index))
    }

    /// Reads the headers. With an index, it decides which shard a tensor comes from that lies in several.
    fn gather(source: String, files: Vec<(String, Bytes)>, index: Option<&Index>) -> Result<Self> {
        let files: Vec<Arc<StoredFile>> =
            files.into_iter().map(|(source, bytes)| Arc::new(StoredFile { source, bytes })).collect();
        let (mut tensors, mut metadata) = (BTreeMap::new(), BTreeMap::new());
        for (at, file) in files.iter().enumerate() {
            let header = header::read(&file.source, file.bytes.as_slice())?;
            metadata.extend(header.metadata);
            for header::Entry { name, dtype, shape, range } in header.entries {
                let wanted = index.and_then(|index| index.shard_of.get(&name));
                if wanted.is_some_and(|&shard| shard != at) {
                    continue;
                }
                // Only tensors that the index does not know get here twice.
                let stored = Stored { file: at, dtype, shape, range };
                if let Some(first) = tensors.insert(name.clone(), stored) {
                    return Err(Error::new(
                        ErrorKind::Weights,
                        source,
                        format!("tensor `{}`", quote::name(&name)),
                    )
                    .expecting("one shard that holds it")
                    .but_found(format!("{} and {}", files[first.file].source, file.source)));
                }
            }
        }
        for (name, &shard) in index.iter().flat_map(|index| &index.shard_of) {
            if !tensors.contains_key(name) {
                let tensor = format!("tensor `{}`", quote::name(name));
                return Err(Error::new(ErrorKind::Weights, files[shard].source.clone(), tensor)
                    .expecting(format!("it here, as {INDEX} says"))
                    .but_found("no tensor of that name"));
            }
        }
        Ok(Self(Arc::new(Contents { source, files, tensors, metadata })))
    }

    /// These tensors and, under their names behind `path` and a dot, those of `part`.
    ///
    /// Fails with [`ErrorKind::Weights`] where a name is there already.
    pub(crate) fn with_part(&self, path: &str, part: &Self) -> Result<Self> {
        let Contents { source, files, tensors, metadata } = &*self.0;
        let mut tensors = tensors.clone();
        for (name, stored) in &part.0.tensors {
            let name = format!("{path}.{name}");
            let stored = Stored { file: files.len() + stored.file, ..stored.clone() };
            if tensors.contains_key(&name) {
                let tensor = format!("tensor `{}`", quote::name(&name));
                return Err(Error::new(ErrorKind::Weights, source.clone(), tensor)
                    .expecting(format!("no such tensor beside that of {}", part.source()))
                    .but_found("one"));
            }
            tensors.insert(name, stored);
        }
        let files = files.iter().chain(&part.0.files).cloned().collect();
        let contents = Contents { source: source.clone(), files, tensors, metadata: metadata.clone() };
        Ok(Self(Arc::new(contents)))
    }

    /// What messages call the checkpoint: its path, or the name it was given.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// A text that the file's `__metadata__` holds under `name`.
    pub fn metadata(&self, name: &str) -> Option<&str> {
        self.0.metadata.get(name).map(String::as_str)
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.tensors.keys().map(String::as_str)
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<StoredTensor<'_>> {
        let Stored { file, dtype, shape, range } = self.0.tensors.get(name)?;
        let StoredFile { source, bytes } = &*self.0.files[*file];
        Some(StoredTensor { file: source, dtype: *dtype, shape, bytes: &bytes.as_slice()[range.clone()] })
    }

    /// Whether any name starts with `prefix`. The same model is stored with or without an outer path: `bert.encoder..` by
    /// BertForMaskedLM, `encoder..` by BertModel.
    pub fn has_prefix(&self, prefix: &str) -> bool {
        self.names().any(|name| name.starts_with(prefix))
    }
}

/// An error for a folder without safetensors: what it holds in their place, and how that is converted.
fn other_format(folder: &Path) -> Error {
    const PYTORCH: &str = "pytorch_model.bin";
    // A pickle, which may run any code while it is read: `weights_only` lets PyTorch refuse that.
    let convert = "python -c \"import torch, safetensors.torch as s; s.save_file({n: t.clone().contiguous() for n, t in \
        torch.load('pytorch_model.bin', map_location='cpu', weights_only=True).items()}, 'model.safetensors', \
        metadata={'format': 'pt'})\"";
    let saved = "load it with the transformers library and write it with `save_pretrained(folder, safe_serialization=True)`";
    let formats = [
        (PYTORCH, convert),
        ("pytorch_model.bin.index.json", saved),
        ("tf_model.h5", saved),
        ("flax_model.msgpack", saved),
        ("model.ckpt.index", saved),
    ];
    let error = Error::new(ErrorKind::Io, file::shown(folder), "folder")
        .expecting(format!("{INDEX} or {SINGLE} in it"));
    match formats.iter().find(|(name, _)| folder.join(name).exists()) {
        Some((PYTORCH, hint)) => error
            .but_found(format!("{PYTORCH}, a pickle, which is not read"))
            .with_hint(format!("this converts it, in its folder: {hint}")),
        Some((name, hint)) => error.but_found(format!("{name}, which is not read")).with_hint(hint),
        None => error.but_found("neither"),
    }
}

/// `model.safetensors.index.json`: which shard holds which tensor.
struct Index {
    /// File names inside the folder, sorted.
    shards: Vec<String>,
    /// Tensor name to place in `shards`.
    shard_of: BTreeMap<String, usize>,
}

impl Index {
    fn parse(source: &str, bytes: &[u8]) -> Result<Self> {
        let map = config::Fields::new(source, config::parse_json(source, bytes)?)?.object("weight_map")?;
        let mut places = BTreeMap::new();
        let mut shard_of = BTreeMap::new();
        for name in map.names() {
            let shard = map.text(name)?;
            if !is_plain(shard) {
                return Err(map
                    .refuse(name, "the name of a file in the same folder")
                    .but_found(format!("`{}`", quote::name(shard))));
            }
            places.insert(shard.to_owned(), 0);
        }
        for (place, number) in places.values_mut().zip(0..) {
            *place = number;
        }
        for name in map.names() {
            if let Some(&place) = places.get(map.text(name)?) {
                shard_of.insert(name.to_owned(), place);
            }
        }
        Ok(Self { shards: places.into_keys().collect(), shard_of })
    }
}

/// Whether `name` is one ordinary file name on every system: no separator, drive, parent or root.
fn is_plain(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!((components.next(), components.next()), (Some(Component::Normal(only)), None) if only == name)
        && !name.contains(['/', '\\', ':', '\0'])
}
