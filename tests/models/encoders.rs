//! Small random encoders with layers of their own, Longformer, DeBERTa, SqueezeBERT, ConvBERT, and BERT whose scores know distances: packed
//! sequences against each alone, half precision, and gradients with values computed again.

use foveate::models::{Encoder, Input, Item, Model, Task, Tokens};
use foveate::nn::{Recorder, Training};
use foveate::ops::{self, CrossEntropy};
use foveate::runtime::{Device, Store};
use foveate::weights::{Fields, Weights};
use foveate::{DType, ErrorKind, Graph, HostTensor, cpu};

use crate::support::{devices, relative_error};

const SEQUENCES: [&[u32]; 4] = [
    &[0, 5, 6, 7, 2, 8, 9, 10, 11, 4, 3],
    &[0, 3],
    &[7],
    &[1, 4, 9, 9, 2, 5, 8, 3, 0, 11, 6, 2, 7, 10, 1, 5, 4],
];

/// What each model is called, and which of the fields below are other ones.
const MODELS: [(&str, &str); 8] = [
    ("longformer", r#"{"model_type": "longformer"}"#),
    ("deberta", r#"{"model_type": "deberta"}"#),
    ("deberta-v2", r#"{"model_type": "deberta-v2"}"#),
    (
        "deberta-v2 with narrow embeddings that know positions, and groups of channels",
        r#"{"model_type": "deberta-v2", "position_biased_input": true, "embedding_size": 12, "conv_groups": 2}"#,
    ),
    (
        "bert of few positions, whose keys meet distances",
        r#"{"model_type": "bert", "position_embedding_type": "relative_key_query", "max_position_embeddings": 17}"#,
    ),
    ("albert with distances", r#"{"model_type": "albert", "position_embedding_type": "relative_key"}"#),
    ("squeezebert", r#"{"model_type": "squeezebert", "v_groups": 2}"#),
    ("convbert", r#"{"model_type": "convbert", "embedding_size": 12, "num_groups": 2}"#),
];

fn models(task: Task) -> [(&'static str, Model); 8] {
    MODELS.map(|(name, others)| {
        let mut json = serde_json::json!({ "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
            "intermediate_size": 24, "vocab_size": 12, "max_position_embeddings": 40, "attention_window": [2, 6, 4],
            "relative_attention": true, "position_biased_input": false, "pos_att_type": "c2p|p2c",
            "max_relative_positions": 10, "position_buckets": 6, "norm_rel_ebd": "layer_norm", "type_vocab_size": 2,
            "share_att_key": true, "conv_kernel_size": 3, "conv_act": "gelu", "tie_word_embeddings": false,
        });
        let others: serde_json::Map<_, _> = serde_json::from_str(others).expect("it is JSON");
        json.as_object_mut().expect("an object").extend(others);
        let fields = Fields::new("config.json", json).expect("an object");
        (name, Model::from_config(&fields, task).expect("the configuration is sound"))
    })
}

fn weights(model: &Model, dtype: DType) -> Weights {
    Weights::random(model.declarations(), dtype, 3).expect("the type is a float")
}

/// Hidden states of every sequence, whose first and third tokens are global.
fn hidden(model: &Model, dtype: DType, device: &Device, sequences: &[&[u32]]) -> Vec<HostTensor> {
    let reads_globals = model.network().signature().reads(Input::Globals);
    let items: Vec<Item<'_>> = sequences
        .iter()
        .map(|ids| {
            let globals = if ids.len() > 2 { &[0, 2][..] } else { &[0] };
            let types = if ids.len() > 2 {
                &[0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1][..ids.len()]
            } else {
                &[]
            };
            Item { globals: reads_globals.then_some(globals), types, ..Item::new(ids) }
        })
        .collect();
    let mut encoder = Encoder::new(model, &weights(model, dtype), device).expect("the weights fit");
    let outputs = encoder.run_items(&items).expect("they run");
    outputs.into_iter().map(|mut outputs| outputs.remove("result").expect("hidden states")).collect()
}

#[test]
fn packed_sequences_equal_each_run_alone() {
    for (kind, model) in models(Task::Hidden) {
        for (name, device) in devices() {
            let together = hidden(&model, DType::F32, &device, &SEQUENCES);
            for (sequence, packed) in SEQUENCES.iter().zip(&together) {
                let alone = hidden(&model, DType::F32, &Device::Cpu, &[sequence]);
                let error = relative_error(packed, &alone[0]);
                println!("{kind} on {name}, {} tokens: {error:.1e}", sequence.len());
                assert!(error < 1e-5);
            }
        }
    }
}

#[test]
fn f16_storage_gives_nearly_the_same() {
    for (kind, model) in models(Task::Hidden) {
        let expected = hidden(&model, DType::F32, &Device::Cpu, &SEQUENCES);
        for (name, device) in devices() {
            let found = hidden(&model, DType::F16, &device, &SEQUENCES);
            for (found, expected) in found.iter().zip(&expected) {
                let error = relative_error(found, expected);
                println!("{kind} on {name}: {error:.1e}");
                assert!(error < 5e-3);
            }
        }
    }
}

#[test]
fn gradients_are_the_same_with_values_computed_again() {
    for (kind, model) in models(Task::Logits) {
        let gradients = |recompute: usize| {
            let mut graph = Graph::new();
            let tokens = Tokens::packed(&mut graph, 18, 2).expect("a new graph takes them");
            let tokens = tokens.with_globals(&mut graph, 3).expect("so it does");
            let training = Training { recompute, ..Training::default() };
            let mut recorder = Recorder::new(&mut graph, DType::F32).training(training);
            let scores = model.record_with(&mut recorder, &tokens).expect("it is recorded");
            let loss = ops::cross_entropy(&mut graph, scores, tokens.ids, &CrossEntropy::new());
            let (names, values): (Vec<_>, Vec<_>) = graph.parameters().iter().cloned().unzip();
            let gradients = graph.gradients(loss.expect("they fit"), &values).expect("every step has one");
            for (name, gradient) in names.iter().zip(gradients) {
                graph.output(&format!("gradient {name}"), gradient).expect("the name is free");
            }
            let row = |number: fn(i32) -> i32| {
                HostTensor::i32([1, 18], (0..18).map(number).collect()).expect("as many")
            };
            let inputs = [
                ("ids", &row(|at| at * 5 % 12)),
                ("positions", &row(|at| 2 + at % 11)),
                ("types", &row(|at| i32::from(at > 14))),
                ("segments", &row(|at| i32::from(at > 10))),
                ("globals", &HostTensor::i32([1, 3], vec![11, 0, -1]).expect("as many")),
            ];
            let parameters =
                cpu::Parameters::new(weights(&model, DType::F32).iter()).expect("they are floats");
            cpu::run_with(&graph, &parameters, &inputs).expect("it runs")
        };
        let kept = gradients(0);
        assert!(kept.len() > 20, "{kind}");
        for recompute in [1, 2] {
            for (name, gradient) in gradients(recompute) {
                assert_eq!(gradient.to_f32(), kept[&name].to_f32(), "{kind}, {name}");
            }
        }
    }
}

fn config(model_type: &str, others: serde_json::Value) -> Fields {
    let mut json = serde_json::json!({ "model_type": model_type, "hidden_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 12, "max_position_embeddings": 20,
        "embedding_size": 16 });
    json.as_object_mut().expect("an object").extend(others.as_object().cloned().unwrap_or_default());
    Fields::new("config.json", json).expect("an object")
}

/// Neither has scores that know distances, so that without a table of positions nothing would know places.
#[test]
fn families_whose_scores_know_no_distances_refuse_them() {
    for family in ["squeezebert", "convbert"] {
        for kind in ["relative_key", "relative_key_query"] {
            let fields = config(family, serde_json::json!({"position_embedding_type": kind}));
            let error = Model::from_config(&fields, Task::Hidden).expect_err("there are no distances");
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.argument().contains("position_embedding_type"), "{error}");
        }
        let fields = config(family, serde_json::json!({"position_embedding_type": "absolute"}));
        Model::from_config(&fields, Task::Hidden).expect("it is what there is");
    }
}

/// `layer_norm_eps` is that of embeddings. Where these are the bias of their normalisation, whatever the token, nothing depends on it.
#[test]
fn layers_of_squeezebert_have_a_small_number_of_their_own_beside_variances() {
    let hidden = |eps: f32| {
        let fields = config("squeezebert", serde_json::json!({"layer_norm_eps": eps}));
        let model = Model::from_config(&fields, Task::Hidden).expect("the configuration is sound");
        let weights = weights(&model, DType::F32);
        let constant = weights.iter().map(|weight| {
            let (name, tensor) = weight?;
            let is_factor = name.ends_with("embeddings.LayerNorm.weight");
            Ok((name, if is_factor { HostTensor::zeros(&tensor.desc())? } else { tensor }))
        });
        let store = Store::upload(&Device::Cpu, constant).expect("they fit");
        let mut encoder = Encoder::with_store(&model, &store, DType::F32).expect("it is an encoder");
        encoder.run(&SEQUENCES).expect("they run")
    };
    let (usual, other) = (hidden(1e-12), hidden(0.5));
    assert_eq!(usual, other);
    assert!(usual[0].to_f32().iter().any(|x| x.abs() > 0.1));
}
