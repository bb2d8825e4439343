//! Losses of heads: their gradients as PyTorch has them, and by differences.

use std::path::PathBuf;
use std::sync::Arc;

use foveate::models::{Encoder, Item, Model, Task};
use foveate::nn::Training;
use foveate::ops::optimizer::AdamW;
use foveate::runtime::{Device, Store};
use foveate::train::{
    Description, Masked, Mode, Optimizer, Schedule, Settings, Start, Trainer, classification_loss,
    masked_inputs, masked_words_loss, padded_inputs, result_rows,
};
use foveate::weights::{Checkpoint, Fields, Weights};
use foveate::{DType, ErrorKind, Graph, HostTensor, Result};
use serde_json::{Value as Json, json};

use crate::support::{assert_gradients, assert_slope, gpu, named, outputs_of, tensor, with_gradients};

fn oracle(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oracles/models/bert-mlm").join(file)
}

#[test]
fn masked_words_have_the_gradients_of_the_other_implementation() {
    let model = Model::open(oracle("."), Task::Logits).unwrap();
    let [io, expected] =
        ["io.safetensors", "grad.safetensors"].map(|file| Checkpoint::open(oracle(file)).unwrap());
    let integers =
        |name: &str| -> Vec<i32> { tensor(&io, name).to_f64().into_iter().map(|x| x as i32).collect() };
    let [ids, labels, mask, types] =
        ["in.input_ids", "in.labels", "in.attention_mask", "in.token_type_ids"].map(integers);
    let shape = tensor(&io, "in.input_ids");
    let [batch, time] = shape.shape().dims() else { panic!("a batch") };
    let (batch, time) = (*batch, *time);
    // Rows of valid tokens; where labels are of words, they count.
    let texts: Vec<Masked> = (0..batch)
        .map(|row| {
            let length = (0..time).filter(|at| mask[row * time + at] == 1).count();
            let places: Vec<usize> = (0..length).filter(|at| labels[row * time + at] >= 0).collect();
            Masked {
                ids: ids[row * time..][..length].iter().map(|&id| id as u32).collect(),
                targets: places.iter().map(|at| labels[row * time + at] as u32).collect(),
                places,
            }
        })
        .collect();
    let wanted: usize = texts.iter().map(|text| text.places.len()).sum();
    assert_eq!(wanted, labels.iter().filter(|&&label| label >= 0).count(), "no label is of padding");
    // Room for more words than there are.
    let count = wanted + 3;
    let mut inputs = masked_inputs(&model, &texts, [time, count]).unwrap();
    let kinds = HostTensor::i32([batch, time], types).unwrap();
    inputs.iter_mut().filter(|(name, _)| *name == "types").for_each(|(_, tensor)| *tensor = kinds.clone());

    for recompute in [0, 1] {
        let training = Training { recompute, ..Training::default() };
        let graph = with_gradients(|graph| {
            masked_words_loss(graph, &model, [batch, time], count, DType::F32, training)
        });
        for device in [gpu(), Device::Cpu] {
            let weights = model.load(DType::F32).unwrap();
            let outputs = outputs_of(&device, &graph, weights.iter(), &named(&inputs));
            assert_eq!(outputs.len(), 1 + model.declarations().list().len());
            // Key biases have no influence: of their gradients only rounding is left.
            assert_gradients(&outputs, &expected, |name| name.ends_with("key.bias"));
        }
    }
}

