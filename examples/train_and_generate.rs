//! Trains a small language model on a text, and generates text with it: `foveate::guide::training` and `foveate::guide::generation`.
//!
//! ```text
//! cargo run --release --example train_and_generate [text file]
//! ```

use foveate::generate::{Generator, Options};
use foveate::gpu::{AdapterRequest, Context};
use foveate::models::LanguageModelConfig;
use foveate::ops::optimizer::AdamW;
use foveate::runtime::Device;
use foveate::train::{
    BYTES, ByteText, Description, Mode, Optimizer, Schedule, Settings, Start, Trainer, language_loss,
};
use foveate::{DType, Graph, Result};

/// Sequences of a batch, and their length in bytes.
const SIZE: [usize; 2] = [8, 32];

const STEPS: u64 = 240;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let bytes = match std::env::args().nth(1) {
        Some(path) => std::fs::read(path)?,
        None => "the whale is white and the sea is wide. ".repeat(100).into_bytes(),
    };
    let text = ByteText::new(bytes, SIZE[1], 0.0)?;
    let model = LanguageModelConfig {
        vocab_size: BYTES,
        width: 64,
        layers: 2,
        feed_forward: 128,
        length: SIZE[1],
        ..LanguageModelConfig::default()
    };
    let (config, model) = (model.clone(), model.model()?);
    let loss = |graph: &mut Graph, mode: Mode| -> Result<_> {
        let training = mode.prepare(graph, Default::default())?;
        language_loss(graph, &model, SIZE, DType::F32, training)
    };
    let device = Context::headless(&AdapterRequest::Any).map_or(Device::Cpu, Device::Gpu);
    println!("{}", device.describe());
    let weights = config.initial_weights(model.declarations(), 1).collect::<Result<_>>()?;
    let settings = Settings::new(Optimizer::AdamW(AdamW::default()), Schedule::constant(0.004));
    let start = Start::Weights(&weights);
    let mut trainer =
        Trainer::new(&device, model.declarations(), &loss, start, Description::default(), settings)?;
    for step in 0..STEPS {
        let batch = text.batch(SIZE[0], 1, step)?;
        let report = trainer.step(&[&batch.named()])?;
        if report.step % 60 == 0 {
            println!("step {}: {:.3} nats a byte", report.step, report.loss);
        }
    }

    // The weights of the training, where they are.
    let mut generator = Generator::with_store(&model, DType::F32, trainer.weights())?;
    let prompt: Vec<u32> = b"the whale".iter().map(|&byte| u32::from(byte)).collect();
    let added = generator.generate(&[prompt], &Options::new(20), |_, _| true)?;
    let added: Vec<u8> = added[0].iter().map(|&id| id as u8).collect();
    println!("the whale{}", String::from_utf8_lossy(&added));
    Ok(())
}
