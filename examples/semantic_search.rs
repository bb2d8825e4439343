//! Semantic search: embeds the paragraphs of a text file once, then prints those nearest in meaning to each query.
//!
//! ```sh
//! sh tests/fetch-minilm.sh
//! cargo run --release --example semantic_search -- target/checkpoints/all-minilm-l6-v2 README.md "a vow of revenge"
//! ```

use std::error::Error;

use foveate::gpu::{AdapterRequest, Context};
use foveate::models::{Encoder, Model, Task};
use foveate::runtime::Device;
use foveate::tokenize::Tokenizer;
use foveate::{DType, ErrorKind, Result};

/// A sentence encoder that takes text.
pub struct Embedder {
    tokenizer: Tokenizer,
    encoder: Encoder,
}

impl Embedder {
    /// Loads a checkpoint folder onto a device.
    pub fn open(folder: &str, device: &Device) -> Result<Self> {
        let model = Model::open(folder, Task::Embed)?;
        let encoder = Encoder::new(&model, &model.load(DType::F32)?, device)?;
        Ok(Self { tokenizer: Tokenizer::open(folder)?, encoder })
    }

    /// One vector of length 1 for each text. Of a text longer than the model takes, the beginning counts.
    pub fn embed(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let most = self.encoder.model().facts().max_tokens;
        let ids = texts
            .iter()
            .map(|text| self.tokenizer.encode_truncated(text, most))
            .collect::<Result<Vec<_>>>()?;
        Ok(self.encoder.run(&ids)?.iter().map(|embedding| embedding.to_f32()).collect())
    }
}

/// Passages with their embeddings.
pub struct Index<'t> {
    passages: Vec<&'t str>,
    embeddings: Vec<Vec<f32>>,
}

impl<'t> Index<'t> {
    /// Embeds the paragraphs of `text`, which blank lines part.
    pub fn new(embedder: &mut Embedder, text: &'t str) -> Result<Self> {
        let passages: Vec<&str> =
            text.split("\n\n").map(str::trim).filter(|passage| !passage.is_empty()).collect();
        let embeddings = embedder.embed(&passages)?;
        Ok(Self { passages, embeddings })
    }

    /// The `count` passages nearest to `query`, nearest first, each with the cosine of the angle between them.
    pub fn search(&self, embedder: &mut Embedder, query: &str, count: usize) -> Result<Vec<(f32, &'t str)>> {
        let query = &embedder.embed(&[query])?[0];
        let cosine = |embedding: &Vec<f32>| embedding.iter().zip(query).map(|(x, y)| x * y).sum();
        let mut found: Vec<(f32, &str)> =
            self.embeddings.iter().map(cosine).zip(self.passages.iter().copied()).collect();
        found.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        found.truncate(count);
        Ok(found)
    }
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, file, queries @ ..] = &arguments[..] else {
        return Err("usage: semantic_search <checkpoint folder> <text file> <query>..".into());
    };
    // The best adapter, or the CPU references where there is none.
    let device = match Context::headless(&AdapterRequest::Any) {
        Ok(context) => Device::Gpu(context),
        Err(error) if error.kind() == ErrorKind::NoAdapter => Device::Cpu,
        Err(error) => return Err(error.into()),
    };
    // Paragraphs end alike on every system.
    let text = std::fs::read_to_string(file)?.replace("\r\n", "\n");
    let mut embedder = Embedder::open(folder, &device)?;
    let index = Index::new(&mut embedder, &text)?;
    eprintln!("{} passages, {:.1?}", index.passages.len(), embedder.encoder.usage().running);
    for query in queries {
        println!("{query}");
        for (cosine, passage) in index.search(&mut embedder, query, 3)? {
            println!("  {cosine:.3}  {passage}");
        }
    }
    Ok(())
}
