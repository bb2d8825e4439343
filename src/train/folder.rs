//! A model's folder: opened to be trained for a task, and written when it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};

use super::Trainer;
use crate::models::{LabelKind, Labels, Model, Task, class_for, is_beside_network};
use crate::outputs::replace_file;
use crate::tensor::{DType, HostTensor};
use crate::weights::fresh::Fresh;
use crate::weights::{Checkpoint, Declaration, Declarations, Fields, StoredTensor, read_file, write_model};
use crate::{Error, ErrorKind, Random, Result};

const CONFIG: &str = "config.json";

/// Deviation that weights start with where the configuration has no `initializer_range`.
const DEVIATION: f32 = 0.02;

/// Files of a model's folder, beside `config.json` and the weights, that the trained model needs unchanged: its tokenizer's, and its settings of
/// generation. [`Folder::write`] copies those that are there.
pub const COPIED_FILES: [&str; 13] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "sentence_bert_config.json",
    "generation_config.json",
];

/// The most bytes of one of them.
const MOST_BYTES: u64 = 256 << 20;

/// A folder's model for a task that its files need not have a head for.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    config: Map<String, Json>,
    model: Model,
    /// The weights that the files hold.
    found: Declarations,
    checkpoint: Checkpoint,
    /// What each weight is called in a file beside a head: below the family's own prefix.
    written_names: Vec<String>,
    /// Names of floats that the files hold and the task has no use for, such as those of other heads, and what they are called beside a head.
    passed_over: Vec<(String, String)>,
    deviation: f32,
}

impl Folder {
    /// Opens the folder at `path` for `task`, whatever head `architectures` names. `labels` are those of a classifier, of which one holds or
    /// any may; where the folder's own names hold all of theirs, these stay.
    ///
    /// Weights of the head are read where the files have them in the right shape, and are fresh otherwise ([`Folder::fresh`]).
    ///
    /// Fails as [`Model::open`] does, when a weight below the head, or of an encoder-decoder any, is missing or misshapen, and when there is no
    /// label, or only one of which one holds.
    pub fn open(path: impl AsRef<Path>, task: Task, labels: Option<&Labels>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let config = path.join(CONFIG);
        let fields = Fields::open(&config)?;
        let source = fields.source().to_owned();
        let mut object: Map<String, Json> = fields
            .names()
            .map(|name| (name.to_owned(), fields.get(name).cloned().unwrap_or(Json::Null)))
            .collect();
        if let Some(labels) = labels {
            name_labels(&mut object, &fields, labels)?;
        }
        let fields = Fields::new(&source, Json::Object(object.clone()))?;
        let checkpoint = Checkpoint::open(&path)?;
        let has_prefix = |family: &str| checkpoint.has_prefix(&format!("{family}."));
        let model = Model::declare(&fields, task, has_prefix)?;
        // Of an encoder-decoder nothing is made anew: hidden states are the encoder's alone.
        let is_whole = model.network().signature().encoder_decoder.is_some();
        let below = if is_whole { model.clone() } else { Model::declare(&fields, Task::Hidden, has_prefix)? };
        checkpoint.load(&with_all_ignored(below.declarations())?, DType::F32)?;
        let found = found(&checkpoint, model.declarations(), below.declarations())?;
        let written = Model::declare(&fields, task, |_| true)?;
        let written_names: Vec<String> =
            written.declarations().list().iter().map(|weight| weight.name.clone()).collect();
        let passed_over = passed_over(&checkpoint, model.declarations(), &written_names);
        let class = class_for(&fields, task, model.network().signature().is_causal);
        object.insert("architectures".into(), json!([class]));
        if object.contains_key("torch_dtype") {
            object.insert("torch_dtype".into(), json!("float32"));
        }
        let deviation = fields.f32_or("initializer_range", 0.0..=1.0, DEVIATION)?;
        Ok(Self { path, config: object, model, found, checkpoint, written_names, passed_over, deviation })
    }

    /// The model with the head of its task.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The weights of the head that the files lack.
    pub fn fresh(&self) -> impl Iterator<Item = &str> {
        let declared = self.model.declarations().list().iter().map(|weight| weight.name.as_str());
        declared.filter(|name| self.found.find(name).is_none())
    }

    /// Tensors of the files that the task has no use for, such as those of other heads: [`Folder::write`] puts them into the new files as they
    /// are.
    pub fn passed_over(&self) -> impl Iterator<Item = &str> {
        self.passed_over.iter().map(|(name, _)| name.as_str())
    }

    /// What training starts from, by name, f32: the files' weights, and fresh ones drawn with `seed`: normal with the deviation of
    /// `initializer_range`, biases 0 and the factors of normalisations 1.
    ///
    /// Fails when a weight is not finite.
    pub fn initial_weights(&self, seed: u64) -> Result<BTreeMap<String, HostTensor>> {
        let stored = self.checkpoint.load(&self.found, DType::F32)?;
        let mut random = Random::new(seed);
        let declared = self.model.declarations().list();
        let weight = |declaration: &Declaration| {
            let name = &declaration.name;
            let tensor = match self.found.find(name) {
                Some(_) => stored.get(name)?,
                None => {
                    let fresh = Fresh::by_name(declaration).unwrap_or(Fresh::Normal(self.deviation));
                    fresh.tensor(&declaration.shape, &mut random)?
                }
            };
            Ok((name.clone(), tensor))
        };
        declared.iter().map(weight).collect()
    }

