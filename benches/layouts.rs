//! Encoders on texts of many lengths, in the three layouts of a batch, in turn: packed one behind another, padded to a few lengths, and
//! each length alone. `cargo bench --bench layouts`, or with the most tokens of a batch behind `--`; weights are random, so no checkpoint is needed.

use std::time::Instant;

use foveate::DType;
use foveate::gpu::{AdapterRequest, Context};
use foveate::models::{Encoder, Model, Task};
use foveate::nn::LayoutKind;
use foveate::runtime::Device;
use foveate::weights::{Fields, Weights};

const LAYOUTS: [LayoutKind; 3] = [LayoutKind::Packed, LayoutKind::Padded, LayoutKind::Rows];

/// Texts, and tokens of the shortest and of the longest.
const TEXTS: usize = 48;
const LENGTHS: [usize; 2] = [8, 128];

/// Rounds, of which the median counts.
const ROUNDS: usize = 5;

fn main() {
    let context = Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}"));
    println!("{}", context.describe());
    let batch_tokens = std::env::args().skip(1).find_map(|arg| arg.parse().ok());
    for family in ["bert", "deberta-v2", "t5"] {
        let config = serde_json::json!({
            "model_type": family, "vocab_size": 1000, "hidden_size": 192, "num_hidden_layers": 3,
            "num_attention_heads": 6, "intermediate_size": 768, "max_position_embeddings": 512,
            "relative_attention": true, "position_biased_input": false, "pos_att_type": "c2p|p2c",
            "position_buckets": 64, "max_relative_positions": 512, "d_model": 192, "d_kv": 32, "d_ff": 768,
            "num_layers": 3, "num_heads": 6,
        });
        let fields = Fields::new("config", config).expect("an object");
        let model = Model::from_config(&fields, Task::Hidden).expect("a sound configuration");
        time(&Device::Gpu(context.clone()), &model, batch_tokens);
    }
}

/// Runs the texts in every layout in turn, and prints the medians.
fn time(device: &Device, model: &Model, batch_tokens: Option<usize>) {
    let [shortest, longest] = LENGTHS;
    let texts: Vec<Vec<u32>> = (0..TEXTS)
        .map(|number| {
            let length = shortest + number * 37 % (longest + 1 - shortest);
            (0..length).map(|at| ((at * 7919 + number) % 1000) as u32).collect()
        })
        .collect();
    let weights = Weights::random(model.declarations(), DType::F32, 0).expect("a float");
    let mut encoders = LAYOUTS.map(|layout| {
        let encoder = Encoder::new(model, &weights, device).expect("the weights fit");
        let encoder = encoder.with_layout(layout).expect("all three");
        match batch_tokens {
            Some(tokens) => encoder.batch_tokens(tokens),
            None => encoder,
        }
    });
    let mut times = vec![Vec::new(); LAYOUTS.len()];
    for round in 0..=ROUNDS {
        for (encoder, times) in encoders.iter_mut().zip(&mut times) {
            let (start, prepared) = (Instant::now(), encoder.usage().preparing);
            encoder.run(&texts).expect("they run");
            let took = start.elapsed() - (encoder.usage().preparing - prepared);
            // The first round makes programs.
            if round > 0 {
                times.push(took.as_secs_f64());
            }
        }
    }
    let packed = median(&times[0]);
    for ((layout, times), encoder) in LAYOUTS.iter().zip(&times).zip(&encoders) {
        let (time, batches) = (median(times), encoder.usage().batches / (ROUNDS + 1));
        println!(
            "{:10}  {:16}  {:8.1} ms  {:.2} of packed  {batches} batches",
            model.facts().architecture,
            layout.name(),
            1e3 * time,
            time / packed
        );
    }
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
