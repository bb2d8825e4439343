//! Linear attention as a layer: one program that reads a stream in steps of three tokens, for two layers, against the whole text at once.

use foveate::nn::{Attend, Layout, LinearAttention, Recorder};
use foveate::ops::attention::LinearAttention as Settings;
use foveate::{DType, ErrorKind, Graph, HostTensor, Result, TensorDesc, cpu};

use crate::support::random;
use crate::{BATCH, HEAD_SIZE, HEADS, TIME};

const STEP: usize = 3;

/// Two layers, the second of which reads what the first gathers, over `time` tokens.
fn layers(layer: &LinearAttention, time: usize, layout: Layout) -> Result<Graph> {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([BATCH, time, HEADS, HEAD_SIZE]))?;
    let mut recorder = Recorder::new(&mut graph, DType::F32);
    let y = layer.record(&mut recorder, x, x, x, &layout)?;
    let y = layer.record(&mut recorder, y, x, y, &layout)?;
    graph.output("y", y)?;
    Ok(graph)
}

#[test]
fn a_stream_in_steps_is_the_whole_text() {
    let layer = LinearAttention::new(Settings::new().causal());
    let x = random("x", &[BATCH, TIME, HEADS, HEAD_SIZE], 1.0);
    let whole =
        cpu::run(&layers(&layer, TIME, Layout::Rows).unwrap(), &[("x", &x)]).unwrap().remove("y").unwrap();
    let graph = layers(&layer, STEP, Layout::Recurrent).unwrap();
    let names: Vec<&str> = graph.states().iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["linear.0.sums", "linear.0.normalizer", "linear.1.sums", "linear.1.normalizer"]);
    let descs = graph.states().iter().map(|(name, value)| (name.as_str(), graph.desc(*value).unwrap()));
    let mut states = cpu::Parameters::zeros(descs).unwrap();
    let width = HEADS * HEAD_SIZE;
    for first in (0..TIME).step_by(STEP) {
        let rows = |tensor: &HostTensor| -> Vec<f32> {
            let floats = tensor.to_f32();
            (0..BATCH).flat_map(|b| floats[(b * TIME + first) * width..][..STEP * width].to_vec()).collect()
        };
        let step = HostTensor::f32([BATCH, STEP, HEADS, HEAD_SIZE], rows(&x)).unwrap();
        let y = cpu::update_f32(&graph, &mut states, &[("x", &step)]).unwrap();
        for (found, expected) in y["y"].to_f32().into_iter().zip(rows(&whole)) {
            assert!((found - expected).abs() < 1e-5, "from {first} on: {found}, not {expected}");
        }
    }
}

#[test]
fn a_stream_needs_a_causal_rule_and_no_caches() {
    let layer = LinearAttention::new(Settings::new());
    let error = layers(&layer, STEP, Layout::Recurrent).unwrap_err();
    assert_eq!(
        (error.kind(), error.op(), error.argument()),
        (ErrorKind::Argument, "linear attention", "layout")
    );
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([BATCH, STEP, HEADS, HEAD_SIZE])).unwrap();
    let starts = graph.input("starts", TensorDesc::new(DType::I32, [BATCH])).unwrap();
    let layout = Layout::Cached { starts, capacity: TIME };
    let layer = LinearAttention::new(Settings::new().causal());
    let error = layer.record(&mut Recorder::new(&mut graph, DType::F32), x, x, x, &layout).unwrap_err();
    assert_eq!((error.kind(), error.argument()), (ErrorKind::Unsupported, "layout"));
}
