//! Two small trained models with masked-language-model heads.

use foveate::models::Task;
use foveate::weights::read_json;
use foveate::{DType, HostTensor};

use crate::support::{checkpoint, devices, encoder, ids, relative_error, tensors};

/// The best word of each row of scores.
fn arg_max(logits: &HostTensor) -> Vec<usize> {
    let width = logits.shape().dims()[1];
    let best =
        |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).expect("a row has scores");
    logits.to_f32().chunks(width).map(best).collect()
}

fn agrees_with_the_oracle(name: &str) {
    let folder = checkpoint(name);
    let expected = tensors(&folder.join("io.safetensors"));
    let items = read_json(folder.join("items.json")).expect("the fixture is JSON");
    let items = items.as_array().expect("a list");
    let sequences: Vec<Vec<u32>> =
        (0..items.len()).map(|i| ids(&expected[&format!("{i}.input_ids")])).collect();
    for (device_name, device) in devices() {
        let hidden = encoder(&folder, Task::Hidden, DType::F32, &device).run(&sequences).expect("it runs");
        let mut masked = encoder(&folder, Task::Logits, DType::F32, &device);
        let logits = masked.run(&sequences).expect("it runs");
        for (i, item) in items.iter().enumerate() {
            let at = |name: &str| &expected[&format!("{i}.{name}")];
            let hidden_error = relative_error(&hidden[i], at("last_hidden_state"));
            let logits_error = relative_error(&logits[i], at("logits"));
            println!("{name} {i} on {device_name}: hidden {hidden_error:.1e}, logits {logits_error:.1e}");
            assert!(hidden_error < 1e-4 && logits_error < 1e-4);
            let (found, oracle, targets) =
                (arg_max(&logits[i]), arg_max(at("logits")), ids(at("target_ids")));
            let places: Vec<usize> = ids(at("masked")).iter().map(|&place| place as usize).collect();
            assert!(places.iter().all(|&place| found[place] == oracle[place]));
            let right = places.iter().filter(|&&place| found[place] == targets[place] as usize).count();
            assert_eq!(right as u64, item["right"].as_u64().expect("a number"));

            let some = masked.run_at(&sequences[i..=i], std::slice::from_ref(&places)).expect("it runs");
            assert_eq!(arg_max(&some[0]), places.iter().map(|&place| oracle[place]).collect::<Vec<_>>());
        }
        let nothing = masked.run_at(&sequences[..1], &[Vec::new()]).expect("it runs");
        assert_eq!(nothing[0].shape().elements(), 0);
    }
}

#[test]
fn albert_gives_the_reference_logits() {
    agrees_with_the_oracle("albert-rxnmapper");
}

#[test]
fn roberta_gives_the_reference_logits() {
    agrees_with_the_oracle("roberta-sapiens");
}

#[test]
fn f16_storage_finds_the_same_words() {
    for name in ["albert-rxnmapper", "roberta-sapiens"] {
        let folder = checkpoint(name);
        let expected = tensors(&folder.join("io.safetensors"));
        let sequence = ids(&expected["0.input_ids"]);
        let places: Vec<usize> = ids(&expected["0.masked"]).iter().map(|&place| place as usize).collect();
        let oracle = arg_max(&expected["0.logits"]);
        for (device_name, device) in devices() {
            let mut encoder = encoder(&folder, Task::Logits, DType::F16, &device);
            let logits = encoder.run(std::slice::from_ref(&sequence)).expect("it runs");
            let error = relative_error(&logits[0], &expected["0.logits"]);
            println!("{name} in f16 on {device_name}: {error:.1e}");
            assert!(error < 2e-2);
            let found = arg_max(&logits[0]);
            let same = places.iter().filter(|&&place| found[place] == oracle[place]).count();
            assert!(same + 1 >= places.len(), "{same} of {}", places.len());
        }
    }
}
