//! Language models with other mechanisms in the place of softmax attention: gradients, what weights start as, what tokens must not see, and
//! configurations that mean nothing.

use foveate::models::{LanguageModelConfig, Mixing};
use foveate::nn::Training;
use foveate::runtime::Device;
use foveate::train::{Inputs, language_loss};
use foveate::{DType, ErrorKind, Graph, HostTensor, Result};

use crate::support::{assert_slope, outputs_of, with_gradients};

const TIME: usize = 12;

/// Mixings by which a token sees none behind itself.
const CAUSAL: &[&str] = &[
    r#"{"window": {"left": 3, "right": 0}}"#,
    r#"{"linear": {"features": "elu_plus_one", "causal": true}}"#,
    r#"{"favor": {"features": 12, "seed": 3, "causal": true}}"#,
    r#"{"gated": {}}"#,
    r#"{"gated": {"decay": "heads", "temperature": 2.0, "delta": true}}"#,
    r#"{"gated": {"delta": true}}"#,
    r#"{"long_short_range": {"taps": 3, "heads": 2}}"#,
    r#"{"long_short_range": {"heads": 4, "dynamic": true}}"#,
    r#"{"persistent_memory": {"keys": "k", "values": "v", "causal": true}}"#,
    r#"{"talking_heads": {"before": "pre", "after": "post", "causal": true}}"#,
    r#"{"memory_compressed": {"keys": {"weight": "kw", "bias": "kb"}, "values": {"weight": "vw", "bias": "vb"}, "causal": true}}"#,
];

/// Mixings by which a token sees all.
const OTHERS: &[&str] = &[
    r#"{"exact": {}}"#,
    r#"{"favor": {"features": 12}}"#,
    r#"{"linformer": {"keys": "E", "values": "F", "projected": 4}}"#,
    r#"{"nystrom": {"landmarks": 4}}"#,
];

fn config(mixing: Option<&str>, masked: bool) -> LanguageModelConfig {
    LanguageModelConfig {
        vocab_size: 11,
        width: 8,
        heads: 2,
        layers: 2,
        feed_forward: 12,
        length: TIME,
        reversible: false,
        mixing: mixing.map(|json| serde_json::from_str::<Mixing>(json).unwrap()),
        masked,
    }
}

fn inputs(batch: usize) -> Inputs {
    let row = |step: usize, first: usize| (0..batch * TIME).map(move |at| ((at * step + first) % 11) as i32);
    let tensor = |row| HostTensor::i32([batch, TIME], row).unwrap();
    vec![("ids", tensor(row(7, 1).collect())), ("targets", tensor(row(3, 2).collect()))]
}

#[test]
fn losses_follow_their_gradients() {
    let models = CAUSAL.iter().map(|json| (json, false)).chain(OTHERS.iter().map(|json| (json, true)));
    for (json, masked) in models {
        let model = config(Some(json), masked).model().unwrap();
        let graph =
            with_gradients(|graph| language_loss(graph, &model, [2, TIME], DType::F32, Training::default()));
        assert_slope(json, &model, &graph, &inputs(2));
    }
}

/// Losses of the first tokens of a text whose later ones are exchanged.
fn losses(config: &LanguageModelConfig, targets: usize, last: i32) -> f32 {
    let model = config.model().unwrap();
    let mut graph = Graph::new();
    let loss = language_loss(&mut graph, &model, [1, TIME], DType::F32, Training::default()).unwrap();
    graph.output("loss", loss).unwrap();
    let [(_, ids), (_, wanted)] = <[_; 2]>::try_from(inputs(1)).unwrap();
    let mut ids: Vec<i32> = ids.to_f64().into_iter().map(|id| id as i32).collect();
    ids[targets..].fill(last);
    let mut wanted: Vec<i32> = wanted.to_f64().into_iter().map(|id| id as i32).collect();
    wanted[targets..].fill(-100);
    let inputs = [ids, wanted].map(|row| HostTensor::i32([1, TIME], row).unwrap());
    let named = [("ids", &inputs[0]), ("targets", &inputs[1])];
    let weights = config.initial_weights(model.declarations(), 5);
    // Large enough to tell.
    let weights = weights.map(|weight| {
        let (name, tensor) = weight?;
        let values = tensor.to_f32().into_iter().map(|x| if x.abs() < 0.3 { 10.0 * x } else { x });
        Ok((name, HostTensor::f32(tensor.shape().clone(), values.collect())?))
    });
    outputs_of(&Device::Cpu, &graph.into(), weights, &named)["loss"].to_f32()[0]
}

