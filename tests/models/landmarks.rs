//! Nyströmformer, whose texts are filled up to one length; and mechanisms in the place of a model's attention, by an encoder.

use foveate::models::{Encoder, Model, Task, Tokens};
use foveate::nn::{LayoutKind, MECHANISMS, Mechanism, MechanismExtents, Recorder};
use foveate::runtime::Device;
use foveate::weights::{Fields, Weights, write_tensors};
use foveate::{DType, ErrorKind, Graph, HostTensor, Result, cpu};

use crate::support::devices;

const TEXTS: [&[u32]; 3] =
    [&[0, 5, 6, 7, 2, 8, 9, 10, 11, 4, 3], &[7], &[1, 4, 9, 9, 2, 5, 8, 3, 0, 11, 6, 2]];

fn config(model_type: &str) -> serde_json::Value {
    serde_json::json!({
        "model_type": model_type, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 24, "vocab_size": 12, "max_position_embeddings": 40, "pad_token_id": 1,
        "segment_means_seq_len": 12, "num_landmarks": 4, "conv_kernel_size": 5,
    })
}

fn model(model_type: &str, task: Task) -> Model {
    let fields = Fields::new("config.json", config(model_type)).expect("an object");
    Model::from_config(&fields, task).expect("the configuration is sound")
}

fn weights(model: &Model) -> Weights {
    Weights::random(model.declarations(), DType::F32, 3).expect("the type is a float")
}

fn assert_near(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 2e-5, "{what}: {found}, not {expected}");
    }
}

/// Each text by itself behind padding ids, as the published code takes it.
fn filled_up(model: &Model, ids: &[u32]) -> Vec<f32> {
    let mut graph = Graph::new();
    let tokens = Tokens::padded(&mut graph, 1, 12).unwrap();
    let hidden = model.record(&mut graph, &tokens, DType::F32).unwrap();
    graph.output("hidden", hidden).unwrap();
    let row = |numbers: Vec<i32>| HostTensor::i32([1, 12], numbers).unwrap();
    let mut padded: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    padded.resize(12, 1);
    let inputs = [
        ("ids", row(padded)),
        ("positions", row((2..14).collect())),
        ("types", row(vec![0; 12])),
        ("lengths", HostTensor::i32([1], vec![ids.len() as i32]).unwrap()),
    ];
    let inputs: Vec<(&str, &HostTensor)> = inputs.iter().map(|(name, tensor)| (*name, tensor)).collect();
    let parameters = cpu::Parameters::new(weights(model).iter()).unwrap();
    cpu::run_with(&graph, &parameters, &inputs).unwrap()["hidden"].to_f32()[..ids.len() * 16].to_vec()
}

#[test]
fn null_is_no_convolution() {
    for (kernel, count) in [(serde_json::json!(5), 2), (serde_json::Value::Null, 0)] {
        let mut config = config("nystromformer");
        config["conv_kernel_size"] = kernel;
        let fields = Fields::new("config.json", config).expect("an object");
        let model = Model::from_config(&fields, Task::Hidden).expect("the configuration is sound");
        let names = model.declarations().list().iter().map(|weight| &weight.name);
        assert_eq!(names.filter(|name| name.ends_with("self.conv.weight")).count(), count);
    }
}

#[test]
fn texts_are_filled_up_with_padding_that_is_read() {
    let model = model("nystromformer", Task::Hidden);
    for (name, device) in devices() {
        let mut encoder = Encoder::new(&model, &weights(&model), &device).unwrap();
        for (ids, found) in TEXTS.iter().zip(encoder.run(&TEXTS).unwrap()) {
            assert_near(&found.to_f32(), &filled_up(&model, ids), &format!("{name}, {} tokens", ids.len()));
        }
        assert_eq!(encoder.usage().batches, TEXTS.len(), "{name}");
        let error = encoder.run(&[[0_u32; 13]]).unwrap_err();
        assert_eq!((error.kind(), error.expected()), (ErrorKind::Argument, "1 to 12 tokens"));
    }
}

