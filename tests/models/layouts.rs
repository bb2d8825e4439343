//! Batches of padded sequences, and of sequences of one length: the same results as packed ones, and as each sequence alone.

use foveate::models::{Encoder, Input, Item, Model, Task};
use foveate::nn::LayoutKind;
use foveate::runtime::{Device, Outputs};
use foveate::weights::{Fields, Weights};
use foveate::{DType, ErrorKind, HostTensor};
use serde_json::{Value, json};

use crate::support::{devices, relative_error};

const LAYOUTS: [LayoutKind; 3] = [LayoutKind::Packed, LayoutKind::Padded, LayoutKind::Rows];

/// Sequences of several buckets, two lengths of them twice.
fn sequences() -> Vec<Vec<u32>> {
    let lengths = [11, 2, 33, 17, 1, 17, 40, 11, 16];
    let ids = |(number, length): (usize, usize)| {
        (0..length).map(|at| (2 + (at * 7 + number * 3) % 10) as u32).collect()
    };
    lengths.into_iter().enumerate().map(ids).collect()
}

/// A small model that reads up to 40 tokens.
fn model(family: &str, task: Task) -> Model {
    let config = json!({
        "model_type": family, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 24, "vocab_size": 12, "max_position_embeddings": if family == "roberta" { 42 } else { 40 },
        "attention_window": 6, "relative_attention": true, "position_biased_input": false, "pos_att_type": "c2p|p2c",
        "max_relative_positions": 10, "position_buckets": 6, "conv_kernel_size": 3, "conv_act": "gelu",
        "type_vocab_size": 2, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 40, "pad_token_id": 1,
        "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2, "num_labels": 3,
        "embedding_size": 16,
    });
    let config = match family {
        "bert" => with(config, "position_embedding_type", "relative_key".into()),
        "longformer" => with(config, "max_position_embeddings", 42.into()),
        _ => config,
    };
    Model::from_config(&Fields::new("config.json", config).unwrap(), task).unwrap()
}

fn with(mut config: Value, name: &str, value: Value) -> Value {
    config[name] = value;
    config
}

/// What the encoder gives of every sequence, hidden states too.
fn outputs(model: &Model, device: &Device, layout: LayoutKind, items: &[Item<'_>]) -> Vec<Outputs> {
    let weights = Weights::random(model.declarations(), DType::F32, 3).unwrap();
    let encoder = Encoder::new(model, &weights, device).unwrap().with_layout(layout).unwrap();
    let mut encoder = encoder.with_hidden().batch_tokens(100);
    let outputs = encoder.run_items(items).unwrap();
    let usage = encoder.usage();
    assert_eq!((usage.sequences, usage.tokens), (items.len(), items.iter().map(|item| item.ids.len()).sum()));
    // A bucket or a length takes a batch at least, and what exceeds 100 tokens another.
    let least = match layout {
        LayoutKind::Packed => 2,
        LayoutKind::Padded => 3,
        _ => 7,
    };
    assert!(items.len() == 1 || usage.batches >= least, "{layout:?}: {}", usage.batches);
    outputs
}

fn largest_error(found: &Outputs, expected: &Outputs) -> f64 {
    assert!(found.keys().eq(expected.keys()));
    let error = |(name, tensor): (&String, &HostTensor)| relative_error(tensor, &expected[name]);
    found.iter().map(error).fold(0.0, f64::max)
}

fn layouts_agree(family: &str, task: Task) {
    let (model, sequences) = (model(family, task), sequences());
    let signature = model.network().signature();
    let wanted: Vec<Vec<usize>> = sequences.iter().map(|ids| (0..ids.len()).step_by(3).collect()).collect();
    let types: Vec<Vec<u32>> =
        sequences.iter().map(|ids| (0..ids.len()).map(|at| u32::from(at > 4)).collect()).collect();
    let items: Vec<Item<'_>> = (0..sequences.len())
        .map(|number| Item {
            types: if signature.reads(Input::Types) && number % 2 == 0 { &types[number] } else { &[] },
            // Of some sequences the task's own.
            globals: (signature.reads(Input::Globals) && number % 3 == 0).then_some(&[0]),
            wanted: (task == Task::Logits).then_some(&wanted[number]),
            ..Item::new(&sequences[number])
        })
        .collect();
    for (name, device) in devices() {
        let alone: Vec<Outputs> =
            items.iter().map(|item| outputs(&model, &device, LayoutKind::Rows, &[*item]).remove(0)).collect();
        for layout in LAYOUTS {
            let together = outputs(&model, &device, layout, &items);
            let errors = together.iter().zip(&alone).map(|(found, expected)| largest_error(found, expected));
            let worst = errors.fold(0.0, f64::max);
            println!("{family}, {task:?}, {layout:?} on {name}: {worst:.1e}");
            assert!(worst <= 1e-6, "{family}, {task:?}, {layout:?} on {name}: {worst:.1e}");
        }
    }
}

#[test]
fn hidden_states_are_the_same_in_all_layouts() {
    for family in
        ["bert", "roberta", "albert", "longformer", "deberta", "deberta-v2", "gpt2", "t5", "squeezebert"]
    {
        layouts_agree(family, Task::Hidden);
    }
}

#[test]
fn embeddings_are_the_same_in_all_layouts() {
    for family in ["deberta-v2", "gpt2"] {
        layouts_agree(family, Task::Embed);
    }
}

#[test]
fn results_of_tasks_are_the_same_in_all_layouts() {
    for (family, task) in [
        ("longformer", Task::Classify),
        ("gpt2", Task::Classify),
        ("deberta", Task::Logits),
        ("bert", Task::Pretrain),
        ("longformer", Task::Logits),
    ] {
        layouts_agree(family, task);
    }
}

#[test]
fn layouts_that_are_no_batches_of_texts_are_refused() {
    let model = model("bert", Task::Hidden);
    let weights = Weights::random(model.declarations(), DType::F32, 3).unwrap();
    for (layout, name) in [
        (LayoutKind::Cached, "streams with caches"),
        (LayoutKind::Recurrent, "segments of streams"),
        (LayoutKind::Stateful, "streams with states of a fixed size"),
    ] {
        let error = Encoder::new(&model, &weights, &Device::Cpu).unwrap().with_layout(layout).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let expected = "packed texts, padded texts, whole rows";
        assert_eq!(error.to_string(), format!("encoder: layout: expected {expected}, found {name}"));
    }
}
