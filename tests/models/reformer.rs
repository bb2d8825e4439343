//! Trainings of Reformers: memory flat in depth but for buckets, which the backward pass takes as they are.

use foveate::models::{Model, Task};
use foveate::nn::Training;
use foveate::train::language_loss;
use foveate::weights::Fields;
use foveate::{Caps, DType, Graph, Plan};
use serde_json::json;

const BATCH: usize = 2;
const TIME: usize = 96;
const WIDTH: usize = 32;
const HEADS: usize = 2;
const ROUNDS: usize = 2;

/// A step on so many layers: the loss, and gradients of all weights.
fn step(layers: usize) -> Graph {
    let config = json!({
        "model_type": "reformer", "vocab_size": 31, "hidden_size": WIDTH, "num_attention_heads": HEADS, "attention_head_size": 16,
        "attn_layers": vec!["lsh"; layers], "lsh_attn_chunk_length": 8, "num_buckets": 24, "num_hashes": ROUNDS, "hash_seed": 1,
        "feed_forward_size": 64, "chunk_size_feed_forward": 32, "axial_pos_embds": false, "max_position_embeddings": TIME,
        "is_decoder": true,
    });
    let model = Model::from_config(&Fields::new("config.json", config).unwrap(), Task::Logits).unwrap();
    let mut graph = Graph::new();
    let loss = language_loss(&mut graph, &model, [BATCH, TIME], DType::F32, Training::default()).unwrap();
    let (names, weights): (Vec<_>, Vec<_>) = graph.parameters().iter().cloned().unzip();
    let gradients = graph.gradients(loss, &weights).unwrap();
    for (name, gradient) in names.iter().zip(gradients) {
        graph.output(&format!("gradient of {name}"), gradient).unwrap();
    }
    graph
}

#[test]
fn a_step_on_twelve_layers_takes_the_memory_of_three_and_their_buckets() {
    let caps = Caps::webgpu_default();
    let memory = [3, 6, 12].map(|layers| *Plan::new(&step(layers), &caps).unwrap().memory());
    println!("{memory:?}");
    let of_weights = memory.map(|memory| memory.parameters);
    assert!(of_weights[2] > 3 * of_weights[0], "{of_weights:?}");
    let working = memory.map(|memory| memory.working);
    // One number for each position, head and round.
    let buckets = (BATCH * HEADS * ROUNDS * TIME * 4) as u64;
    let stream = (BATCH * TIME * WIDTH * 4) as u64;
    assert!(working[0] > 4 * stream, "{working:?}");
    for (at, layers) in [(1, 3), (2, 9)] {
        let more = working[at].saturating_sub(working[0]);
        assert!(more <= layers * (buckets + 256), "{more} more for {layers} layers: {working:?}");
    }
}

#[test]
fn the_backward_pass_takes_the_buckets_of_the_forward_pass() {
    let graph = step(3);
    let count = |op: &str| graph.steps().iter().filter(|step| step.op_name() == op).count();
    assert_eq!(count("index/rotation_buckets"), 3);
    // While attention itself is computed again.
    assert_eq!(count("attention/indexed"), 6);
}
