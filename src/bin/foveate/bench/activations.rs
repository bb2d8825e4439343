//! Queries, keys and values to run on: the built-in ones, or a safetensors file of the user's.

use std::path::Path;

use foveate::check::Random;
use foveate::weights::read_file;
use foveate::{DType, Error, ErrorKind, HostTensor, Result, TensorDesc};
use safetensors::{Dtype, SafeTensors};

use crate::limits;

/// all-MiniLM-L6-v2 on Moby-Dick; `benches/assets/README.md` says which layer and heads. A build from a published package, which is kept
/// small, has none.
#[cfg(has_activations)]
const BUILT_IN: Option<&[u8]> =
    Some(include_bytes!("../../../../benches/assets/minilm-moby-qkv.safetensors"));
#[cfg(not(has_activations))]
const BUILT_IN: Option<&[u8]> = None;

/// What the built-in activations are called in reports.
const BUILT_IN_NAME: &str = "all-MiniLM-L6-v2 on Moby-Dick";

/// What the noise in their place is called; it has their `[time, head, channel]`.
const GENERATED_NAME: &str = "seeded noise, as this build has no activations of a model";
const GENERATED_SHAPE: [usize; 3] = [4096, 4, 32];

/// `query`, `key` and `value`, each `[time, head, channel]`, row-major.
#[derive(Debug)]
pub(crate) struct Activations {
    /// Where they come from.
    pub(crate) source: String,
    pub(crate) time: usize,
    pub(crate) heads: usize,
    pub(crate) channels: usize,
    values: [Vec<f32>; 3],
}

/// Names of the three tensors, in files and in graphs.
pub(crate) const NAMES: [&str; 3] = ["query", "key", "value"];

/// Query, key and value of one run, each `[1, time, head, channel]`.
#[derive(Clone, Debug)]
pub(crate) struct Inputs(pub(crate) [HostTensor; 3]);

impl Activations {
    /// Those of `file`, or the built-in ones, or noise where the build has none: times are the same, but errors of approximate methods say
    /// nothing about models.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self> {
        let Some(path) = file else {
            let generated = || Ok(Self { source: GENERATED_NAME.into(), ..Self::noise(GENERATED_SHAPE) });
            return BUILT_IN.map_or_else(generated, |bytes| Self::parse(BUILT_IN_NAME, bytes));
        };
        let source = path.display().to_string();
        let bytes = read_file(path, limits::ACTIVATIONS).map_err(|error| {
            Error::new(error.kind(), "activations", &source)
                .expecting(format!("a safetensors file, {}", error.expected()))
                .but_found(error.found())
        })?;
        Self::parse(&source, &bytes)
    }

    fn parse(source: &str, bytes: &[u8]) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| {
            Error::new(ErrorKind::Io, "activations", source)
                .expecting("a safetensors file")
                .but_found(format!("a damaged one: {error}"))
        })?;
        let [query, key, value] = NAMES.map(|name| tensor(source, &file, name));
        let (shape, query) = query?;
        let same_shape = |name: &str, (found, values): ([usize; 3], Vec<f32>)| {
            let expected = format!("{shape:?} as query has");
            let error = || {
                refused(ErrorKind::Shape, source, name).expecting(expected).but_found(format!("{found:?}"))
            };
            if found == shape { Ok(values) } else { Err(error()) }
        };
        let values = [query, same_shape("key", key?)?, same_shape("value", value?)?];
        let [time, heads, channels] = shape;
        Ok(Self { source: source.to_owned(), time, heads, channels, values })
    }

    /// Seeded noise, for rates that must not depend on a file.
    pub(crate) fn noise([time, heads, channels]: [usize; 3]) -> Self {
        let mut random = Random::new(0);
        let values = NAMES.map(|_| (0..time * heads * channels).map(|_| random.next_f32()).collect());
        Self { source: "noise".into(), time, heads, channels, values }
    }

    /// The descriptor of each tensor of [`Activations::inputs`].
    pub(crate) fn desc(&self, time: usize, dtype: DType) -> TensorDesc {
        TensorDesc::new(dtype, [1, time, self.heads, self.channels])
    }

    /// The first `time` tokens, repeated from the start where there are fewer. Fails when a value is out of `dtype`'s range.
    pub(crate) fn inputs(&self, time: usize, dtype: DType) -> Result<Inputs> {
        let width = self.heads * self.channels;
        let repeated =
            |values: &[f32]| -> Vec<f32> { values.iter().copied().cycle().take(time * width).collect() };
        let [query, key, value] = NAMES;
        let tensor = |name: &str, values: &[f32]| {
            let tensor = HostTensor::from_f32(dtype, self.desc(time, dtype).shape, &repeated(values))?;
            if let Some(index) = tensor.to_f32().iter().position(|x| !x.is_finite()) {
                return Err(refused(ErrorKind::Dtype, &self.source, name)
                    .expecting(format!("numbers within {dtype}'s range"))
                    .but_found(format!("{} at element {index}", values[index % values.len()])));
            }
            Ok(tensor)
        };
        let [q, k, v] = &self.values;
        Ok(Inputs([tensor(query, q)?, tensor(key, k)?, tensor(value, v)?]))
    }
}

