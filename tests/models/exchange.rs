//! Another method in the place of a trained model's attention.

use std::sync::Arc;

use foveate::models::{Model, Task, Tokens};
use foveate::nn::{Attend, Layout, Recorder};
use foveate::ops::attention::{Blocked, Mask};
use foveate::weights::{Fields, Weights};
use foveate::{DType, Error, Graph, HostTensor, Result, Value, cpu, ops};

const TIME: usize = 9;

fn model(model_type: &str) -> Model {
    let json = serde_json::json!({
        "model_type": model_type, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 24, "vocab_size": 12, "max_position_embeddings": 40, "attention_window": 4,
        "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 40,
    });
    let fields = Fields::new("config.json", json).expect("an object");
    Model::from_config(&fields, Task::Hidden).expect("the configuration is sound")
}

/// Hidden states with `attend` in the place of the model's own attention, where there is one.
fn hidden(model: &Model, attend: Option<Arc<dyn Attend>>) -> Result<Vec<f32>> {
    let mut graph = Graph::new();
    let tokens = Tokens::rows(&mut graph, [1, TIME], model.facts().first_position)?;
    let mut recorder = Recorder::new(&mut graph, DType::F32);
    if let Some(attend) = attend {
        recorder = recorder.exchange(attend);
    }
    let result = model.record_with(&mut recorder, &tokens)?;
    graph.output("hidden", result)?;
    let ids = HostTensor::i32([1, TIME], (0..TIME as i32).collect())?;
    let weights = cpu::Parameters::new(Weights::random(model.declarations(), DType::F32, 3)?.iter())?;
    let inputs: Vec<(&str, &HostTensor)> =
        graph.inputs().iter().map(|(name, _)| (name.as_str(), &ids)).collect();
    Ok(cpu::run_with(&graph, &weights, &inputs)?["hidden"].to_f32())
}

/// Every token gathers its own value and nothing else.
#[derive(Debug)]
struct Itself;

impl Attend for Itself {
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        _: Value,
        _: Value,
        value: Value,
        _: &Layout,
    ) -> Result<Value> {
        ops::scale(recorder, value, 1.0)
    }
}

#[test]
fn what_equals_the_own_attention_gives_the_same() {
    for (model_type, own) in [("bert", Blocked::new()), ("gpt2", Blocked::new().mask(Mask::causal()))] {
        let model = model(model_type);
        let expected = hidden(&model, None).expect("it runs");
        let found = hidden(&model, Some(Arc::new(own))).expect("it runs");
        assert_eq!(found, expected, "{model_type}");
    }
}

#[test]
fn another_method_takes_the_place_of_the_own() {
    for model_type in ["bert", "gpt2", "albert"] {
        let model = model(model_type);
        let expected =
            hidden(&model, Some(Arc::new(Blocked::new().mask(Mask::window(0, 0))))).expect("it runs");
        let found = hidden(&model, Some(Arc::new(Itself))).expect("it runs");
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-5, "{model_type}: {found}, {expected}");
        }
        assert_ne!(found, hidden(&model, None).expect("it runs"), "{model_type}");
    }
}

#[test]
fn a_network_whose_attention_cannot_be_exchanged_refuses_another() {
    let error: Error = hidden(&model("longformer"), Some(Arc::new(Itself))).expect_err("it has its own");
    assert_eq!(
        error.to_string(),
        "recorder: exchange: expected a network with layers whose attention can be exchanged, found none"
    );
}
