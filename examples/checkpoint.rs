//! Predicts masked words with a trained model from its folder: `foveate::guide::checkpoints`. Without a folder, a small
//! model of antibodies from a clone's fixtures.
//!
//! ```text
//! cargo run --release --example checkpoint [folder text]
//! ```

use foveate::DType;
use foveate::gpu::{AdapterRequest, Context};
use foveate::models::{Encoder, Model, Task};
use foveate::runtime::Device;
use foveate::tokenize::Tokenizer;

fn main() -> foveate::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| "tests/fixtures/checkpoints/roberta-sapiens".into());
    let text = arguments.next().unwrap_or_else(|| "QVQLVQSGVEVKKPGASVKVSCKAS<mask>YTFTNYYMYWVRQAPGQ".into());

    let model = Model::open(&folder, Task::Logits)?;
    println!("{:?}", model.facts());
    let device = Context::headless(&AdapterRequest::Any).map_or(Device::Cpu, Device::Gpu);
    let mut encoder = Encoder::new(&model, &model.load(DType::F32)?, &device)?;
    let tokenizer = Tokenizer::open(&folder)?;
    let ids = tokenizer.encode(&text)?;
    println!("{}: {} tokens", device.describe(), ids.len());
    let masks: Vec<usize> = (0..ids.len()).filter(|&at| Some(ids[at]) == tokenizer.mask_id()).collect();
    let scores = encoder.run_at(&[&ids], std::slice::from_ref(&masks))?.remove(0).to_f32();
    for (place, scores) in masks.iter().zip(scores.chunks(model.facts().vocab_size)) {
        let best = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap_or(0);
        println!("token {place}: {}", tokenizer.decode(&[best as u32])?);
    }
    Ok(())
}
