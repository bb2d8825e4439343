//! Word and character error rates of a model on a folder of recordings in white noise, by the level of the noise:
//!
//! ```text
//! sh examples/fetch-speech.sh
//! foveate train ctc target/data/austen --out austen
//! cargo run --example speech_in_noise -- austen target/data/austen
//! ```

use std::path::PathBuf;

use foveate::gpu::{AdapterRequest, Context};
use foveate::models::{Model, SoundEncoder, Task};
use foveate::processing::sound::{RecognitionErrors, SoundReader, Symbols, greedy, recordings};
use foveate::runtime::Device;
use foveate::{DType, Random};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Decibels between the speech and the noise; none for no noise.
const RATIOS: [Option<f64>; 6] = [None, Some(30.0), Some(20.0), Some(10.0), Some(5.0), Some(0.0)];

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let (Some(folder), Some(folder_of_speech)) = (arguments.next(), arguments.next()) else {
        return Err("expected a model's folder and a folder of recordings".into());
    };
    let model = Model::open(&folder, Task::Transcribe)?;
    let symbols = Symbols::open(&folder, model.facts().vocab_size)?;
    let reader = SoundReader::open(&folder, &model)?;
    let device = Context::headless(&AdapterRequest::Any).map_or(Device::Cpu, Device::Gpu);
    let mut encoder = SoundEncoder::new(&model, &model.load(DType::F32)?, &device)?;
    let speech = recordings(&folder_of_speech, reader.frames().rate as u32)?;
    println!("| noise, dB below the speech | word error rate | character error rate |\n|---|---|---|");
    for ratio in RATIOS {
        let mut random = Random::new(7);
        let sounds: Vec<Vec<f32>> =
            speech.iter().map(|said| reader.read(&in_noise(&said.samples, ratio, &mut random))).collect();
        let mut wrong = RecognitionErrors::default();
        for (scores, said) in encoder.run(&sounds)?.iter().zip(&speech) {
            let pieces = greedy(&scores.to_f32(), symbols.count(), symbols.blank())?;
            wrong = wrong.and(RecognitionErrors::of(&said.text, &symbols.text(&pieces, 1.0).text));
        }
        let ratio = ratio.map_or("none".to_owned(), |ratio| ratio.to_string());
        let (words, letters) = (wrong.word_error_rate(), wrong.character_error_rate());
        println!("| {ratio} | {words:.3} | {letters:.3} |");
    }
    Ok(())
}

/// The samples with white noise whose power is so many decibels below theirs.
fn in_noise(samples: &[f32], ratio: Option<f64>, random: &mut Random) -> Vec<f32> {
    let Some(ratio) = ratio else { return samples.to_vec() };
    let power = samples.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / samples.len().max(1) as f64;
    let deviation = (power * 10f64.powf(-ratio / 10.0)).sqrt() as f32;
    samples.iter().map(|sample| sample + deviation * random.next_normal()).collect()
}
