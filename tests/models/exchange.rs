//! Another method in the place of a trained model's attention.

use std::sync::Arc;

use foveate::models::{Model, Task, Tokens};
use foveate::nn::{Attend, Layout, Recorder, Training};
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

/// Layers whose values are computed again, and packed sequences, get it, too; of an encoder-decoder what attends to the other text stays.
#[test]
fn every_layer_of_its_own_sequence_takes_it() {
    let model = model("bert");
    let windows = Blocked::new().mask(Mask::window(0, 0));
    let record = |recompute: usize, attend: Arc<dyn Attend>| -> Result<Vec<f32>> {
        let mut graph = Graph::new();
        let tokens = Tokens::packed(&mut graph, TIME, 2)?;
        let training = Training { recompute, ..Training::default() };
        let mut recorder = Recorder::new(&mut graph, DType::F32).training(training).exchange(attend);
        let result = model.record_with(&mut recorder, &tokens)?;
        graph.output("hidden", result)?;
        let row = |number: fn(i32) -> i32| HostTensor::i32([1, TIME], (0..TIME as i32).map(number).collect());
        let (ids, positions, types) = (row(|at| at)?, row(|at| at % 5)?, row(|_| 0)?);
        let segments = row(|at| i32::from(at > 4))?;
        let inputs = [("ids", &ids), ("positions", &positions), ("types", &types), ("segments", &segments)];
        let weights = cpu::Parameters::new(Weights::random(model.declarations(), DType::F32, 3)?.iter())?;
        Ok(cpu::run_with(&graph, &weights, &inputs)?["hidden"].to_f32())
    };
    let expected = record(0, Arc::new(windows.clone())).expect("it runs");
    for recompute in [0, 1] {
        let found = record(recompute, Arc::new(Itself)).expect("it runs");
        assert!(found.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() < 1e-5));
    }

    let json = serde_json::json!({"model_type": "t5", "vocab_size": 12, "d_model": 16, "d_kv": 8, "d_ff": 24,
        "num_layers": 1, "num_heads": 2});
    let fields = Fields::new("config.json", json).expect("an object");
    let t5 = Model::from_config(&fields, Task::Logits).expect("the configuration is sound");
    let scores = |source: i32| -> Result<Vec<f32>> {
        let mut graph = Graph::new();
        let tokens = Tokens::rows(&mut graph, [1, TIME], 0)?.with_source(&mut graph, 3)?;
        let mut recorder = Recorder::new(&mut graph, DType::F32).exchange(Arc::new(Itself));
        let result = t5.record_with(&mut recorder, &tokens)?;
        graph.output("logits", result)?;
        let ids = HostTensor::i32([1, TIME], vec![4; TIME])?;
        let (source, places) =
            (HostTensor::i32([1, 3], vec![source; 3])?, HostTensor::i32([1, 3], vec![0, 1, 2])?);
        let lengths = HostTensor::i32([1], vec![3])?;
        let inputs = [
            ("ids", &ids),
            ("source_ids", &source),
            ("source_positions", &places),
            ("source_lengths", &lengths),
        ];
        let weights = cpu::Parameters::new(Weights::random(t5.declarations(), DType::F32, 3)?.iter())?;
        Ok(cpu::run_with(&graph, &weights, &inputs)?["logits"].to_f32())
    };
    let (one, other) = (scores(5).expect("it runs"), scores(9).expect("it runs"));
    // Equal tokens that see only themselves, and all of the source.
    assert!(one.chunks(12).all(|row| row.iter().zip(&one).all(|(a, b)| (a - b).abs() < 1e-5)), "{one:?}");
    assert!(one.iter().zip(&other).any(|(a, b)| (a - b).abs() > 1e-3), "the source is read");
}

#[test]
fn a_network_whose_attention_cannot_be_exchanged_refuses_another() {
    let error: Error = hidden(&model("longformer"), Some(Arc::new(Itself))).expect_err("it has its own");
    assert_eq!(
        error.to_string(),
        "recorder: exchange: expected a network with layers whose attention can be exchanged, found none"
    );
}
