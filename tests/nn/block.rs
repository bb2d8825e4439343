//! Layers of encoders and decoders against their definition in f64, and what they refuse.

use foveate::nn::{
    Block, CausalConv1d, CentredConv1d, FeedForward, LayerNorm, Layout, Linear, Mixer, Norm, NormPlace,
    Projections, Recorder, Residual, RmsNorm, SelfAttention,
};
use foveate::ops::Activation;
use foveate::ops::attention::{Blocked, Mask};
use foveate::weights::{Declarations, Scope};
use foveate::{DType, Graph, TensorDesc};

use super::dense::{attend, linear, score};
use super::support::{Tensors, Trial, Values, random};
use super::{BATCH, HEADS, TIME, WIDTH};

const INNER: usize = 48;
const SOURCE: usize = 9;
const EPS: f32 = 1e-5;

fn norm(scope: &mut Scope<'_>, name: &str, is_rms: bool) -> Norm {
    let mut scope = scope.at(name);
    match is_rms {
        true => RmsNorm::declare(&mut scope, WIDTH, EPS).unwrap().into(),
        false => LayerNorm::declare(&mut scope, WIDTH, EPS).unwrap().into(),
    }
}

/// A causal layer of a decoder with a gate.
fn decoder_layer(scope: &mut Scope<'_>, place: NormPlace, is_rms: bool) -> Block {
    let mut residual = |name: &str| Residual { norm: norm(scope, name, is_rms), place };
    let (mixing, crossing, feeding) = (residual("norm1"), residual("norm2"), residual("norm3"));
    let qkv = Linear::declare(&mut scope.at("qkv"), WIDTH, 3 * WIDTH).unwrap();
    let output = Linear::declare(&mut scope.at("proj"), WIDTH, WIDTH).unwrap();
    let mixer = SelfAttention::new(Projections::Fused(qkv), output, HEADS);
    let cross = SelfAttention::declare(scope, ["query", "key", "value", "output"], WIDTH, HEADS).unwrap();
    let mut dense = |name, inner, out| Linear::declare(&mut scope.at(name), inner, out).unwrap();
    Block {
        mixer: mixer.attending(Blocked::new().mask(Mask::causal())),
        mixing,
        cross: Some((crossing, cross)),
        feed_forward: FeedForward {
            up: dense("up", WIDTH, INNER),
            gate: Some(dense("gate", WIDTH, INNER)),
            activation: Activation::Relu,
            down: dense("down", INNER, WIDTH),
        },
        feeding,
    }
}

fn normalised(x: &[f64], tensors: &Tensors, name: &str, is_rms: bool) -> Vec<f64> {
    let weight = &tensors[&format!("{name}.weight")];
    let row = |row: &[f64]| -> Vec<f64> {
        let mean = if is_rms { 0.0 } else { row.iter().sum::<f64>() / WIDTH as f64 };
        let square = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / WIDTH as f64;
        let by = (square + f64::from(EPS)).sqrt();
        let bias = |i: usize| if is_rms { 0.0 } else { tensors[&format!("{name}.bias")][i] };
        row.iter().enumerate().map(|(i, x)| (x - mean) / by * weight[i] + bias(i)).collect()
    };
    x.chunks(WIDTH).flat_map(row).collect()
}

/// The layer by its definition.
fn dense(tensors: &Tensors, place: NormPlace, is_rms: bool) -> Vec<f64> {
    let add = |x: &[f64], part: &dyn Fn(&[f64]) -> Vec<f64>, norm: &str| -> Vec<f64> {
        let sum = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a + b).collect() };
        match place {
            NormPlace::Before => sum(x, &part(&normalised(x, tensors, norm, is_rms))),
            NormPlace::After => normalised(&sum(x, &part(x)), tensors, norm, is_rms),
        }
    };
    let own = |x: &[f64]| {
        let rows = linear(x, tensors, "qkv", WIDTH);
        let third = |i: usize| -> Vec<f64> {
            rows.chunks(3 * WIDTH).flat_map(|row| row[i * WIDTH..(i + 1) * WIDTH].to_vec()).collect()
        };
        let [query, key, value] = [third(0), third(1), third(2)];
        let gathered = attend([BATCH, TIME, TIME], &value, |pair| {
            (score(&query, &key, [TIME, TIME], pair), f64::from(u8::from(pair.key <= pair.query)))
        });
        linear(&gathered, tensors, "proj", WIDTH)
    };
    let crossed = |x: &[f64]| {
        let query = linear(x, tensors, "query", WIDTH);
        let [key, value] = ["key", "value"].map(|name| linear(&tensors["source"], tensors, name, WIDTH));
        let lengths = &tensors["lengths"];
        let gathered = attend([BATCH, TIME, SOURCE], &value, |pair| {
            let is_token = (pair.key as f64) < lengths[pair.batch];
            (score(&query, &key, [TIME, SOURCE], pair), f64::from(u8::from(is_token)))
        });
        linear(&gathered, tensors, "output", WIDTH)
    };
    let fed = |x: &[f64]| {
        let (up, gate) = (linear(x, tensors, "up", WIDTH), linear(x, tensors, "gate", WIDTH));
        let inner: Vec<f64> = up.iter().zip(&gate).map(|(up, gate)| up.max(0.0) * gate).collect();
        linear(&inner, tensors, "down", INNER)
    };
    let x = add(&tensors["x"], &own, "norm1");
    let x = add(&x, &crossed, "norm2");
    add(&x, &fed, "norm3")
}

