//! Tensors from and to safetensors files.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use foveate::weights::{Checkpoint, StoredTensor};
use foveate::{DType, Error, ErrorKind, HostTensor, Result, TensorDesc};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorView};

use super::COMMAND;
use super::document::AttendDocument;
use super::problem::{GIVEN, RESULTS, UPSTREAM};
use crate::output;

/// Characters of the names in a file that an error shows.
const SHOWN: usize = 300;

/// The file of `--tensors`.
#[derive(Debug)]
pub(super) struct Source(Checkpoint);

/// What the file says a result is.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) name: String,
    pub(super) values: Vec<f64>,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Checkpoint::open(path).map(Self)
    }

    pub(super) fn refused(&self, kind: ErrorKind, argument: &str) -> Error {
        Error::new(kind, COMMAND, format!("{}: {argument}", self.0.source()))
    }

    fn refused_tensor(&self, kind: ErrorKind, name: &str) -> Error {
        self.refused(kind, &format!("tensor `{}`", output::one_line(name, SHOWN)))
    }

    /// `q`, `k`, `v`, what `rule` reads, and upstream gradients where there are.
    pub(super) fn read(&self, rule: &AttendDocument) -> Result<BTreeMap<String, HostTensor>> {
        let named = rule.tensors();
        self.check_names(&named)?;
        let mut tensors = BTreeMap::new();
        for name in GIVEN.into_iter().chain(named) {
            let stored = self.0.tensor(name).ok_or_else(|| {
                let names: Vec<&str> = self.0.names().collect();
                self.refused_tensor(ErrorKind::Argument, name)
                    .expecting("it in the file")
                    .but_found(format!("only: {}", output::one_line(&names.join(", "), SHOWN)))
            })?;
            tensors.insert(name.to_owned(), self.host(name, &stored)?);
        }
        for name in UPSTREAM {
            if let Some(stored) = self.0.tensor(name) {
                tensors.insert(name.to_owned(), self.host(name, &stored)?);
            }
        }
        Ok(tensors)
    }

    /// Refuses names that mean something else in the file, or that a gradient will have.
    fn check_names(&self, named: &[&str]) -> Result<()> {
        let is_taken = |name: &str| {
            GIVEN.contains(&name)
                || RESULTS.contains(&name)
                || UPSTREAM.contains(&name)
                || name.strip_prefix("d_").is_some_and(|other| named.contains(&other))
        };
        match named.iter().find(|name| is_taken(name)) {
            None => Ok(()),
            Some(name) => Err(Error::new(ErrorKind::Argument, COMMAND, "--rule: name of a tensor")
                .expecting("none of q, k, v, of their gradients, of results, or of the gradient of another tensor of the rule")
                .but_found(format!("`{name}`"))),
        }
    }

    /// Floats as they are, and integers and truth values as i32.
    fn host(&self, name: &str, stored: &StoredTensor<'_>) -> Result<HostTensor> {
        let bytes = stored.bytes();
        let float = |dtype| HostTensor::from_bytes(&TensorDesc::new(dtype, stored.shape()), bytes);
        let tensor = match stored.dtype().as_str() {
            "F32" => float(DType::F32)?,
            "F16" => float(DType::F16)?,
            "I32" => float(DType::I32)?,
            "U8" | "BOOL" => {
                HostTensor::i32(stored.shape(), bytes.iter().map(|&byte| i32::from(byte)).collect())?
            }
            "I64" => {
                let numbers = bytes.as_chunks::<8>().0.iter().map(|&bytes| i64::from_le_bytes(bytes));
                let narrowed = numbers.map(|number| {
                    i32::try_from(number).map_err(|_| {
                        self.refused_tensor(ErrorKind::Dtype, name)
                            .expecting("integers of 32 bits")
                            .but_found(number)
                    })
                });
                HostTensor::i32(stored.shape(), narrowed.collect::<Result<_>>()?)?
            }
            other => {
                return Err(self
                    .refused_tensor(ErrorKind::Dtype, name)
                    .expecting("F32 or F16, or I32, I64, U8 or BOOL for what is counted")
                    .but_found(other));
            }
        };
        // WGSL lets a device assume that neither infinities nor NaNs occur.
        if tensor.dtype().is_float()
            && let Some((at, x)) = tensor.to_f32().into_iter().enumerate().find(|(_, x)| !x.is_finite())
        {
            return Err(self
                .refused_tensor(ErrorKind::Argument, name)
                .expecting("finite numbers")
                .but_found(format!("{x} at element {at}"))
                .with_hint("masks hide keys without infinities"));
        }
        Ok(tensor)
    }

    /// Those of `outputs` that the file holds, too.
    pub(super) fn expected(&self, outputs: &[(String, TensorDesc)]) -> Result<Vec<Expected>> {
        let held = outputs.iter().filter_map(|(name, desc)| Some((name, desc, self.0.tensor(name)?)));
        held.map(|(name, desc, stored)| {
            if stored.shape() != desc.shape.dims() {
                return Err(self
                    .refused_tensor(ErrorKind::Shape, name)
                    .expecting(format!("{}, the shape of the result", desc.shape))
                    .but_found(format!("{stored:?}")));
            }
            let values = self.wide(name, &stored)?;
            Ok(Expected { name: name.clone(), values })
        })
        .collect()
    }

    /// The elements of a float of any type.
    fn wide(&self, name: &str, stored: &StoredTensor<'_>) -> Result<Vec<f64>> {
        fn map<const N: usize>(bytes: &[u8], widen: impl Fn([u8; N]) -> f64) -> Vec<f64> {
            bytes.as_chunks::<N>().0.iter().map(|&bytes| widen(bytes)).collect()
        }
        Ok(match stored.dtype().as_str() {
            "F64" => map(stored.bytes(), f64::from_le_bytes),
            "F32" => map(stored.bytes(), |bytes| f32::from_le_bytes(bytes).into()),
            "F16" => map(stored.bytes(), |bytes| f16::from_le_bytes(bytes).to_f64()),
            "BF16" => map(stored.bytes(), |bytes| bf16::from_le_bytes(bytes).to_f64()),
            other => {
                return Err(self
                    .refused_tensor(ErrorKind::Dtype, name)
                    .expecting("F64, F32, F16 or BF16")
                    .but_found(other));
            }
        })
    }
}

/// A file of `tensors`, with `metadata` under the name of this program.
pub(super) fn bytes(tensors: &BTreeMap<String, HostTensor>, metadata: String) -> Result<Vec<u8>> {
    let failed = |error: &dyn std::fmt::Display| Error::new(ErrorKind::Io, COMMAND, "--out").but_found(error);
    let mut views = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let dtype = if tensor.dtype() == DType::F16 { Dtype::F16 } else { Dtype::F32 };
        let view = TensorView::new(dtype, tensor.shape().dims().to_vec(), tensor.bytes());
        views.push((name, view.map_err(|error| failed(&error))?));
    }
    let metadata = HashMap::from([("foveate".to_owned(), metadata)]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| failed(&error))
}
