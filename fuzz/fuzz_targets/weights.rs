//! Readers of files that are not trusted: whatever the bytes, an answer or a typed error, in bounded memory.
//!
//! The first byte picks the reader, the rest is the file.
#![no_main]

use foveate::models::{Model, Task};
use foveate::tokenize::Tokenizer;
use foveate::weights::{Checkpoint, Declarations, Fields, parse_json};
use foveate::{DType, Error, ErrorKind};
use libfuzzer_sys::fuzz_target;

const TEXTS: [&str; 4] = ["", "Unable [MASK], CC(=O)Cl <mask>?", "ä€🦀\u{0} \u{2028}", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"];

fuzz_target!(|data: &[u8]| {
    let Some((&reader, file)) = data.split_first() else { return };
    let result = match reader % 5 {
        0 => checkpoint(file),
        1 => shards(file),
        2 => config(file),
        3 => Tokenizer::from_vocabulary_bytes("vocab.txt", file).map(|tokenizer| tokenize(&tokenizer)),
        _ => Tokenizer::from_json_bytes("tokenizer.json", file).map(|tokenizer| tokenize(&tokenizer)),
    };
    if let Err(error) = result {
        let known = [ErrorKind::Weights, ErrorKind::Config, ErrorKind::Io, ErrorKind::Argument, ErrorKind::Dtype];
        assert!(known.contains(&error.kind()), "{error:?}");
        // Twenty entries of each kind of difference, each of one bounded line.
        assert!(error.to_string().len() < 100_000, "an error as long as the file");
    }
});

fn declarations() -> Result<Declarations, Error> {
    let mut declarations = Declarations::new();
    let mut root = declarations.root();
    let weight = root.weight("w", [2])?;
    root.at("norm").weight_or(&["weight", "gamma"], [2, 1])?;
    root.tied("copy", &weight)?;
    root.ignore("unused");
    Ok(declarations)
}

fn checkpoint(file: &[u8]) -> Result<(), Error> {
    let checkpoint = Checkpoint::from_bytes("fuzz", file.to_vec())?;
    let stored: usize = checkpoint.names().filter_map(|name| Some(checkpoint.tensor(name)?.bytes().len())).sum();
    assert!(stored < file.len(), "tensors lie in the file, apart from each other");
    use_all(&checkpoint)
}

fn use_all(checkpoint: &Checkpoint) -> Result<(), Error> {
    // As the file has them, so that every element is converted ..
    let mut own = Declarations::new();
    for name in checkpoint.names() {
        if let Some(tensor) = checkpoint.tensor(name) {
            own.root().weight(name, tensor.shape())?;
        }
    }
    for dtype in [DType::F32, DType::F16] {
        if let Ok(weights) = checkpoint.load(&own, dtype) {
            weights.iter().filter_map(Result::ok).for_each(drop);
        }
    }
    // .. and as a model wants them.
    checkpoint.load(&declarations()?, DType::F32)?.iter().try_for_each(|item| item.map(drop))
}

/// An index and the file `a.safetensors`, apart at the first zero byte.
fn shards(file: &[u8]) -> Result<(), Error> {
    let end = file.iter().position(|&byte| byte == 0).unwrap_or(file.len());
    let (index, shard) = file.split_at(end);
    let folder = std::env::temp_dir().join(format!("foveate-fuzz-{}", std::process::id()));
    let written = std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(folder.join("model.safetensors.index.json"), index))
        .and_then(|()| std::fs::write(folder.join("a.safetensors"), shard.get(1..).unwrap_or_default()));
    written.expect("the temporary folder is writable");
    let checkpoint = Checkpoint::open(&folder);
    let used = checkpoint.and_then(|checkpoint| use_all(&checkpoint));
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
    used
}

fn config(file: &[u8]) -> Result<(), Error> {
    let fields = Fields::new("config.json", parse_json("config.json", file)?)?;
    for name in fields.names() {
        let _ = (fields.usize(name, 1..=1 << 20), fields.f32(name, 0.0..=1.0), fields.bool(name), fields.text(name));
        let _ = fields.object(name).map(|inner| inner.usize_or("size", 0..=1, 0));
    }
    for task in [Task::Embed, Task::Logits] {
        let _ = Model::from_config(&fields, task).map(|model| {
            let facts = model.facts();
            assert!(facts.max_tokens > 0 && facts.width.is_multiple_of(facts.heads));
        });
    }
    let size = fields.usize("hidden_size", 1..=1 << 20)?;
    assert!((1..=1 << 20).contains(&size));
    fields.choice_or("hidden_act", &[("gelu", 0), ("relu", 1)], 0).map(drop)
}

fn tokenize(tokenizer: &Tokenizer) {
    for text in TEXTS {
        for most in [usize::MAX, 4, 1] {
            if let Ok(ids) = tokenizer.encode_truncated(text, most) {
                assert!(ids.len() <= most);
                assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()), "{ids:?}");
                let _ = tokenizer.decode(&ids);
            }
        }
    }
    let _ = tokenizer.decode(&[0, 1, 2, u32::MAX]);
    let _ = (tokenizer.mask_id(), tokenizer.pad_id(), tokenizer.special_ids().count());
}