/// Shape and elements of one tensor of `file`.
fn tensor(source: &str, file: &SafeTensors<'_>, name: &str) -> Result<([usize; 3], Vec<f32>)> {
    let view = file.tensor(name).map_err(|_| {
        let names = file.names().join(", ");
        refused(ErrorKind::Io, source, name).expecting("it in the file").but_found(format!("only: {names}"))
    })?;
    let dtype = match view.dtype() {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        other => {
            return Err(refused(ErrorKind::Dtype, source, name)
                .expecting("F32 or F16")
                .but_found(format!("{other:?}")));
        }
    };
    let &[time, heads, channels] = view.shape() else {
        return Err(refused(ErrorKind::Shape, source, name)
            .expecting("rank 3 [time, head, channel]")
            .but_found(format!("rank {} {:?}", view.shape().len(), view.shape())));
    };
    if time * heads * channels == 0 {
        return Err(refused(ErrorKind::Shape, source, name)
            .expecting("[time, head, channel] of at least 1 each")
            .but_found(format!("{:?}", view.shape())));
    }
    let values = HostTensor::from_bytes(&TensorDesc::new(dtype, view.shape()), view.data())?.to_f32();
    Ok(([time, heads, channels], values))
}

fn refused(kind: ErrorKind, source: &str, tensor: &str) -> Error {
    Error::new(kind, "activations", format!("{source}: tensor `{tensor}`"))
}

impl Inputs {
    /// The tokens `queries` asking the tokens `keys`.
    pub(crate) fn excerpt(
        &self,
        queries: impl IntoIterator<Item = usize>,
        keys: impl IntoIterator<Item = usize> + Clone,
    ) -> Result<Self> {
        let Self([query, key, value]) = self;
        Ok(Self([rows_of(query, queries)?, rows_of(key, keys.clone())?, rows_of(value, keys)?]))
    }

    /// The three tensors by name, as runs take them.
    pub(crate) fn named(&self) -> [(&'static str, &HostTensor); 3] {
        let Self([query, key, value]) = self;
        [(NAMES[0], query), (NAMES[1], key), (NAMES[2], value)]
    }
}

/// The tokens at `rows` of a tensor `[1, time, head, channel]`.
pub(crate) fn rows_of(tensor: &HostTensor, rows: impl IntoIterator<Item = usize>) -> Result<HostTensor> {
    let dims = tensor.shape().dims();
    let (heads, channels) = (dims[2], dims[3]);
    let row_bytes = heads * channels * tensor.dtype().size();
    let bytes: Vec<u8> = rows
        .into_iter()
        .flat_map(|row| &tensor.bytes()[row * row_bytes..(row + 1) * row_bytes])
        .copied()
        .collect();
    let count = bytes.len() / row_bytes;
    HostTensor::from_bytes(&TensorDesc::new(tensor.dtype(), [1, count, heads, channels]), &bytes)
}
