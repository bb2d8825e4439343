//! Reading a case: a safetensors file with its `spec`, each part of which must be used or else the case fails.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use foveate::{HostTensor, TensorDesc};
use serde_json::{Map, Value as Json};

use crate::Result;

/// Fields of a `spec` that describe in words what the others, the tensors and the row that reads the case say.
const PROSE: &[&str] =
    &["cross_check_max_abs_diff", "formula", "gradients", "layout", "margin", "names", "note", "paper"];

/// Tensors and metadata of one file.
pub(crate) struct File {
    pub(crate) tensors: Tensors,
    pub(crate) spec: Spec,
    metadata: BTreeMap<String, String>,
}

/// Tensors by name, which remember who was asked for.
pub(crate) struct Tensors {
    all: BTreeMap<String, HostTensor>,
    read: RefCell<BTreeSet<String>>,
}

/// What a file says of itself, which remembers what was asked for.
pub(crate) struct Spec {
    fields: Map<String, Json>,
    read: RefCell<BTreeSet<String>>,
}

impl File {
    /// The file at `path`, whose metadata must hold a `spec`.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path)?;
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes)?;
        let metadata: BTreeMap<_, _> = header.metadata().clone().unwrap_or_default().into_iter().collect();
        let spec = metadata.get("spec").ok_or("the metadata holds no `spec`")?;
        let Json::Object(fields) = serde_json::from_str(spec)? else {
            return Err("`spec` is not an object".into());
        };
        Ok(Self {
            tensors: Tensors::parse(&bytes)?,
            spec: Spec { fields, read: RefCell::default() },
            metadata,
        })
    }

    /// A number that the metadata hold beside the `spec`.
    pub(crate) fn number(&self, key: &str) -> Result<f64> {
        let text = self.metadata.get(key).ok_or_else(|| format!("the metadata hold no `{key}`"))?;
        Ok(text.parse()?)
    }

    /// How far naive f32 arithmetic is from the tensor of that name, where the file says so.
    pub(crate) fn noise(&self, tensor: &str) -> Result<Option<f64>> {
        let Some(noise) = self.metadata.get("noise_f32") else { return Ok(None) };
        let noise: BTreeMap<String, f64> = serde_json::from_str(noise)?;
        Ok(noise.get(tensor).copied())
    }

    /// Refuses a case of which nobody read some option or tensor: it means something that the test does not know.
    pub(crate) fn refuse_unread(&self) -> Result<()> {
        let unread: Vec<String> = self.spec.unread().chain(self.tensors.unread()).collect();
        if unread.is_empty() {
            return Ok(());
        }
        Err(format!("this test does not read {}", unread.join(", ")).into())
    }
}

impl Tensors {
    /// The tensors of a safetensors file. Integers of 8 and 16 bits become i32.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let file = safetensors::SafeTensors::deserialize(bytes)?;
        let tensor = |name: &str, view: &safetensors::tensor::TensorView<'_>| -> Result<HostTensor> {
            let widened = |numbers: Vec<i32>| HostTensor::i32(view.shape(), numbers);
            let desc = match view.dtype() {
                safetensors::Dtype::F32 => TensorDesc::f32(view.shape()),
                safetensors::Dtype::I32 => TensorDesc::i32(view.shape()),
                safetensors::Dtype::U8 => {
                    return Ok(widened(view.data().iter().map(|&byte| byte.into()).collect())?);
                }
                safetensors::Dtype::I8 => {
                    return Ok(widened(view.data().iter().map(|&byte| byte.cast_signed().into()).collect())?);
                }
                safetensors::Dtype::I16 => {
                    let (pairs, _) = view.data().as_chunks::<2>();
                    return Ok(widened(pairs.iter().map(|&pair| i16::from_le_bytes(pair).into()).collect())?);
                }
                other => return Err(format!("tensor `{name}` has elements of type {other:?}").into()),
            };
            Ok(HostTensor::from_bytes(&desc, view.data())?)
        };
        let all = file
            .tensors()
            .iter()
            .map(|(name, view)| Ok((name.clone(), tensor(name, view)?)))
            .collect::<Result<_>>()?;
        Ok(Self { all, read: RefCell::default() })
    }

    /// The tensors of the safetensors file at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::parse(&std::fs::read(path)?)
    }

    pub(crate) fn find(&self, name: &str) -> Option<&HostTensor> {
        let (name, tensor) = self.all.get_key_value(name)?;
        self.read.borrow_mut().insert(name.clone());
        Some(tensor)
    }

    pub(crate) fn get(&self, name: &str) -> Result<&HostTensor> {
        self.find(name).ok_or_else(|| format!("the file holds no tensor `{name}`").into())
    }

    /// Counts tensors as read.
    pub(crate) fn pass_over(&self, names: &[&str]) {
        self.read.borrow_mut().extend(names.iter().map(|&name| name.to_owned()));
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.all.keys().map(String::as_str)
    }

    /// Tensors that nobody asked for.
    pub(crate) fn unread(&self) -> impl Iterator<Item = String> {
        let read = self.read.borrow();
        let unread: Vec<_> = self.all.keys().filter(|name| !read.contains(*name)).cloned().collect();
        unread.into_iter().map(|name| format!("tensor `{name}`"))
    }
}

impl Spec {
    pub(crate) fn find(&self, key: &str) -> Option<&Json> {
        let value = self.fields.get(key)?;
        self.read.borrow_mut().insert(key.to_owned());
        Some(value)
    }

    fn get<'a, T>(&'a self, key: &str, what: &str, read: impl Fn(&'a Json) -> Option<T>) -> Result<T> {
        self.find(key).and_then(read).ok_or_else(|| format!("`{key}` of the spec is not {what}").into())
    }

    /// Counts fields as read.
    pub(crate) fn pass_over(&self, keys: &[&str]) {
        self.read.borrow_mut().extend(keys.iter().map(|&key| key.to_owned()));
    }

    pub(crate) fn text(&self, key: &str) -> Result<&str> {
        self.get(key, "a text", Json::as_str)
    }

    pub(crate) fn bool(&self, key: &str) -> Result<bool> {
        self.get(key, "true or false", Json::as_bool)
    }

    pub(crate) fn number(&self, key: &str) -> Result<f32> {
        self.get(key, "a number", |value| value.as_f64().map(|number| number as f32))
    }

    pub(crate) fn count(&self, key: &str) -> Result<u32> {
        self.get(key, "a count", |value| value.as_u64().and_then(|count| count.try_into().ok()))
    }

    pub(crate) fn texts(&self, key: &str) -> Result<Vec<&str>> {
        self.get(key, "a list of texts", |value| value.as_array()?.iter().map(Json::as_str).collect())
    }

    /// Fields that nobody asked for, those in words apart.
    fn unread(&self) -> impl Iterator<Item = String> {
        let read = self.read.borrow();
        let is_unread = |key: &&String| !read.contains(*key) && !PROSE.contains(&key.as_str());
        let unread: Vec<_> = self.fields.keys().filter(is_unread).cloned().collect();
        unread.into_iter().map(|key| format!("`{key}` of the spec"))
    }
}

/// The numbers that stand in `text` where `pattern` has `#`; none where the two differ elsewhere.
pub(crate) fn numbers(pattern: &str, text: &str) -> Option<Vec<u32>> {
    let (mut numbers, mut rest) = (Vec::new(), text);
    for (place, part) in pattern.split('#').enumerate() {
        if place > 0 {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            numbers.push(rest[..digits].parse().ok()?);
            rest = &rest[digits..];
        }
        rest = rest.strip_prefix(part)?;
    }
    rest.is_empty().then_some(numbers)
}
