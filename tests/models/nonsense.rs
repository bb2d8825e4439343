//! Configurations with one field that is absent or anything else than what it should be.

use foveate::models::{BatchSize, Model, Task};
use foveate::nn::LayoutKind;
use foveate::weights::{Fields, read_json};
use foveate::{DType, Error, ErrorKind, Result};
use serde_json::{Map, Value, json};

use crate::support::{checkpoint, fixtures};

const TASKS: [Task; 7] =
    [Task::Embed, Task::Hidden, Task::Logits, Task::Classify, Task::Label, Task::Answer, Task::Pretrain];

/// Fields that configurations may have and most do not, besides their own.
const MORE: [&str; 13] = [
    "num_labels",
    "id2label",
    "problem_type",
    "type_vocab_size",
    "pad_token_id",
    "sep_token_id",
    "position_embedding_type",
    "embedding_size",
    "position_buckets",
    "conv_kernel_size",
    "conv_groups",
    "n_inner",
    "tie_word_embeddings",
];

fn nonsense() -> Vec<Value> {
    let huge = json!(u64::MAX);
    let numbers = [
        json!(0),
        json!(1),
        json!(-1),
        json!(7),
        json!(1.5),
        json!(-0.5),
        json!(1e300),
        json!(1 << 24),
        huge,
    ];
    let others = [
        Value::Null,
        json!(true),
        json!(""),
        json!("32"),
        json!("relu"),
        json!([]),
        json!([1]),
        json!([3, 2, 1]),
        json!([null, "x"]),
        json!({}),
        json!({"0": 1, "2": null}),
    ];
    [&numbers[..], &others].concat()
}

/// What a user would see: an error that names the file and the field.
fn check(result: Result<()>, shown: &dyn Fn() -> String) {
    let Err(error) = result else { return };
    let is_typed = |error: &Error| {
        let kinds = [ErrorKind::Config, ErrorKind::Unsupported];
        kinds.contains(&error.kind()) && !error.argument().is_empty() && !error.expected().is_empty()
    };
    assert!(is_typed(&error), "{}: {:?}: {error}", shown(), error.kind());
}

fn opens(config: &Map<String, Value>, task: Task) -> Result<Model> {
    Model::from_config(&Fields::new("config.json", Value::Object(config.clone()))?, task)
}

#[test]
fn no_value_of_any_field_makes_a_model_panic() {
    let models = fixtures().join("oracles/models");
    let mut folders: Vec<_> = std::fs::read_dir(models).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.extend(["albert-rxnmapper", "roberta-sapiens"].map(checkpoint));
    let mut seen = Vec::new();
    for folder in folders {
        let Value::Object(mut sound) = read_json(folder.join("config.json")).unwrap() else {
            panic!("an object")
        };
        // Every task is tried with every configuration: folders that differ in their heads alone are the same here.
        for of_head in ["architectures", "id2label", "label2id"] {
            sound.remove(of_head);
        }
        if seen.contains(&sound) {
            continue;
        }
        seen.push(sound.clone());
        let mut fields: Vec<String> = sound.keys().cloned().collect();
        fields.extend(MORE.map(str::to_owned));
        let values: Vec<Option<Value>> = nonsense().into_iter().map(Some).chain([None]).collect();
        for (field, value) in fields.iter().flat_map(|field| values.iter().map(move |value| (field, value))) {
            let mut config = sound.clone();
            match value {
                Some(value) => config.insert(field.clone(), value.clone()),
                None => config.remove(field),
            };
            let shown = || format!("{}: {field}: {value:?}", folder.display());
            let models: Vec<Model> = TASKS
                .into_iter()
                .filter_map(|task| {
                    let opened = opens(&config, task);
                    check(opened.as_ref().map(drop).map_err(Error::clone), &shown);
                    opened.ok()
                })
                .collect();
            // What opens can be recorded, as far as it reads one text at once.
            if let Some(model) = models.last() {
                let signature = model.network().signature();
                let layout =
                    if signature.takes(LayoutKind::Packed) { LayoutKind::Packed } else { LayoutKind::Rows };
                let size = BatchSize { layout, rows: 1, ..BatchSize::packed(4, 1) };
                let graph = model.batch_graph(size, DType::F32);
                if signature.reads_whole_texts() {
                    assert!(graph.is_ok(), "{}: {:?}", shown(), graph.map(drop));
                }
            }
        }
    }
}
