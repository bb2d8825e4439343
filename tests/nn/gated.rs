//! Gated linear attention and the gated delta rule as layers: a stream in steps against the whole text, and settings that mean nothing.

use foveate::nn::{
    DecayGate, GatedLinearAttention, GatedSpec, Layout, LinearAttention, Mixer, Recorder, retention_decays,
};
use foveate::ops::attention::{LinearAttention as Settings, RandomProjection, SoftmaxKernel, Stabilizer};
use foveate::weights::Declarations;
use foveate::{DType, ErrorKind, Graph, HostTensor, Result, TensorDesc, cpu};

use crate::support::random;
use crate::{BATCH, HEAD_SIZE, HEADS, TIME, WIDTH};

const STEP: usize = 3;

fn spec(decay: DecayGate, is_delta: bool) -> GatedSpec {
    GatedSpec { width: WIDTH, heads: HEADS, decay, temperature: 2.0, is_delta }
}

/// A graph of `time` tokens, made by `record` of `x`.
fn graph(
    dims: &[usize],
    record: impl Fn(&mut Recorder<'_>, foveate::Value) -> Result<foveate::Value>,
) -> Result<Graph> {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32(dims))?;
    let y = record(&mut Recorder::new(&mut graph, DType::F32), x)?;
    graph.output("y", y)?;
    Ok(graph)
}

/// `y` of the whole text, and of steps of `STEP` tokens that continue the graph's states.
fn whole_and_steps(
    weights: &[(String, HostTensor)],
    width: &[usize],
    record: impl Fn(&mut Recorder<'_>, foveate::Value, &Layout) -> Result<foveate::Value>,
) -> [Vec<f32>; 2] {
    let dims = |time: usize| [&[BATCH, time], width].concat();
    let x = random("x", &dims(TIME), 1.0);
    let whole = graph(&dims(TIME), |recorder, x| record(recorder, x, &Layout::Rows)).unwrap();
    let parameters = cpu::Parameters::new(weights.iter().cloned().map(Ok)).unwrap();
    let whole = cpu::run_with(&whole, &parameters, &[("x", &x)]).unwrap().remove("y").unwrap().to_f32();
    let steps = graph(&dims(STEP), |recorder, x| record(recorder, x, &Layout::Recurrent)).unwrap();
    let states = steps.states().iter().map(|(name, value)| {
        let desc = steps.desc(*value).unwrap();
        Ok((name.clone(), HostTensor::zeros(desc).unwrap()))
    });
    let mut held = cpu::Parameters::new(weights.iter().cloned().map(Ok).chain(states)).unwrap();
    let row = width.iter().product::<usize>();
    let rows = |floats: &[f32], first: usize| -> Vec<f32> {
        (0..BATCH).flat_map(|b| floats[(b * TIME + first) * row..][..STEP * row].to_vec()).collect()
    };
    let (mut in_steps, mut expected) = (Vec::new(), Vec::new());
    for first in (0..TIME).step_by(STEP) {
        let step = HostTensor::f32(dims(STEP), rows(&x.to_f32(), first)).unwrap();
        let y = cpu::update_f32(&steps, &mut held, &[("x", &step)]).unwrap();
        in_steps.extend(y["y"].to_f32());
        expected.extend(rows(&whole, first));
    }
    [expected, in_steps]
}

fn assert_near([expected, found]: [Vec<f32>; 2], what: &str) {
    assert_eq!(expected.len(), found.len());
    for (found, expected) in found.into_iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{what}: {found}, not {expected}");
    }
}

#[test]
fn a_stream_of_every_gate_in_steps_is_the_whole_text() {
    for (decay, is_delta) in [
        (DecayGate::None, false),
        (DecayGate::Heads, false),
        (DecayGate::Channels, false),
        (DecayGate::None, true),
        (DecayGate::Heads, true),
        (DecayGate::Channels, true),
    ] {
        let mut declarations = Declarations::new();
        let layer = GatedLinearAttention::declare(&mut declarations.root(), spec(decay, is_delta)).unwrap();
        let weights: Vec<(String, HostTensor)> = declarations
            .list()
            .iter()
            .map(|weight| (weight.name.clone(), random(&weight.name, weight.shape.dims(), 0.4)))
            .collect();
        let found = whole_and_steps(&weights, &[WIDTH], |recorder, x, layout| {
            layer.record(recorder, x, None, layout)
        });
        assert_near(found, &format!("{decay:?}, delta rule: {is_delta}"));
    }
}

#[test]
fn streams_with_fixed_decays_and_with_random_features_are_the_whole_text() {
    use foveate::nn::Attend;
    let causal = || Settings::new().causal();
    let kernel = SoftmaxKernel::new().stabilizer(Stabilizer::Projection).eps(1e-4);
    for (layer, what) in [
        (LinearAttention::new(causal()).decays(&retention_decays(HEADS)).unwrap(), "decays"),
        (
            LinearAttention::new(causal()).random_features(RandomProjection::new(24, HEAD_SIZE), kernel),
            "random features",
        ),
    ] {
        let found = whole_and_steps(&[], &[HEADS, HEAD_SIZE], |recorder, x, layout| {
            layer.record(recorder, x, x, x, layout)
        });
        assert_near(found, what);
    }
    let layer = LinearAttention::new(causal())
        .random_features(RandomProjection::new(24, HEAD_SIZE), SoftmaxKernel::new());
    let error = graph(&[BATCH, STEP, HEADS, HEAD_SIZE], |recorder, x| {
        layer.record(recorder, x, x, x, &Layout::Recurrent)
    });
    let error = error.unwrap_err();
    assert_eq!((error.kind(), error.argument()), (ErrorKind::Argument, "stabilizer"));
}

#[test]
fn retention_decays_are_those_of_the_paper() {
    let decays = retention_decays(3);
    for (decay, left) in decays.into_iter().zip([31.0 / 32.0, 63.0 / 64.0, 127.0 / 128.0]) {
        assert!((f64::from(decay).exp() - left).abs() < 1e-7, "{decay}");
    }
}

#[test]
fn gates_that_mean_nothing_are_refused() {
    let declare = |spec: GatedSpec| {
        let error = GatedLinearAttention::declare(&mut Declarations::new().root(), spec).unwrap_err();
        (error.kind(), error.argument().to_owned())
    };
    let refused = |argument: &str| (ErrorKind::Argument, argument.to_owned());
    assert_eq!(
        declare(GatedSpec { temperature: 0.0, ..spec(DecayGate::Heads, false) }),
        refused("temperature")
    );
    assert_eq!(declare(GatedSpec { heads: 5, ..spec(DecayGate::Heads, false) }), refused("heads"));
    let error = LinearAttention::new(Settings::new().causal()).decays(&[-1.0, 0.5]).unwrap_err();
    assert_eq!((error.kind(), error.argument()), (ErrorKind::Argument, "log_decay"));
}
