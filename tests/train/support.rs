//! Models and fixtures that the tests share.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use foveate::gpu::{AdapterRequest, Context};
use foveate::models::{LanguageModelConfig, Model};
use foveate::nn::Training;
use foveate::runtime::{Device, Outputs, Planned, Store};
use foveate::train::{Inputs, Mode, language_loss};
use foveate::weights::{Checkpoint, Weights};
use foveate::{DType, Graph, HostTensor, Result, TensorDesc, Value};

/// The device of all tests. Without an adapter every test that asks for it fails, and says how to get one.
pub(crate) fn gpu() -> Device {
    static CONTEXT: OnceLock<Context> = OnceLock::new();
    let open = || Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}"));
    Device::Gpu(CONTEXT.get_or_init(open).clone())
}

pub(crate) fn fixture(name: &str) -> Checkpoint {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/train-lm").join(name);
    Checkpoint::open(path).unwrap()
}

pub(crate) fn tensor(checkpoint: &Checkpoint, name: &str) -> HostTensor {
    let stored = checkpoint.tensor(name).unwrap_or_else(|| panic!("no {name}"));
    let dtype = if stored.dtype() == "I32" { DType::I32 } else { DType::F32 };
    HostTensor::from_bytes(&TensorDesc::new(dtype, stored.shape()), stored.bytes()).unwrap()
}

/// The outputs of a graph on a device.
pub(crate) fn outputs_of(
    device: &Device,
    graph: &Arc<Graph>,
    weights: impl IntoIterator<Item = Result<(String, HostTensor)>>,
    inputs: &[(&str, &HostTensor)],
) -> Outputs {
    let weights = Store::upload(device, weights).unwrap();
    Planned::new(&weights, graph.clone()).unwrap().start(inputs).unwrap().read().unwrap()
}

/// The language model of the fixtures.
pub(crate) fn oracle_model(reversible: bool) -> Model {
    let config = LanguageModelConfig {
        width: 64,
        layers: 3,
        feed_forward: 192,
        reversible,
        ..LanguageModelConfig::default()
    };
    config.model().unwrap()
}

/// Records the loss of a batch of `batch` sequences of `time` tokens.
pub(crate) fn loss_of(
    model: &Model,
    [batch, time]: [usize; 2],
) -> impl Fn(&mut Graph, Mode) -> Result<Value> {
    move |graph, _| language_loss(graph, model, [batch, time], DType::F32, Training::default())
}

/// A loss with the gradients of all weights as outputs `grad.NAME`.
pub(crate) fn with_gradients(record: impl Fn(&mut Graph) -> Result<Value>) -> Arc<Graph> {
    let mut graph = Graph::new();
    let loss = record(&mut graph).unwrap();
    graph.output("loss", loss).unwrap();
    let weights = graph.parameters().to_vec();
    let values: Vec<Value> = weights.iter().map(|(_, value)| *value).collect();
    let gradients = graph.gradients(loss, &values).unwrap();
    for ((name, _), gradient) in weights.iter().zip(gradients) {
        graph.output(&format!("grad.{name}"), gradient).unwrap();
    }
    graph.into()
}

pub(crate) fn named(inputs: &Inputs) -> Vec<(&str, &HostTensor)> {
    inputs.iter().map(|(name, tensor)| (*name, tensor)).collect()
}

/// Compares a loss and its gradients, called as [`with_gradients`] does, with a file of them under the weights' own names. Gradients of weights
/// that `is_idle` knows are 0 but for rounding.
pub(crate) fn assert_gradients(outputs: &Outputs, expected: &Checkpoint, is_idle: impl Fn(&str) -> bool) {
    for (name, found) in outputs {
        let expected = tensor(expected, name.strip_prefix("grad.").unwrap_or(name)).to_f32();
        let found = found.to_f32();
        // Gradients of what no target needs are 0, or rounding.
        let least = if is_idle(name) { 1.0 } else { 1e-3 };
        let largest = expected.iter().fold(least, |largest: f32, x| largest.max(x.abs()));
        assert_eq!(found.len(), expected.len(), "{name}");
        for (i, (a, b)) in found.iter().zip(&expected).enumerate() {
            assert!((a - b).abs() <= 1e-4 * largest, "{name}[{i}]: {a} for {b}, largest {largest}");
        }
    }
}

/// Asserts that the slope along its own gradient of the loss that `graph` gives with its gradients is the gradient's squared length, by
/// differences in f64 at small random weights, and that both devices compute the same.
pub(crate) fn assert_slope(what: &str, model: &Model, graph: &Arc<Graph>, inputs: &Inputs) {
    let weights = Weights::random(model.declarations(), DType::F32, 3).unwrap();
    let weights: Vec<(String, HostTensor)> = weights.iter().collect::<Result<_>>().unwrap();
    let run = |weights: &[(String, HostTensor)]| {
        outputs_of(&Device::CpuF64, graph, weights.iter().cloned().map(Ok), &named(inputs))
    };
    let outputs = run(&weights);
    let gradients: Vec<Vec<f64>> =
        weights.iter().map(|(name, _)| outputs[&format!("grad.{name}")].to_f64()).collect();
    let squared: f64 = gradients.iter().flatten().map(|x| x * x).sum();
    assert!(squared > 1e-6, "{what}");
    // Weights are f32, so that steps must be long beside their rounding.
    let step = 1e-2 / squared.sqrt();
    let moved = |sign: f64| -> f64 {
        let moved: Vec<(String, HostTensor)> = weights
            .iter()
            .zip(&gradients)
            .map(|((name, tensor), gradient)| {
                let values = tensor.to_f64().into_iter().zip(gradient);
                let values = values.map(|(x, slope)| (x + sign * step * slope) as f32).collect();
                (name.clone(), HostTensor::f32(tensor.shape().clone(), values).unwrap())
            })
            .collect();
        run(&moved)["loss"].to_f64()[0]
    };
    let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step);
    assert!((slope / squared - 1.0).abs() < 2e-3, "{what}: {slope} for {squared}");
    for device in [gpu(), Device::Cpu] {
        let found = outputs_of(&device, graph, weights.iter().cloned().map(Ok), &named(inputs));
        for (name, expected) in &outputs {
            let expected = expected.to_f32();
            let largest = expected.iter().fold(1e-3, |largest: f32, x| largest.max(x.abs()));
            for (a, b) in found[name].to_f32().iter().zip(&expected) {
                assert!((a - b).abs() <= 1e-4 * largest, "{name}: {a} for {b}");
            }
        }
    }
}