    /// Writes the model as `trainer` has left it into the folder at `out`, which must be there: `config.json`, `model.safetensors` in f32 with
    /// what the task passed over beside the model's own, and [`COPIED_FILES`]. [`Model::open`] and Hugging Face's libraries read it.
    ///
    /// Fails with [`ErrorKind::Io`] when a file cannot be read or written, with [`ErrorKind::Diverged`] when a weight is no longer
    /// finite, and when the device is lost.
    pub fn write(&self, out: impl AsRef<Path>, trainer: &Trainer) -> Result<()> {
        let out = out.as_ref();
        let trained = trainer.read_all(self.model.declarations())?;
        let names = self.written_names.iter().cloned();
        let mut tensors: Vec<_> = names.zip(trained.into_iter().map(|(_, tensor)| tensor)).collect();
        for (name, written) in &self.passed_over {
            tensors.push((written.clone(), stored(&self.checkpoint, name)?));
        }
        for name in COPIED_FILES {
            let from = self.path.join(name);
            if from.exists() {
                let bytes = read_file(&from, MOST_BYTES)?;
                replace_file(out.join(name), bytes).map_err(|error| failed(&from, error))?;
            }
        }
        write_model(out, &Json::Object(self.config.clone()), &tensors)
    }
}

fn failed(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Io, "folder", path.display().to_string())
        .expecting("a file that can be copied or written")
        .caused_by(error)
}

/// Puts `labels` into a configuration, unless its own hold all of their names, and says what they are.
fn name_labels(object: &mut Map<String, Json>, fields: &Fields, labels: &Labels) -> Result<()> {
    let least = if labels.kind == LabelKind::One { 2 } else { 1 };
    if labels.names.len() < least {
        return Err(Error::new(ErrorKind::Argument, "folder", "labels")
            .expecting(format!("at least {least}"))
            .but_found(labels.names.len()));
    }
    let keeps = Labels::read(fields).is_ok_and(|own| {
        own.kind != LabelKind::Number
            && own.names.len() >= least
            && labels.names.iter().all(|label| own.names.contains(label))
    });
    object.insert("problem_type".into(), json!(labels.kind.problem_type()));
    if !keeps {
        object.remove("num_labels");
        let numbered = labels.names.iter().enumerate();
        let by_number = numbered.clone().map(|(id, label)| (id.to_string(), json!(label)));
        object.insert("id2label".into(), Json::Object(by_number.collect()));
        let by_label = numbered.map(|(id, label)| (label.clone(), json!(id)));
        object.insert("label2id".into(), Json::Object(by_label.collect()));
    }
    Ok(())
}

/// `declarations`, of files that may hold anything besides.
fn with_all_ignored(declarations: &Declarations) -> Result<Declarations> {
    let mut ignoring = declarations.clone();
    ignoring.root().ignore("");
    Ok(ignoring)
}

/// Those of `declared` that are also in `below`, and of the others those that the files hold in the declared shape.
fn found(checkpoint: &Checkpoint, declared: &Declarations, below: &Declarations) -> Result<Declarations> {
    let mut found = Declarations::new();
    let mut weights = BTreeMap::new();
    for weight in declared.list() {
        if below.find(&weight.name).is_some() || checkpoint.holds(weight) {
            let mut names = vec![weight.name.as_str()];
            names.extend(weight.aliases.iter().map(String::as_str));
            weights.insert(weight.name.as_str(), found.root().weight_or(&names, weight.shape.clone())?);
        }
    }
    for (copy, original) in declared.tied() {
        if let Some(weight) = weights.get(original.name.as_str()) {
            found.root().tied(copy, weight)?;
        }
    }
    found.root().ignore("");
    Ok(found)
}

/// The finite floats that `declarations` ignore in the files, with their names in a file where declared weights have those of `written`. Copies
/// of declared weights, such as the embeddings that a head scores words with, are left out: what is trained would no longer be their like.
fn passed_over(
    checkpoint: &Checkpoint,
    declarations: &Declarations,
    written: &[String],
) -> Vec<(String, String)> {
    let declared = declarations.list().iter().map(|weight| weight.name.as_str());
    // Files of a network alone leave out what stands before its names beside a head.
    let prefix = declared
        .zip(written)
        .find_map(|(own, written)| written.strip_suffix(own).filter(|prefix| !prefix.is_empty()));
    let named = |name: String| match prefix.filter(|_| !is_beside_network(&name)) {
        Some(prefix) => (name.clone(), format!("{prefix}{name}")),
        None => (name.clone(), name),
    };
    let of_declared = declarations.list().iter().filter_map(|weight| checkpoint.tensor(&weight.name));
    let matrices: Vec<StoredTensor<'_>> = of_declared.filter(|tensor| tensor.shape().len() > 1).collect();
    let is_copy = |name: &str| {
        let same =
            |a: &StoredTensor<'_>, b: &StoredTensor<'_>| a.shape() == b.shape() && a.bytes() == b.bytes();
        checkpoint.tensor(name).is_some_and(|tensor| matrices.iter().any(|other| same(other, &tensor)))
    };
    let ignored = checkpoint.compare(declarations).ignored.into_iter();
    ignored
        .filter(|name| !is_copy(name) && stored(checkpoint, name).is_ok())
        .map(named)
        .filter(|(_, name)| !written.contains(name))
        .collect()
}

/// A tensor of the files that no model has declared, as f32. Fails when there is none of that name, or it is no float or not finite.
fn stored(checkpoint: &Checkpoint, name: &str) -> Result<HostTensor> {
    let mut wanted = Declarations::new();
    let shape = checkpoint.tensor(name).map_or(&[][..], |tensor| tensor.shape());
    wanted.root().weight(name, shape)?;
    wanted.root().ignore("");
    checkpoint.load(&wanted, DType::F32)?.get(name)
}
