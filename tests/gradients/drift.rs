//! How far f32 takes reversible stacks from plain ones, and from where they began.

use foveate::gpu::{AdapterRequest, Context, Program};
use foveate::nn::Reversible;
use foveate::{Graph, HostTensor, Plan, Random, TensorDesc, Value, cpu};

use super::{Stack, WIDTH, branch, input, stack};

/// Random tensors for the inputs of `graph`.
fn tensors(graph: &Graph, amplitude: f32) -> Vec<(String, HostTensor)> {
    let mut random = Random::new(3);
    let mut tensor = |(name, value): &(String, Value)| {
        let desc = graph.desc(*value).unwrap();
        let floats = (0..desc.elements()).map(|_| amplitude * random.next_f32()).collect();
        (name.clone(), HostTensor::f32(desc.shape.clone(), floats).unwrap())
    };
    graph.inputs().iter().map(&mut tensor).collect()
}

/// Outputs in f32: of the references, and of the best adapter.
fn run_in_f32(graph: &Graph, amplitude: f32) -> [std::collections::BTreeMap<String, HostTensor>; 2] {
    let tensors = tensors(graph, amplitude);
    let inputs: Vec<(&str, &HostTensor)> =
        tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let context = Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}"));
    let program = Program::new(&context, &Plan::new(graph, context.caps()).unwrap()).unwrap();
    [cpu::run_f32(graph, &cpu::Parameters::default(), &inputs).unwrap(), program.run(&inputs).unwrap()]
}

fn off(found: &HostTensor, expected: &HostTensor) -> f32 {
    let largest = expected.to_f32().iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    assert!(found.to_f32().iter().all(|x| x.is_finite()), "a NaN would vanish in a maximum");
    let pairs = found.to_f32().into_iter().zip(expected.to_f32());
    pairs.map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max) / largest
}

#[test]
fn reversible_gradients_in_f32_are_those_of_the_plain_graph_at_24_layers() {
    let [reversible, plain] =
        [Stack::Reversible, Stack::TwoStreams].map(|kind| run_in_f32(&stack(kind, 24), 0.5));
    for (reversible, plain) in reversible.iter().zip(&plain) {
        let worst = plain.iter().map(|(name, plain)| off(&reversible[name], plain)).fold(0.0, f32::max);
        println!("{worst:e} of the largest off");
        assert!(worst < 1e-4, "{worst:e}");
    }
}

/// Numbers like those of a Transformer's stream drift by 5e-7, 3e-6 and 8e-6 over 6, 12 and 24 blocks in f32.
#[test]
fn the_drift_of_a_stack_run_forth_and_back_is_bounded() {
    for (layers, bound) in [(6, 5e-6), (12, 1e-5), (24, 4e-5)] {
        let mut graph = Graph::new();
        let x = ["x1", "x2"].map(|name| input(&mut graph, name));
        let weights: Vec<[Value; 2]> = (0..layers)
            .map(|layer| {
                ["f", "g"].map(|name| {
                    graph.input(&format!("{name}{layer}"), TensorDesc::f32([WIDTH, WIDTH])).unwrap()
                })
            })
            .collect();
        let layer = |&[f, g]: &[Value; 2]| {
            Reversible::new(
                move |graph: &mut Graph, x| branch(graph, x, f),
                move |graph: &mut Graph, x| branch(graph, x, g),
            )
        };
        let y = weights.iter().fold(x, |x, weights| layer(weights).record(&mut graph, x).unwrap());
        let back = weights.iter().rev().fold(y, |y, weights| layer(weights).reverse(&mut graph, y).unwrap());
        for (name, value) in ["back1", "back2"].into_iter().zip(back) {
            graph.output(name, value).unwrap();
        }
        let start: Vec<(String, HostTensor)> = tensors(&graph, 1.0);
        for outputs in run_in_f32(&graph, 1.0) {
            for (name, (_, x)) in ["back1", "back2"].into_iter().zip(&start) {
                let drift = off(&outputs[name], x);
                assert!(drift < bound, "{layers} layers: {drift:e}");
                assert!(drift > 0.0 || layers < 12, "{layers} layers: it was not even run");
            }
        }
    }
}
