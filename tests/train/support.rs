//! Models and fixtures that the tests share.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use foveate::gpu::{AdapterRequest, Context};
use foveate::models::{LanguageModelConfig, Model};
use foveate::nn::Training;
use foveate::runtime::{Device, Outputs, Planned, Store};
use foveate::train::{Mode, language_loss};
use foveate::weights::Checkpoint;
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
        vocab_size: 256,
        width: 64,
        heads: 4,
        layers: 3,
        feed_forward: 192,
        length: 128,
        reversible,
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