#[test]
fn tokens_see_none_behind_themselves_unless_the_model_is_a_masked_one() {
    for json in CAUSAL {
        let config = config(Some(json), false);
        for targets in [1, 5, 9] {
            let [one, other] = [4, 9].map(|last| losses(&config, targets, last));
            assert!((one - other).abs() < 1e-6, "{json}, {targets} tokens: {one} and {other}");
        }
    }
    for json in OTHERS {
        let config = config(Some(json), true);
        let [one, other] = [4, 9].map(|last| losses(&config, 5, last));
        assert!((one - other).abs() > 1e-5, "{json}: {one} and {other}");
    }
}

#[test]
fn weights_start_as_what_says_most_without_training() {
    let start = |config: &LanguageModelConfig| -> Vec<(String, HostTensor)> {
        let model = config.model().unwrap();
        config.initial_weights(model.declarations(), 5).collect::<Result<_>>().unwrap()
    };
    let linformer = start(&config(Some(OTHERS[2]), true));
    let (_, projection) = linformer.iter().find(|(name, _)| name == "layer.1.attend.E").unwrap();
    assert_eq!(projection.shape().dims(), [4, TIME]);
    // Means of three tokens each.
    let expected = |at: usize| if at / TIME == at % TIME / 3 { 1.0 / 3.0 } else { 0.0 };
    assert_eq!(projection.to_f32(), (0..4 * TIME).map(expected).collect::<Vec<f32>>());
    // All others are those of the model with softmax attention.
    let plain = start(&config(None, true));
    assert_eq!(linformer.len(), plain.len() + 4);
    for (name, tensor) in plain.iter().take(2) {
        assert_eq!(linformer.iter().find(|(other, _)| other == name).unwrap().1, *tensor, "{name}");
    }
    // Weights of layers, and not the embedding that stands before them.
    let gated = start(&config(Some(r#"{"gated": {}}"#), false));
    assert!(gated.iter().any(|(name, _)| name == "layer.0.gated.decay.weight"));
    assert!(!gated.iter().any(|(name, _)| name.contains("qkv")));
}

#[test]
fn configurations_are_read_as_they_were_written() {
    for json in CAUSAL.iter().chain(OTHERS) {
        let written = serde_json::to_string(&config(Some(json), true)).unwrap();
        let read: LanguageModelConfig = serde_json::from_str(&written).unwrap();
        assert_eq!(read, config(Some(json), true), "{written}");
    }
    // As before there was a choice.
    let before = r#"{"vocab_size": 11, "width": 8, "heads": 2, "layers": 2, "feed_forward": 12, "length": 12, "reversible": false}"#;
    assert_eq!(serde_json::from_str::<LanguageModelConfig>(before).unwrap(), config(None, false));
}

#[test]
fn mixings_that_mean_nothing_are_refused() {
    for json in OTHERS {
        let error = config(Some(json), false).model().unwrap_err();
        assert_eq!((error.kind(), error.argument()), (ErrorKind::Config, "mixing"), "{error}");
    }
    let decays =
        r#"{"linear": {"features": "identity", "normalised": false, "causal": true, "log_decay": "decays"}}"#;
    let error = config(Some(decays), false).model().unwrap_err();
    assert_eq!(
        error.to_string(),
        "mechanism: linear: expected tensors that can be weights of a layer, found `decays`"
    );
    for (json, sentence) in [
        (
            r#"{"gated": {"decay": "rows"}}"#,
            "mixing: gated: expected its settings, found unknown variant `rows`",
        ),
        (
            r#"{"favor": {"features": 64, "causal": true}, "layers": [0]}"#,
            "mixing: layers: expected a mechanism for all layers",
        ),
        (r#"{"gated": {}, "scale": 2.0}"#, "mixing: scale: expected nothing beside gated"),
        (
            r#"{"linformer": {"keys": "E", "values": "F", "projected": 0}}"#,
            "linformer.projected: expected at least 1",
        ),
    ] {
        let error = serde_json::from_str::<Mixing>(json).unwrap_err().to_string();
        assert!(error.contains(sentence), "{error}");
    }
}
