//! Folders, devices and reference tensors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use foveate::generate::{Generator, Streams};
use foveate::gpu::{AdapterRequest, Context};
use foveate::models::{Encoder, Model, Task};
use foveate::plan::Watch;
use foveate::runtime::{Device, Store};
use foveate::weights::Weights;
use foveate::{DType, ErrorKind, HostTensor, Shape, TensorDesc};

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

/// A generator that looks at its scores, whose weight `name`, of `model`, has `value` and minus `value` by turns in the row at `row`.
pub(crate) fn generator_with(
    model: &Model,
    weights: &Weights,
    device: &Device,
    (name, row, value): (&str, usize, f32),
) -> Generator {
    assert!(model.declarations().find(name).is_some(), "no `{name}`");
    let changed = weights.iter().map(|weight| {
        let (found, tensor) = weight?;
        if found != name {
            return Ok((found, tensor));
        }
        let mut values = tensor.to_f32();
        let width = tensor.shape().dims()[1];
        let signs = [1.0, -1.0].into_iter().cycle();
        values[row * width..][..width].iter_mut().zip(signs).for_each(|(x, sign)| *x = sign * value);
        Ok((found, HostTensor::f32(tensor.shape().clone(), values)?))
    });
    let store = Store::upload(device, changed).expect("they fit");
    Generator::with_store(model, DType::F32, &store).expect("it is causal").watching(Watch::Outputs)
}

/// After a step that gave numbers that are not finite, streams on a device through wgpu take no other until they are reset; then they score as new
/// ones do.
pub(crate) fn assert_reset_mends(
    generator: &mut Generator,
    device: &Device,
    start: impl Fn(&mut Generator) -> Streams,
    breaking: u32,
    tokens: [u32; 4],
) {
    let feed = |generator: &mut Generator, streams: &mut Streams, tokens: &[u32]| {
        generator.feed(streams, &[tokens]).map(|scores| scores[0].clone().expect("it got tokens"))
    };
    let mut fresh = start(generator);
    let expected = feed(generator, &mut fresh, &tokens).expect("they are sound");
    let mut streams = start(generator);
    feed(generator, &mut streams, &tokens[..2]).expect("they are sound");
    let error = feed(generator, &mut streams, &[breaking]).expect_err("it is broken");
    assert_eq!(error.kind(), ErrorKind::NotFinite, "{error}");
    // A run that fails updates nothing on the CPU.
    assert_eq!(feed(generator, &mut streams, &tokens[2..3]).is_err(), device.is_planned());
    streams.reset().expect("the device is there");
    assert_eq!(feed(generator, &mut streams, &tokens).expect("it is reset"), expected);
}
