//! Folders, devices and reference tensors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use foveate::gpu::{AdapterRequest, Context};
use foveate::models::{Encoder, Model, Task};
use foveate::runtime::Device;
use foveate::{DType, HostTensor, Shape, TensorDesc};

/// One device for all tests of the process. Without an adapter every test that asks for it fails, and says how to get one.
pub(crate) fn context() -> &'static Context {
    static CONTEXT: OnceLock<Context> = OnceLock::new();
    CONTEXT.get_or_init(|| Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}")))
}

pub(crate) fn devices() -> [(&'static str, Device); 2] {
    [("gpu", Device::Gpu(context().clone())), ("cpu", Device::Cpu)]
}

pub(crate) fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

pub(crate) fn checkpoint(name: &str) -> PathBuf {
    fixtures().join("checkpoints").join(name)
}

pub(crate) fn encoder(folder: &Path, task: Task, dtype: DType, device: &Device) -> Encoder {
    let model = Model::open(folder, task).unwrap_or_else(|error| panic!("{error}"));
    let weights = model.load(dtype).unwrap_or_else(|error| panic!("{error}"));
    Encoder::new(&model, &weights, device).unwrap_or_else(|error| panic!("{error}"))
}

/// The tensors of a safetensors file.
pub(crate) fn tensors(path: &Path) -> BTreeMap<String, HostTensor> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("the fixture is a safetensors file");
    let tensor = |view: &safetensors::tensor::TensorView<'_>| {
        let desc = match view.dtype() {
            safetensors::Dtype::F32 => TensorDesc::f32(view.shape()),
            safetensors::Dtype::I32 => TensorDesc::new(DType::I32, Shape::from(view.shape())),
            other => panic!("{other:?} in {}", path.display()),
        };
        HostTensor::from_bytes(&desc, view.data()).expect("the tensor is whole")
    };
    file.tensors().iter().map(|(name, view)| (name.clone(), tensor(view))).collect()
}

pub(crate) fn ids(tensor: &HostTensor) -> Vec<u32> {
    tensor.to_f64().into_iter().map(|id| id as u32).collect()
}

/// The largest distance between two tensors over the largest magnitude of `expected`.
pub(crate) fn relative_error(found: &HostTensor, expected: &HostTensor) -> f64 {
    assert_eq!(found.shape(), expected.shape());
    let expected = expected.to_f64();
    let largest = expected.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    let worst = found.to_f64().iter().zip(&expected).fold(0.0, |worst: f64, (found, expected)| {
        let error = (found - expected).abs();
        // A NaN would vanish in a maximum.
        if error.is_finite() { worst.max(error) } else { f64::INFINITY }
    });
    worst / largest
}

pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum() };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
