//! all-MiniLM-L6-v2, whose weights `tests/fetch-minilm.sh` downloads.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use foveate::DType;
use foveate::models::Task;
use foveate::runtime::Device;

use crate::support::{context, cosine, devices, encoder, fixtures, ids, relative_error, tensors};

/// The model's folder. Where it is not, the tests say so: continuous integration fetches it.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/checkpoints/all-minilm-l6-v2");
    if folder.join("model.safetensors").exists() {
        return Some(folder);
    }
    // Past the test harness, which keeps the print macros' output of passing tests to itself.
    let told = writeln!(
        std::io::stderr(),
        "NOT TESTED: all-MiniLM-L6-v2: run `sh tests/fetch-minilm.sh` first (91 MB)"
    );
    told.expect("standard error takes a line");
    None
}

#[test]
fn hidden_states_and_embeddings_are_the_references() {
    let Some(folder) = folder() else { return };
    let expected = tensors(&fixtures().join("minilm/io.safetensors"));
    let sequences: Vec<Vec<u32>> = (0..7).map(|i| ids(&expected[&format!("{i}.input_ids")])).collect();
    for (name, device) in devices() {
        let hidden = encoder(&folder, Task::Hidden, DType::F32, &device).run(&sequences).expect("it runs");
        let embedded = encoder(&folder, Task::Embed, DType::F32, &device).run(&sequences).expect("it runs");
        for i in 0..sequences.len() {
            let hidden_error = relative_error(&hidden[i], &expected[&format!("{i}.last_hidden_state")]);
            let error = relative_error(&embedded[i], &expected[&format!("{i}.embedding")]);
            println!("sentence {i} on {name}: hidden {hidden_error:.1e}, embedding {error:.1e}");
            assert!(hidden_error < 1e-4 && error < 1e-4);
            for j in 0..i {
                let found = cosine(&embedded[i].to_f32(), &embedded[j].to_f32());
                let oracle = f64::from(expected["cosine"].to_f32()[i * sequences.len() + j]);
                assert!((found - oracle).abs() < 1e-4, "{i} and {j} on {name}: {found}, expected {oracle}");
            }
        }
    }
}

#[test]
fn f16_embeddings_point_the_same_way() {
    let Some(folder) = folder() else { return };
    let expected = tensors(&fixtures().join("minilm/io.safetensors"));
    let sequences: Vec<Vec<u32>> = (0..7).map(|i| ids(&expected[&format!("{i}.input_ids")])).collect();
    for (name, device) in devices() {
        let embedded = encoder(&folder, Task::Embed, DType::F16, &device).run(&sequences).expect("it runs");
        for (i, embedding) in embedded.iter().enumerate() {
            let cosine = cosine(&embedding.to_f32(), &expected[&format!("{i}.embedding")].to_f32());
            println!("sentence {i} in f16 on {name}: cosine {cosine:.6}");
            assert!(cosine >= 0.9999);
        }
    }
}

#[test]
fn one_short_sentence_takes_the_references_less_than_a_second() {
    let Some(folder) = folder() else { return };
    let expected = tensors(&fixtures().join("minilm/io.safetensors"));
    let sentence = [ids(&expected["0.input_ids"])];
    let mut encoder = encoder(&folder, Task::Embed, DType::F32, &Device::Cpu);
    // The fastest of a few, as tests run beside one another.
    let times = (0..5).map(|_| {
        let start = Instant::now();
        encoder.run(&sentence).expect("it runs");
        start.elapsed().as_secs_f64()
    });
    let fastest = times.fold(f64::INFINITY, f64::min);
    println!("{fastest:.3} s");
    assert!(fastest < 1.0);
}

#[test]
fn a_sentence_does_not_depend_on_what_a_batch_holds_besides() {
    let Some(folder) = folder() else { return };
    let expected = tensors(&fixtures().join("minilm/io.safetensors"));
    let sequences: Vec<Vec<u32>> = (0..7).map(|i| ids(&expected[&format!("{i}.input_ids")])).collect();
    let device = Device::Gpu(context().clone());
    let mut encoder = encoder(&folder, Task::Embed, DType::F32, &device);
    let together = encoder.run(&sequences).expect("it runs");
    let again = encoder.run(&sequences).expect("it runs");
    let mut reversed: Vec<Vec<u32>> = sequences.clone();
    reversed.reverse();
    let mut backwards = encoder.run(&reversed).expect("it runs");
    backwards.reverse();
    for i in 0..sequences.len() {
        assert_eq!(together[i], again[i]);
        let error = relative_error(&backwards[i], &together[i]);
        println!("sentence {i} in another order: {error:.1e}");
        assert!(error < 1e-5);
    }
}
