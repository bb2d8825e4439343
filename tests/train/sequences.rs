//! The loss of encoder-decoders: PyTorch's gradients, differences, shifted targets, and padding that changes nothing.

use std::path::PathBuf;
use std::sync::Arc;

use foveate::models::{Model, Task};
use foveate::nn::Training;
use foveate::runtime::Device;
use foveate::train::{Inputs, language_loss, seq2seq_inputs, seq2seq_loss};
use foveate::weights::{Checkpoint, Fields, Weights};
use foveate::{DType, ErrorKind, Graph, HostTensor};
use serde_json::json;

use crate::support::{assert_gradients, assert_slope, gpu, named, outputs_of, tensor, with_gradients};

#[test]
fn texts_about_texts_have_the_gradients_of_the_other_implementation() {
    let oracle = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oracles/models/t5-relu");
    let model = Model::open(&oracle, Task::Logits).unwrap();
    let [io, expected] =
        ["io", "grad"].map(|file| Checkpoint::open(oracle.join(format!("{file}.safetensors"))).unwrap());
    let [source, mask, ids, labels] = ["input_ids", "attention_mask", "decoder_input_ids", "labels"]
        .map(|name| tensor(&io, &format!("in.{name}")));
    let [batch, source_time] = *source.shape().dims() else { panic!("a batch") };
    let time = ids.shape().dims()[1];
    let lengths = mask.to_f64().chunks(source_time).map(|row| row.iter().sum::<f64>() as i32).collect();
    let positions = (0..batch * source_time).map(|at| (at % source_time) as i32).collect();
    let inputs: Inputs = vec![
        ("source_ids", source),
        ("source_positions", HostTensor::i32([batch, source_time], positions).unwrap()),
        ("source_lengths", HostTensor::i32([batch], lengths).unwrap()),
        ("ids", ids),
        ("targets", labels),
    ];
    for recompute in [0, 1] {
        let training = Training { recompute, ..Training::default() };
        let size = [batch, source_time, time];
        let graph = with_gradients(|graph| seq2seq_loss(graph, &model, size, DType::F32, training));
        for device in [gpu(), Device::Cpu] {
            let weights = model.load(DType::F32).unwrap();
            let outputs = outputs_of(&device, &graph, weights.iter(), &named(&inputs));
            assert_eq!(outputs.len(), 1 + model.declarations().list().len());
            assert_gradients(&outputs, &expected, |_| false);
        }
    }
}

/// A small T5 whose texts begin with token 3.
fn t5() -> Model {
    let config = json!({"model_type": "t5", "vocab_size": 13, "d_model": 8, "d_kv": 4, "d_ff": 12, "num_layers": 1,
        "num_heads": 2, "feed_forward_proj": "gated-gelu", "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 12, "decoder_start_token_id": 3, "tie_word_embeddings": false});
    Model::from_config(&Fields::new("config.json", config).unwrap(), Task::Logits).unwrap()
}

const PAIRS: [[&[u32]; 2]; 3] =
    [[&[4, 5, 6, 1], &[7, 8, 1]], [&[9, 1], &[10, 11, 12, 7, 1]], [&[5, 5, 1], &[1]]];

#[test]
fn the_loss_follows_its_gradient() {
    let (model, size) = (t5(), [4, 5, 6]);
    let inputs = seq2seq_inputs(&model, &PAIRS, size).unwrap();
    let graph = with_gradients(|graph| seq2seq_loss(graph, &model, size, DType::F32, Training::default()));
    assert_slope("t5", &model, &graph, &inputs);
}

#[test]
fn targets_are_shifted_behind_the_start_token() {
    let inputs = seq2seq_inputs(&t5(), &PAIRS[..2], [3, 4, 5]).unwrap();
    let of = |name: &str| -> Vec<i32> {
        let (_, tensor) = inputs.iter().find(|(known, _)| *known == name).unwrap();
        tensor.to_f64().into_iter().map(|x| x as i32).collect()
    };
    assert_eq!(of("ids"), [3, 7, 8, 0, 0, 3, 10, 11, 12, 7, 0, 0, 0, 0, 0]);
    assert_eq!(of("targets"), [7, 8, 1, -100, -100, 10, 11, 12, 7, 1, -100, -100, -100, -100, -100]);
    assert_eq!(of("source_ids"), [4, 5, 6, 1, 9, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(of("source_lengths"), [4, 2, 1]);
}

#[test]
fn padding_and_missing_pairs_change_no_loss() {
    let model = t5();
    let weights = Weights::random(model.declarations(), DType::F32, 3).unwrap();
    for device in [gpu(), Device::Cpu] {
        let loss = |pairs: &[[&[u32]; 2]], size: [usize; 3]| {
            let mut graph = Graph::new();
            let loss = seq2seq_loss(&mut graph, &model, size, DType::F32, Training::default()).unwrap();
            graph.output("loss", loss).unwrap();
            let inputs = seq2seq_inputs(&model, pairs, size).unwrap();
            outputs_of(&device, &Arc::new(graph), weights.iter(), &named(&inputs))["loss"].to_f64()[0]
        };
        // Each alone, weighed by its targets.
        let alone = PAIRS.iter().map(|pair| {
            let [source, target] = pair.map(<[u32]>::len);
            target as f64 * loss(&[*pair], [1, source, target])
        });
        let expected = alone.sum::<f64>() / 9.0;
        for size in [[3, 4, 5], [5, 9, 11]] {
            let found = loss(&PAIRS, size);
            assert!((found - expected).abs() < 1e-5, "{size:?}: {found} for {expected}");
        }
    }
}

#[test]
fn what_the_loss_is_not_for_is_refused() {
    let model = t5();
    let refused = |pairs: &[[&[u32]; 2]], size| seq2seq_inputs(&model, pairs, size).unwrap_err().to_string();
    assert_eq!(refused(&PAIRS, [2, 4, 5]), "batch: pairs: expected at most 2, found 3");
    assert_eq!(refused(&PAIRS, [3, 3, 5]), "batch: source 0: expected 1 to 3 tokens, found 4");
    assert_eq!(refused(&PAIRS, [3, 4, 4]), "batch: target 1: expected 1 to 4 tokens, found 5");
    assert_eq!(refused(&[[&[1], &[]]], [3, 4, 4]), "batch: target 0: expected 1 to 4 tokens, found 0");
    let error =
        language_loss(&mut Graph::new(), &model, [1, 4], DType::F32, Training::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(
        error.to_string(),
        "t5: training: expected a model that reads one text, found an encoder-decoder"
    );
    let config = json!({"model_type": "gpt2", "vocab_size": 13, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 6});
    let gpt2 = Model::from_config(&Fields::new("config.json", config).unwrap(), Task::Logits).unwrap();
    let error =
        seq2seq_loss(&mut Graph::new(), &gpt2, [1, 4, 4], DType::F32, Training::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "gpt2: training: expected an encoder-decoder, found a model that reads one text"
    );
}