/// A small classifier with labels of the kind that `problem` names.
fn classifier(family: &str, problem: &str) -> Model {
    let mut config = json!({"problem_type": problem, "num_labels": 3, "vocab_size": 11});
    let more = match family {
        "bert" => json!({"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 8, "max_position_embeddings": 6, "type_vocab_size": 2}),
        "longformer" => {
            json!({"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "pad_token_id": 1,
            "intermediate_size": 8, "max_position_embeddings": 8, "type_vocab_size": 2, "attention_window": [2]})
        }
        _ => json!({"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 6}),
    };
    let fields = config.as_object_mut().unwrap();
    fields.insert("model_type".into(), json!(family));
    if let Json::Object(more) = more {
        fields.extend(more);
    }
    Model::from_config(&Fields::new("config.json", config).unwrap(), Task::Classify).unwrap()
}

/// The loss's slope along its own gradient, by differences in f64, is the gradient's squared length.
fn slope_is_the_gradient(family: &str, problem: &str) {
    let model = classifier(family, problem);
    let size = [3, 5];
    let items =
        [Item { types: &[0, 1, 1], ..Item::new(&[1, 2, 3]) }, Item::new(&[4, 5, 6, 7, 8]), Item::new(&[9])];
    let mut inputs = padded_inputs(&model, &items, size[1]).unwrap();
    inputs.push(("ends", result_rows(&model, &items, size[1]).unwrap()));
    inputs.push(match problem {
        "single_label_classification" => ("labels", HostTensor::i32([3], vec![2, -100, 0]).unwrap()),
        _ => ("labels", HostTensor::f32([3, 3], vec![1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.5, 0.0]).unwrap()),
    });
    let training = Training::default();
    let graph = with_gradients(|graph| classification_loss(graph, &model, size, DType::F32, training));
    assert_slope(&format!("{family}, {problem}"), &model, &graph, &inputs);
}

#[test]
fn classifiers_have_the_gradients_of_their_losses() {
    for family in ["bert", "gpt2", "longformer"] {
        for problem in ["single_label_classification", "multi_label_classification", "regression"] {
            slope_is_the_gradient(family, problem);
        }
    }
}

/// A batch of texts, padded to 6 tokens, has the loss of what an encoder says of each text alone.
fn assert_judged_alike(model: &Model, items: &[Item<'_>], labels: &[i32]) {
    let count = items.len();
    let mut inputs = padded_inputs(model, items, 6).unwrap();
    inputs.push(("ends", result_rows(model, items, 6).unwrap()));
    inputs.push(("labels", HostTensor::i32([count], labels.to_vec()).unwrap()));
    let mut graph = Graph::new();
    let loss = classification_loss(&mut graph, model, [count, 6], DType::F32, Training::default()).unwrap();
    graph.output("loss", loss).unwrap();
    let graph = Arc::new(graph);
    let weights = Weights::random(model.declarations(), DType::F32, 3).unwrap();
    for device in [gpu(), Device::Cpu] {
        let found = outputs_of(&device, &graph, weights.iter(), &named(&inputs))["loss"].to_f64()[0];
        let store = Store::upload(&device, weights.iter()).unwrap();
        let mut encoder = Encoder::with_store(model, &store, DType::F32).unwrap();
        let losses = items.iter().zip(labels).map(|(item, &label)| {
            let scores = encoder.run_first(&[*item]).unwrap()[0].to_f64();
            scores.iter().map(|x| x.exp()).sum::<f64>().ln() - scores[label as usize]
        });
        let expected = losses.sum::<f64>() / count as f64;
        assert!((found - expected).abs() < 1e-5, "{}: {found} for {expected}", model.facts().architecture);
    }
}

/// Padding, places, types and global tokens change nothing.
#[test]
fn a_padded_batch_is_judged_as_texts_of_their_own_lengths() {
    for family in ["bert", "gpt2", "longformer"] {
        let types: &[u32] = if family == "bert" { &[0, 1, 1] } else { &[] };
        let items =
            [Item { types, ..Item::new(&[1, 2, 3]) }, Item::new(&[4, 5, 6, 7, 8]), Item::new(&[9, 10])];
        assert_judged_alike(&classifier(family, "single_label_classification"), &items, &[2, 0, 1]);
    }
}

/// A Nyströmformer's texts are filled up to one length, and its iterations start from one number for a batch.
#[test]
fn what_depends_on_padding_is_trained_with_the_padding_it_is_run_with() {
    let config = json!({"model_type": "nystromformer", "num_labels": 3, "vocab_size": 11, "hidden_size": 8,
        "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 20,
        "pad_token_id": 1, "segment_means_seq_len": 16, "num_landmarks": 4, "conv_kernel_size": 5});
    let fields = Fields::new("config.json", config).unwrap();
    let model = Model::from_config(&fields, Task::Classify).unwrap();
    for (ids, label) in [(&[1, 2, 3][..], 2), (&[4, 5, 6, 7, 8, 9], 0)] {
        assert_judged_alike(&model, &[Item::new(ids)], &[label]);
    }
    let model = Model::from_config(&fields, Task::Logits).unwrap();
    let texts = [vec![2, 4, 6], vec![5, 7]].map(|ids| Masked { ids, places: vec![1], targets: vec![3] });
    let inputs = masked_inputs(&model, &texts, [3, 2]).unwrap();
    let rows = inputs.iter().find(|(name, _)| *name == "rows").unwrap();
    assert_eq!(rows.1.to_f64(), [1.0, 17.0]);
    let mut graph = Graph::new();
    masked_words_loss(&mut graph, &model, [2, 3], 2, DType::F32, Training::default()).unwrap();
    let ids = graph.inputs().iter().find(|(name, _)| name == "ids").unwrap().1;
    assert_eq!(graph.desc(ids).unwrap().shape.dims(), inputs[0].1.shape().dims());
}

#[test]
fn labels_count_as_their_kind_has_it() {
    // With all weights 0 all scores are 0: ln 3, ln 2, and the mean square of the labels.
    for (problem, expected) in [
        ("single_label_classification", 3f64.ln()),
        ("multi_label_classification", 2f64.ln()),
        ("regression", (1.0 + 1.0 + 1.0 + 1.0 + 0.25) / 9.0),
    ] {
        let model = classifier("bert", problem);
        let items = [Item::new(&[1]), Item::new(&[2]), Item::new(&[3])];
        let mut inputs = padded_inputs(&model, &items, 1).unwrap();
        inputs.push(("ends", result_rows(&model, &items, 1).unwrap()));
        inputs.push(match problem {
            "single_label_classification" => ("labels", HostTensor::i32([3], vec![2, 0, 1]).unwrap()),
            _ => (
                "labels",
                HostTensor::f32([3, 3], vec![1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.5, 0.0]).unwrap(),
            ),
        });
        let mut graph = Graph::new();
        let loss = classification_loss(&mut graph, &model, [3, 1], DType::F32, Training::default()).unwrap();
        graph.output("loss", loss).unwrap();
        let zeros = model.declarations().list().iter().map(|weight| {
            let zeros = vec![0.0; weight.shape.elements()];
            Ok((weight.name.clone(), HostTensor::f32(weight.shape.clone(), zeros)?))
        });
        let found = outputs_of(&Device::Cpu, &graph.into(), zeros, &named(&inputs))["loss"].to_f64()[0];
        assert!((found - expected).abs() < 1e-6, "{problem}: {found} for {expected}");
    }
}

#[test]
fn what_a_loss_is_not_for_is_refused() {
    let model = classifier("bert", "single_label_classification");
    let mut graph = Graph::new();
    let long = classification_loss(&mut graph, &model, [1, 7], DType::F32, Training::default()).unwrap_err();
    assert!(long.to_string().contains("at most 6 tokens, found 7"), "{long}");
    let mut graph = Graph::new();
    let other =
        masked_words_loss(&mut graph, &model, [1, 6], 2, DType::F32, Training::default()).unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Argument);
    let items = [Item::new(&[1, 2])];
    assert!(padded_inputs(&model, &items, 1).is_err());
    assert!(padded_inputs(&model, &[Item::new(&[])], 4).is_err());
    assert!(padded_inputs(&model, &[Item { types: &[0], ..items[0] }], 4).is_err());
    let text = Masked { ids: vec![1, 2], places: vec![0, 1], targets: vec![3, 4] };
    assert!(masked_inputs(&model, &[text], [4, 1]).is_err());
    let dropped = Training { dropout: 0.5, ..Training::default() };
    let mut graph = Graph::new();
    assert!(classification_loss(&mut graph, &model, [1, 6], DType::F32, dropped).is_err());
    let prepared = Mode::Train.prepare(&mut graph, dropped).unwrap();
    assert!(prepared.step.is_some());
    assert_eq!(Mode::Evaluate.prepare(&mut graph, dropped).unwrap().dropout, 0.0);
}

/// Without global tokens a Longformer's projections for them have no influence: they stay, and the loss is learnt by the others.
#[test]
fn masked_words_are_learnt_without_global_tokens() {
    let config = json!({"model_type": "longformer", "vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 2,
        "num_attention_heads": 2, "pad_token_id": 1, "intermediate_size": 8, "max_position_embeddings": 12,
        "attention_window": 2});
    let model = Model::from_config(&Fields::new("config.json", config).unwrap(), Task::Logits).unwrap();
    let text = Masked { ids: vec![2, 4, 6, 10, 3], places: vec![2, 3], targets: vec![5, 7] };
    let inputs = masked_inputs(&model, &[text], [6, 2]).unwrap();
    let weights = Weights::random(model.declarations(), DType::F32, 3).unwrap();
    let weights = weights.iter().collect::<Result<_>>().unwrap();
    let loss = |graph: &mut Graph, mode: Mode| {
        let training = mode.prepare(graph, Training::default())?;
        masked_words_loss(graph, &model, [1, 6], 2, DType::F32, training)
    };
    let settings = Settings::new(Optimizer::AdamW(AdamW::default()), Schedule::constant(0.05));
    for device in [gpu(), Device::Cpu] {
        let (start, description) = (Start::Weights(&weights), Description::default());
        let mut trainer =
            Trainer::new(&device, model.declarations(), &loss, start, description, settings).unwrap();
        let is_global = |name: &&String| name.contains("_global.");
        // Six tensors a layer.
        assert_eq!(
            (trainer.unused().len(), trainer.unused().iter().all(|name| is_global(&name))),
            (12, true)
        );
        let first = trainer.step(&[&named(&inputs)]).unwrap().loss;
        for _ in 0..60 {
            trainer.step(&[&named(&inputs)]).unwrap();
        }
        let last = trainer.evaluate(&named(&inputs)).unwrap();
        assert!(last < 0.5 * first, "{last} after {first}");
        for (name, before) in &weights {
            assert_eq!(trainer.read(name).unwrap() == *before, is_global(&name), "{name}");
        }
    }
}
