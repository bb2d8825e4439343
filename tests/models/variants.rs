//! Options of families that no file at hand has: what they mean is told by a model that has them.

use std::collections::BTreeMap;

use foveate::models::{Model, Task, Tokens};
use foveate::runtime::{Device, Runner, Store};
use foveate::weights::{Fields, Weights};
use foveate::{DType, Graph, HostTensor};
use serde_json::{Value, json};

use crate::support::{devices, relative_error};

const IDS: [i32; 7] = [5, 9, 2, 2, 11, 0, 7];

fn model(model_type: &str, more: &[(&str, Value)], task: Task) -> Model {
    let mut config = json!({
        "model_type": model_type, "vocab_size": 13, "hidden_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 12, "pad_token_id": 1,
        "type_vocab_size": 1, "attention_window": 4,
    });
    for (name, value) in more {
        config[*name] = value.clone();
    }
    Model::from_config(&Fields::new("config.json", config).unwrap(), task).unwrap()
}

fn weights(model: &Model) -> BTreeMap<String, HostTensor> {
    Weights::random(model.declarations(), DType::F32, 3)
        .unwrap()
        .iter()
        .collect::<foveate::Result<_>>()
        .unwrap()
}

/// What the model makes of one text.
fn output(model: &Model, weights: &BTreeMap<String, HostTensor>, device: &Device) -> HostTensor {
    let mut graph = Graph::new();
    let tokens = Tokens::rows(&mut graph, [1, IDS.len()], model.facts().first_position).unwrap();
    let output = model.record(&mut graph, &tokens, DType::F32).unwrap();
    graph.output("output", output).unwrap();
    let store =
        Store::upload(device, weights.iter().map(|(name, tensor)| Ok((name.clone(), tensor.clone()))));
    let ids = HostTensor::i32([1, IDS.len()], IDS.to_vec()).unwrap();
    let outputs = Runner::new(&store.unwrap()).run((), &[("ids", &ids)], || Ok(graph)).unwrap();
    outputs["output"].clone()
}

/// Distances do not depend on where positions are counted from, so that RoBERTa is BERT with the same weights.
#[test]
fn roberta_whose_scores_know_distances_is_such_a_bert() {
    for kind in ["relative_key", "relative_key_query"] {
        let more = [("position_embedding_type", kind.into())];
        let [roberta, bert] = ["roberta", "bert"].map(|family| model(family, &more, Task::Hidden));
        let names = |model: &Model| -> Vec<String> {
            model
                .declarations()
                .list()
                .iter()
                .map(|weight| format!("{} {}", weight.name, weight.shape))
                .collect()
        };
        assert_eq!(names(&roberta), names(&bert));
        assert!(names(&roberta).iter().any(|name| name.ends_with("distance_embedding.weight [23, 8]")));
        assert_eq!((roberta.facts().first_position, bert.facts().first_position), (2, 0));
        let weights = weights(&roberta);
        for (name, device) in devices() {
            let (found, expected) = (output(&roberta, &weights, &device), output(&bert, &weights, &device));
            assert!(relative_error(&found, &expected) < 1e-6, "{kind}, {name}");
            // The distances matter.
            let mut still = weights.clone();
            for (name, tensor) in &mut still {
                if name.ends_with("distance_embedding.weight") {
                    let zeros = vec![0.0; tensor.shape().elements()];
                    *tensor = HostTensor::f32(tensor.shape().clone(), zeros).unwrap();
                }
            }
            assert!(relative_error(&output(&roberta, &still, &device), &expected) > 1e-5, "{kind}, {name}");
        }
    }
}

/// Outputs of their own that equal the embeddings give the scores of tied ones; twice as large they give twice the scores, biases apart.
#[test]
fn longformer_may_have_outputs_of_its_own() {
    let tied = model("longformer", &[], Task::Logits);
    let untied = model("longformer", &[("tie_word_embeddings", false.into())], Task::Logits);
    let own = "lm_head.decoder.weight";
    assert!(tied.declarations().find(own).is_none() && untied.declarations().find(own).is_some());
    let mut weights = weights(&tied);
    // Without a bias scores are products alone.
    weights.insert("lm_head.bias".to_owned(), HostTensor::f32([13], vec![0.0; 13]).unwrap());
    let words = weights["embeddings.word_embeddings.weight"].clone();
    for (name, device) in devices() {
        let expected = output(&tied, &weights, &device);
        let mut with = |factor: f32| {
            let values = words.to_f32().iter().map(|x| factor * x).collect();
            weights.insert(own.to_owned(), HostTensor::f32(words.shape().clone(), values).unwrap());
            output(&untied, &weights, &device)
        };
        assert!(relative_error(&with(1.0), &expected) < 1e-6, "{name}");
        let twice = expected.to_f32().iter().map(|x| 2.0 * x).collect();
        let twice = HostTensor::f32(expected.shape().clone(), twice).unwrap();
        assert!(relative_error(&with(2.0), &twice) < 1e-6, "{name}");
    }
}
