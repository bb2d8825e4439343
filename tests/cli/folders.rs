//! Folders of small models.

use std::fs;
use std::path::{Path, PathBuf};

use foveate::models::{Model, Task};
use foveate::weights::{Fields, Weights, write_tensors};
use foveate::{DType, HostTensor};
use serde_json::Value;

use crate::invoke::scratch;

/// Special tokens as BERT has them.
pub(crate) const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// A fresh folder.
pub(crate) fn empty(name: &str) -> PathBuf {
    let folder = scratch(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A model's folder: `config`, small random weights of the network alone, and `vocabulary`.
pub(crate) fn model(folder: &Path, config: &Value, task: Task, vocabulary: &[&str]) -> String {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    fs::write(folder.join("vocab.txt"), vocabulary.join("\n")).unwrap();
    let model = Model::from_config(&Fields::new("config.json", config.clone()).unwrap(), task).unwrap();
    let weights = Weights::random(model.declarations(), DType::F32, 1).unwrap();
    let started = |item: foveate::Result<(String, HostTensor)>| {
        let (name, tensor) = item.unwrap();
        let is_factor = tensor.shape().rank() == 1 && name.ends_with("weight");
        let ones = || HostTensor::f32(tensor.shape().clone(), vec![1.0; tensor.shape().elements()]).unwrap();
        (name.clone(), if is_factor { ones() } else { tensor })
    };
    let tensors: Vec<(String, HostTensor)> = weights.iter().map(started).collect();
    write_tensors(folder.join("model.safetensors"), &tensors, &[]).unwrap();
    folder.display().to_string()
}

/// A committed model of another implementation, with what it computed.
pub(crate) fn oracle(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oracles/models").join(name)
}

/// A copy of that model in `folder`, with a `vocab.txt` of one character for each of its tokens.
pub(crate) fn lettered(name: &str, folder: &Path) -> String {
    for file in ["config.json", "model.safetensors"] {
        fs::copy(oracle(name).join(file), folder.join(file)).unwrap();
    }
    let vocabulary: Vec<String> = (0..LETTERS.len()).map(|id| letters(&[id as u32])).collect();
    fs::write(folder.join("vocab.txt"), vocabulary.join("\n")).unwrap();
    folder.display().to_string()
}

/// The tokens of [`lettered`] models.
const LETTERS: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+-*=/";

/// The text of those tokens.
pub(crate) fn letters(ids: &[u32]) -> String {
    ids.iter().map(|&id| LETTERS.as_bytes()[id as usize] as char).collect()
}