/// What is read of a text may be less than what it is filled up to.
#[test]
fn a_shorter_limit_of_texts_changes_nothing_about_their_padding() {
    let folder = std::env::temp_dir().join(format!("foveate-landmarks-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let model = model("nystromformer", Task::Embed);
    std::fs::write(folder.join("config.json"), config("nystromformer").to_string()).unwrap();
    std::fs::write(folder.join("sentence_bert_config.json"), r#"{"max_seq_length": 7}"#).unwrap();
    let weights = weights(&model);
    let tensors: Vec<_> = weights.iter().collect::<Result<_>>().unwrap();
    write_tensors(folder.join("model.safetensors"), &tensors, &[]).unwrap();
    let model = Model::open(&folder, Task::Embed).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(model.facts().max_tokens, 7);
    let texts = [&TEXTS[0][..7], TEXTS[1]];
    for (name, device) in devices() {
        let mut encoder = Encoder::new(&model, &weights, &device).unwrap();
        for (ids, found) in texts.iter().zip(encoder.run(&texts).unwrap()) {
            let hidden = filled_up(&self::model("nystromformer", Task::Hidden), ids);
            let mean =
                |channel: usize| hidden.chunks(16).map(|row| row[channel]).sum::<f32>() / ids.len() as f32;
            let means: Vec<f32> = (0..16).map(mean).collect();
            let norm = means.iter().map(|mean| mean * mean).sum::<f32>().sqrt();
            let expected: Vec<f32> = means.iter().map(|mean| mean / norm).collect();
            assert_near(&found.to_f32(), &expected, &format!("{name}, {} tokens", ids.len()));
        }
    }
}

#[test]
fn rows_of_the_texts_own_lengths_are_no_layout_of_texts_that_are_filled_up() {
    let model = model("nystromformer", Task::Hidden);
    let encoder = || Encoder::new(&model, &weights(&model), &Device::Cpu).unwrap();
    encoder().with_layout(LayoutKind::Padded).unwrap();
    for layout in [LayoutKind::Rows, LayoutKind::Packed] {
        let error = encoder().with_layout(layout).unwrap_err();
        assert_eq!((error.kind(), error.expected()), (ErrorKind::Unsupported, "padded texts"));
    }
}

/// Hidden states with a mechanism in the place of BERT's attention; its own where there is none.
fn with(json: Option<&str>, device: &Device) -> Result<Vec<HostTensor>> {
    let model = model("bert", Task::Hidden);
    let mut encoder = Encoder::new(&model, &weights(&model), device)?;
    if let Some(json) = json {
        let mechanism = Mechanism::parse("--attention", json.as_bytes())?;
        encoder = encoder.exchanging(mechanism.attend()?, mechanism.layers().map(<[usize]>::to_vec));
    }
    encoder.run(&TEXTS)
}

#[test]
fn mechanisms_that_leave_nothing_out_give_what_exact_attention_gives() {
    let exact = [
        r#"{"exact": {}}"#,
        r#"{"nystrom": {"landmarks": 64}}"#,
        r#"{"window": {"left": 40, "right": 40}, "version": 1}"#,
        r#"{"longformer": {"half_width": 0, "globals": 40}}"#,
        r#"{"big_bird": {"block_size": 16, "random_blocks": 0}}"#,
        r#"{"clustered": {"count": 5, "top": 40}}"#,
        r#"{"top_k": {"k": 40}}"#,
        r#"{"lsh": {"chunk": 40}, "scale": 0.35355339}"#,
        // Two chunks, which all see.
        r#"{"lsh": {"chunk": 6, "rounds": 2, "seed": 3}}"#,
        r#"{"routing": {"clusters": 1, "window": 40}, "scale": 0.35355339}"#,
        r#"{"nystrom": {"landmarks": 2}, "layers": []}"#,
        r#"{"exact": {}, "scale": 0.35355339}"#,
    ];
    let own = with(None, &Device::Cpu).unwrap();
    for json in exact {
        for (name, device) in devices() {
            for (found, own) in with(Some(json), &device).unwrap().iter().zip(&own) {
                assert_near(&found.to_f32(), &own.to_f32(), &format!("{name}: {json}"));
            }
        }
    }
}

#[test]
fn mechanisms_take_the_place_of_the_layers_that_are_named() {
    for json in [
        r#"{"nystrom": {"landmarks": 2}"#,
        r#"{"linear": {"features": "elu_plus_one"}"#,
        r#"{"favor": {"features": 16, "seed": 1}"#,
        r#"{"favor": {"features": 16, "causal": true}, "scale": 0.5"#,
        r#"{"clustered": {"count": 2}"#,
        r#"{"top_k": {"k": 2}"#,
        r#"{"sparsemax": {}"#,
        r#"{"entmax15": {"causal": true}"#,
        r#"{"sinkhorn": {"block": 2}"#,
        r#"{"lsh": {"chunk": 2, "rounds": 1}"#,
        r#"{"lsh": {"chunk": 2, "causal": true}, "scale": 0.5"#,
        r#"{"routing": {"clusters": 2, "window": 3, "causal": true}"#,
        r#"{"window": {"left": 1, "right": 0}"#,
        r#"{"dilated_window": {"half_width": 1, "dilations": [2]}"#,
        r#"{"strided": {"stride": 3}"#,
        r#"{"fixed": {"stride": 3, "expressivity": 1}"#,
        r#"{"log_sparse": {"local": 1}"#,
    ] {
        let of = |layers: &str| -> Vec<f32> {
            let outputs = with(Some(&format!("{json}{layers}}}")), &Device::Cpu).unwrap();
            outputs.iter().flat_map(HostTensor::to_f32).collect()
        };
        let (all, both, first) = (of(""), of(r#", "layers": [0, 1]"#), of(r#", "layers": [0]"#));
        let own: Vec<f32> = with(None, &Device::Cpu).unwrap().iter().flat_map(HostTensor::to_f32).collect();
        assert_eq!(all, both, "{json}");
        assert_ne!(all, first, "{json}");
        assert_ne!(first, own, "{json}");
    }
    let error = with(Some(r#"{"exact": {}, "layers": [0, 2]}"#), &Device::Cpu).unwrap_err();
    assert_eq!(error.to_string(), "recorder: exchange: expected layers below 2, found 2");
}

/// Texts that run by themselves in one batch of a graph are refused together.
#[test]
fn a_mechanism_that_cannot_tell_texts_apart_refuses_several_in_a_row() {
    let model = model("bert", Task::Hidden);
    let mechanism = Mechanism::parse("x", br#"{"nystrom": {"landmarks": 2}}"#).unwrap();
    let mut graph = Graph::new();
    let tokens = Tokens::packed(&mut graph, 12, 2).unwrap();
    let mut recorder = Recorder::new(&mut graph, DType::F32).exchange(mechanism.attend().unwrap());
    let error = model.record_with(&mut recorder, &tokens).unwrap_err();
    assert_eq!((error.kind(), error.argument()), (ErrorKind::Unsupported, "layout"));
}

/// Random features are drawn from a seed, and more of them are closer to exact attention.
#[test]
fn random_features_approach_exact_attention() {
    let apart = |json: &str| -> f32 {
        let (own, found) = (with(None, &Device::Cpu).unwrap(), with(Some(json), &Device::Cpu).unwrap());
        let own = own.iter().flat_map(HostTensor::to_f32);
        let squares = own.zip(found.iter().flat_map(HostTensor::to_f32)).map(|(a, b)| (a - b) * (a - b));
        squares.sum::<f32>().sqrt()
    };
    let of = |features: u32, seed: u64| {
        apart(&format!(r#"{{"favor": {{"features": {features}, "seed": {seed}}}}}"#))
    };
    assert_eq!(of(8, 1), of(8, 1));
    assert_ne!(of(8, 1), of(8, 2));
    let mean = |features: u32| (0..8).map(|seed| of(features, seed)).sum::<f32>() / 8.0;
    let [few, many] = [8, 256].map(mean);
    assert!(many < 0.4 * few, "{many} and {few}");
}

#[test]
fn families_are_every_combination_of_lists() {
    let members = |json: &str| -> Vec<String> {
        let family = Mechanism::family("x", json.as_bytes()).unwrap();
        family.iter().map(|member| member.to_json().unwrap()).collect()
    };
    assert_eq!(
        members(r#"{"nystrom": {"landmarks": [2, 4], "iterations": [1, 6]}, "scale": [0.5, 1.0]}"#).len(),
        8
    );
    assert_eq!(
        members(r#"{"nystrom": {"landmarks": [2, 4]}, "layers": [0, 1]}"#),
        [2, 4].map(|count| {
            format!(r#"{{"version":1,"nystrom":{{"landmarks":{count},"iterations":6}},"layers":[0,1]}}"#)
        })
    );
    let one = r#"{"version":1,"dilated_window":{"half_width":1,"dilations":[2,3]}}"#;
    assert_eq!(members(one), [one]);
    assert_eq!(members(r#"{"dilated_window": {"half_width": 1, "dilations": [[2, 3], [4]]}}"#)[0], one);
    for (json, sentence) in [
        (
            r#"{"nystrom": {"landmarks": []}}"#,
            "x: landmarks: expected at least one setting, found an empty list",
        ),
        (r#"{"nystrom": {"landmarks": [4, 0]}}"#, "x: nystrom.landmarks: expected at least 1, found 0"),
    ] {
        assert_eq!(Mechanism::family("x", json.as_bytes()).unwrap_err().to_string(), sentence);
    }
    let many: Vec<String> = (1..=257).map(|count| count.to_string()).collect();
    let many = format!(r#"{{"nystrom": {{"landmarks": [{}]}}}}"#, many.join(","));
    let error = Mechanism::family("x", many.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "x: mechanism: expected at most 256 members of a family, found 257");
}

#[test]
fn every_row_of_the_table_is_a_document() {
    for row in MECHANISMS {
        let mechanism = Mechanism::parse("x", row.example().as_bytes()).unwrap();
        assert_eq!(mechanism.name(), row.name);
        let again = Mechanism::parse("x", mechanism.to_json().unwrap().as_bytes()).unwrap();
        assert_eq!(again, mechanism, "{}", row.name);
        // What needs tensors is not for trained models, and what needs none says so.
        let extents = MechanismExtents { time: 20, heads: 2, size: 4 };
        let names: Vec<String> =
            mechanism.untrained(extents).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, mechanism.tensors(), "{}", row.name);
        assert_eq!(mechanism.attend().is_ok(), names.is_empty(), "{}", row.name);
    }
    let error = Mechanism::parse("x", MECHANISMS.last().unwrap().example().as_bytes()).unwrap();
    assert_eq!(
        error.attend().unwrap_err().to_string(),
        "mechanism: talking_heads: expected a mechanism without tensors, where a model's attention is exchanged, found one that reads `pre`"
    );
}

#[test]
fn documents_that_mean_nothing_are_refused() {
    for (json, sentence) in [
        ("{}", "x: mechanism: expected an object with one mechanism, found none"),
        (
            r#"{"exact": {}, "strided": {"stride": 2}}"#,
            "x: mechanism: expected an object with one mechanism, found exact, strided",
        ),
        (r#"{"version": 2, "exact": {}}"#, "x: version: expected 1, found 2"),
        (r#"{"clustered": {"count": 3, "top": 0}}"#, "x: clustered.top: expected at least 1, found 0"),
        (r#"{"top_k": {"k": 0}}"#, "x: top_k.k: expected at least 1, found 0"),
        (r#"{"sinkhorn": {"block": 0}}"#, "x: sinkhorn.block: expected at least 1, found 0"),
        (r#"{"lsh": {"chunk": 0}}"#, "x: lsh.chunk: expected at least 1, found 0"),
        (r#"{"lsh": {"chunk": 8, "rounds": 0}}"#, "x: lsh.rounds: expected at least 1, found 0"),
        (r#"{"routing": {"clusters": 4, "window": 0}}"#, "x: routing.window: expected at least 1, found 0"),
        (
            r#"{"nystrom": {"landmarks": -1}}"#,
            "x: nystrom: expected a mechanism and its settings, found invalid value: integer `-1`, expected a whole number from 0 on",
        ),
        (
            r#"{"exact": {}, "layers": [-1]}"#,
            "x: layers: expected a list of numbers from 0 on, found a list of 1",
        ),
    ] {
        assert_eq!(Mechanism::parse("x", json.as_bytes()).unwrap_err().to_string(), sentence);
    }
    for json in [r#"{"nystrom": {}}"#, r#"{"nystrom": {"landmarks": 4, "more": 1}}"#, r#"{"mystery": {}}"#] {
        let error = Mechanism::parse("x", json.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
}
