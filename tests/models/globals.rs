//! Global tokens of a small random Longformer.

use foveate::models::{Encoder, Item, Model, Task};
use foveate::runtime::Device;
use foveate::weights::{Fields, Weights};
use foveate::{DType, ErrorKind, HostTensor};

use crate::support::{devices, relative_error};

const SEPARATOR: u32 = 2;
const IDS: [u32; 14] = [0, 5, 6, 7, SEPARATOR, SEPARATOR, 8, 9, 10, 11, 4, 3, 9, SEPARATOR];

fn longformer(task: Task) -> Model {
    let json = serde_json::json!({
        "model_type": "longformer", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 24, "vocab_size": 12, "max_position_embeddings": 40, "type_vocab_size": 1,
        "attention_window": [2, 4], "sep_token_id": SEPARATOR,
    });
    Model::from_config(&Fields::new("config.json", json).expect("an object"), task).expect("it is sound")
}

fn run(task: Task, device: &Device, items: &[Item<'_>]) -> Vec<HostTensor> {
    let model = longformer(task);
    let weights = Weights::random(model.declarations(), DType::F32, 5).expect("the type is a float");
    let mut encoder = Encoder::new(&model, &weights, device).expect("the weights fit");
    let name = if task == Task::Hidden { "result" } else { "logits" };
    let outputs = encoder.run_items(items).expect("they run");
    outputs.into_iter().map(|mut outputs| outputs.remove(name).expect("the task's result")).collect()
}

fn with(globals: &[usize]) -> Item<'_> {
    Item { globals: Some(globals), ..Item::new(&IDS) }
}

#[test]
fn each_task_has_its_own_where_none_are_named() {
    assert_eq!(longformer(Task::Answer).default_globals(&IDS), [0, 1, 2, 3]);
    assert_eq!(longformer(Task::Answer).default_globals(&[0, 5, 6]), [0; 0]);
    assert_eq!(longformer(Task::Classify).default_globals(&IDS), [0]);
    for task in [Task::Logits, Task::Label, Task::Hidden, Task::Embed] {
        assert_eq!(longformer(task).default_globals(&IDS), [0; 0]);
    }
    for (task, globals) in [(Task::Answer, &[0, 1, 2, 3][..]), (Task::Classify, &[0]), (Task::Hidden, &[])] {
        let found = run(task, &Device::Cpu, &[Item::new(&IDS), with(globals), with(&[7])]);
        assert_eq!(found[0], found[1], "{task:?}");
        assert!(relative_error(&found[2], &found[0]) > 1e-3, "{task:?}");
    }
}

#[test]
fn those_of_one_sequence_are_seen_by_no_other_and_counted_once() {
    let items = [with(&[]), with(&[3, 8]), with(&[8, 3, 3]), with(&[0])];
    for (name, device) in devices() {
        let together = run(Task::Hidden, &device, &items);
        for (item, packed) in items.iter().zip(&together) {
            let alone = run(Task::Hidden, &device, std::slice::from_ref(item));
            assert!(relative_error(packed, &alone[0]) < 1e-5, "{name}, {:?}", item.globals);
        }
        assert!(relative_error(&together[2], &together[1]) < 1e-5, "{name}");
        assert!(relative_error(&together[0], &together[1]) > 1e-3, "{name}");
    }
}

#[test]
fn places_past_the_end_and_models_without_global_tokens_are_refused() {
    let refused = |model: &Model, item: Item<'_>| {
        let weights = Weights::random(model.declarations(), DType::F32, 5).expect("the type is a float");
        let mut encoder = Encoder::new(model, &weights, &Device::Cpu).expect("the weights fit");
        let error = encoder.run_items(&[item]).expect_err("it is refused");
        assert_eq!(error.kind(), ErrorKind::Argument);
        error.to_string()
    };
    assert_eq!(
        refused(&longformer(Task::Hidden), with(&[2, 14])),
        "encoder: globals of sequence 0: expected places among its 14 tokens, found 14"
    );
    let json = serde_json::json!({
        "model_type": "bert", "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1,
        "intermediate_size": 4, "vocab_size": 12, "max_position_embeddings": 20,
    });
    let bert = Model::from_config(&Fields::new("config.json", json).expect("an object"), Task::Hidden);
    assert_eq!(
        refused(&bert.expect("it is sound"), with(&[2])),
        "encoder: globals of sequence 0: expected none, as bert has no global tokens, found 1"
    );
}