#[test]
fn a_decoder_layer_equals_its_definition() {
    let settings = [(NormPlace::Before, true), (NormPlace::After, false), (NormPlace::After, true)];
    for (place, is_rms) in settings {
        let mut declarations = Declarations::new();
        let layer = decoder_layer(&mut declarations.root(), place, is_rms);
        let lengths = foveate::HostTensor::i32([BATCH], vec![SOURCE as i32, 4]).unwrap();
        let trial = Trial::new(
            &declarations,
            &[
                ("x", random("x", &[BATCH, TIME, WIDTH], 1.0)),
                ("source", random("source", &[BATCH, SOURCE, WIDTH], 1.0)),
                ("lengths", lengths),
            ],
        );
        let record = |graph: &mut Graph, values: &Values| {
            let source = (values["source"], &Layout::Padded { lengths: values["lengths"] });
            let mut recorder = Recorder::new(graph, DType::F32);
            layer.record(&mut recorder, values["x"], &Layout::Rows, Some(source))
        };
        trial.check_reference(&record, &|tensors| dense(tensors, place, is_rms));
    }
}

#[test]
fn a_layer_without_the_source_it_needs_is_refused() {
    let mut declarations = Declarations::new();
    let decoder = decoder_layer(&mut declarations.root(), NormPlace::Before, false);
    let encoder = Block { cross: None, ..decoder.clone() };
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([BATCH, TIME, WIDTH])).unwrap();
    let mut recorder = Recorder::new(&mut graph, DType::F32);
    let error = decoder.record(&mut recorder, x, &Layout::Rows, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "block: source: expected a source, as the layer has cross-attention, found none"
    );
    let error = encoder.record(&mut recorder, x, &Layout::Rows, Some((x, &Layout::Rows))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "block: source: expected no source, as the layer has no cross-attention, found one"
    );
}

/// The stream between layers keeps its type, whatever they compute in.
#[test]
fn a_stream_of_f32_stays_f32_where_layers_compute_in_f16() {
    let mut declarations = Declarations::new();
    let layer = Block { cross: None, ..decoder_layer(&mut declarations.root(), NormPlace::Before, false) };
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([BATCH, TIME, WIDTH])).unwrap();
    let y = layer.record(&mut Recorder::new(&mut graph, DType::F16), x, &Layout::Rows, None).unwrap();
    assert_eq!(graph.desc(y).unwrap().dtype, DType::F32);
    let weight = graph.parameters().iter().find(|(name, _)| name == "up.weight").unwrap().1;
    assert_eq!(graph.desc(weight).unwrap().dtype, DType::F16);
}

#[test]
fn memory_lies_before_the_sequence() {
    let mut declarations = Declarations::new();
    let layer =
        SelfAttention::declare(&mut declarations.root(), ["query", "key", "value", "output"], WIDTH, HEADS);
    let layer = layer.unwrap().attending(Blocked::new().mask(Mask::causal()));
    let inputs = [
        ("x", random("x", &[BATCH, TIME, WIDTH], 1.0)),
        ("memory", random("memory", &[BATCH, SOURCE, WIDTH], 1.0)),
    ];
    let record = |graph: &mut Graph, values: &Values| {
        let mut recorder = Recorder::new(graph, DType::F32);
        layer.record(&mut recorder, values["x"], Some(values["memory"]), &Layout::Rows)
    };
    Trial::new(&declarations, &inputs).check_reference(&record, &|tensors| {
        let seen = super::dense::joined(&tensors["memory"], &tensors["x"], BATCH);
        let query = linear(&tensors["x"], tensors, "query", WIDTH);
        let [key, value] = ["key", "value"].map(|name| linear(&seen, tensors, name, WIDTH));
        let gathered = attend([BATCH, TIME, SOURCE + TIME], &value, |pair| {
            let sees = pair.key <= pair.query + SOURCE;
            (score(&query, &key, [TIME, SOURCE + TIME], pair), f64::from(u8::from(sees)))
        });
        linear(&gathered, tensors, "output", WIDTH)
    });
}

/// Convolutions mix tokens in the place of attention, in layouts that they can take.
#[test]
fn mixers_refuse_what_they_cannot_take() {
    let mut declarations = Declarations::new();
    let mut root = declarations.root();
    let causal = CausalConv1d::declare(&mut root.at("causal"), WIDTH, WIDTH, 3).unwrap();
    let centred = CentredConv1d::declare(&mut root.at("centred"), WIDTH, WIDTH, 3).unwrap();
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([1, TIME, WIDTH])).unwrap();
    let segments = graph.input("segments", TensorDesc::i32([1, TIME])).unwrap();
    let starts = graph.input("starts", TensorDesc::i32([1])).unwrap();
    let packed = Layout::Packed { segments, count: 2 };
    let cached = Layout::Cached { starts, capacity: TIME };
    let mut recorder = Recorder::new(&mut graph, DType::F32);
    let mixers: [&dyn Mixer; 2] = [&causal, &centred];
    for mixer in mixers {
        mixer.record(&mut recorder, x, None, &Layout::Rows).unwrap();
        mixer.record(&mut recorder, x, None, &packed).unwrap();
        assert!(mixer.record(&mut recorder, x, Some(x), &Layout::Rows).is_err());
        assert!(mixer.record(&mut recorder, x, None, &cached).is_err());
    }
    mixers[0].record(&mut recorder, x, None, &Layout::Recurrent).unwrap();
    let error = mixers[1].record(&mut recorder, x, None, &Layout::Recurrent).unwrap_err();
    assert_eq!(
        error.to_string(),
        "centred convolution: layout: expected whole sequences, found parts of streams"
    );
}
