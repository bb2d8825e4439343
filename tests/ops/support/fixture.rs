//! Reference outputs made outside this crate.

use std::collections::BTreeMap;
use std::path::PathBuf;

use foveate::ops::attention::EMPTY_ROW_LSE;
use foveate::{HostTensor, TensorDesc};

/// Tensors and metadata of one file under `tests/fixtures`.
pub(crate) struct Fixture {
    tensors: BTreeMap<String, HostTensor>,
    metadata: BTreeMap<String, String>,
}

impl Fixture {
    pub(crate) fn open(path: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path);
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("the fixture is a safetensors file");
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).expect("the fixture has a header");
        let tensors = file
            .tensors()
            .into_iter()
            .map(|(name, view)| {
                let desc = match view.dtype() {
                    safetensors::Dtype::F32 => TensorDesc::f32(view.shape()),
                    safetensors::Dtype::I32 => TensorDesc::i32(view.shape()),
                    safetensors::Dtype::U8 => {
                        let mask = view.data().iter().map(|&byte| i32::from(byte)).collect();
                        return (
                            name.clone(),
                            HostTensor::i32(view.shape(), mask).expect("the mask is whole"),
                        );
                    }
                    other => panic!("{name} has elements of type {other:?}"),
                };
                (name.clone(), HostTensor::from_bytes(&desc, view.data()).expect("the tensor is whole"))
            })
            .collect();
        let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
        Self { tensors, metadata }
    }

    pub(crate) fn tensor(&self, name: &str) -> &HostTensor {
        &self.tensors[name]
    }

    /// Puts a tensor into the place of others.
    pub(crate) fn insert(&mut self, name: &str, tensor: HostTensor) {
        self.tensors.insert(name.to_owned(), tensor);
    }

    /// Names of all tensors.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub(crate) fn scale(&self) -> f32 {
        self.metadata["scale"].parse().expect("the scale is a number")
    }
}

/// Magnitudes from here on are the log-sum-exp of a row without keys, [`EMPTY_ROW_LSE`], which stands for "nothing".
const SENTINEL: f64 = 1e29;
const _: () = assert!(EMPTY_ROW_LSE as f64 <= -SENTINEL);

/// The largest distance between two tensors over the largest magnitude of `expected`. Sentinels must be equal to rounding, and
/// count in neither.
pub(crate) fn relative_error(found: &HostTensor, expected: &HostTensor) -> f64 {
    assert_eq!(found.shape(), expected.shape());
    let (mut worst, mut largest) = (0.0, 0.0);
    for (found, expected) in found.to_f64().into_iter().zip(expected.to_f64()) {
        let error = (found - expected).abs();
        if expected.abs() > SENTINEL {
            let rounding = f64::from(f32::EPSILON) * expected.abs();
            assert!(error <= rounding, "expected the sentinel {expected:e}, found {found:e}");
            continue;
        }
        // A NaN would vanish in a maximum.
        worst = if error.is_finite() { f64::max(worst, error) } else { f64::INFINITY };
        largest = f64::max(largest, expected.abs());
    }
    worst / largest
}
