//! Gradients of whole graphs: what is refused, what replays give, and what reversible and checkpointed stacks remember.

mod drift;

use foveate::nn::Reversible;
use foveate::ops::attention::{BlockLayout, Blocked, Mask, blocked};
use foveate::ops::{self, Activation, Linear};
use foveate::{Caps, DType, ErrorKind, Graph, HostTensor, Op, Plan, Random, Result, TensorDesc, Value, cpu};

const TIME: usize = 32;
const WIDTH: usize = 16;

fn input(graph: &mut Graph, name: &str) -> Value {
    graph.input(name, TensorDesc::f32([TIME, WIDTH])).unwrap()
}

/// The sum of all elements.
fn total(graph: &mut Graph, x: Value) -> Value {
    let axes: Vec<usize> = (0..graph.desc(x).unwrap().shape.rank()).collect();
    let sum = ops::sum(graph, x, &axes).unwrap();
    ops::reshape(graph, sum, [1]).unwrap()
}

#[test]
fn a_loss_of_many_elements_is_refused() {
    let mut graph = Graph::new();
    let x = input(&mut graph, "x");
    let error = graph.gradients(x, &[x]).unwrap_err();
    assert_eq!(error.to_string(), "gradients: loss: expected one element, found f32 [32, 16]");
    assert_eq!(error.kind(), ErrorKind::Shape);
}

#[test]
fn a_value_of_another_graph_is_refused() {
    let (mut graph, mut other) = (Graph::new(), Graph::new());
    let (x, foreign) = (input(&mut graph, "x"), input(&mut other, "x"));
    let loss = total(&mut graph, x);
    let error = graph.gradients(loss, &[foreign]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "graph: value: expected a value of this graph, found a value of another graph"
    );
}

#[test]
fn a_value_without_influence_is_refused() {
    let mut graph = Graph::new();
    let (x, idle) = (input(&mut graph, "x"), input(&mut graph, "idle"));
    let loss = total(&mut graph, x);
    let error = graph.gradients(loss, &[x, idle]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "gradients: wrt: expected a value the loss depends on, found a f32 [32, 16] that has no influence on it"
    );
}

#[test]
fn an_op_without_gradients_is_named_only_when_it_lies_on_the_way() {
    let mut graph = Graph::new();
    let (x, y) = (input(&mut graph, "x"), input(&mut graph, "y"));
    // The gradient of a gelu, which nothing differentiates once more.
    let activated = ops::gelu(&mut graph, x).unwrap();
    let inner = total(&mut graph, activated);
    let slope = graph.gradients(inner, &[x]).unwrap()[0];
    let product = ops::multiply(&mut graph, slope, y).unwrap();
    let loss = total(&mut graph, product);
    assert!(graph.gradients(loss, &[y]).is_ok(), "the op is off the way to y");
    let error = graph.gradients(loss, &[x]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotDifferentiable);
    assert!(error.to_string().starts_with("elementwise/activation_backward: gradients: "), "{error}");
}

#[test]
fn integers_have_no_gradients() {
    let mut graph = Graph::new();
    let table = graph.input("table", TensorDesc::f32([5, 4])).unwrap();
    let ids = graph.input("ids", TensorDesc::i32([3])).unwrap();
    let rows = ops::embedding(&mut graph, &[(table, ids)]).unwrap();
    let loss = total(&mut graph, rows);
    let error = graph.gradients(loss, &[ids]).unwrap_err();
    assert_eq!(error.to_string(), "gradients: wrt: expected a float, found i32 [3]");
}

#[test]
fn a_value_that_is_used_twice_gets_both_gradients() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([2, 6])).unwrap();
    let parts = ops::split(&mut graph, x, 1, &[2, 4]).unwrap();
    let left = ops::scale(&mut graph, parts[0], 3.0).unwrap();
    let left = total(&mut graph, left);
    let square = ops::multiply(&mut graph, parts[1], parts[1]).unwrap();
    let right = total(&mut graph, square);
    let sum = ops::add(&mut graph, left, right).unwrap();
    let all = total(&mut graph, x);
    let loss = ops::add(&mut graph, sum, all).unwrap();
    let dx = graph.gradients(loss, &[x]).unwrap()[0];
    graph.output("dx", dx).unwrap();
    let floats: Vec<f32> = (0..12).map(|i| i as f32).collect();
    let tensor = HostTensor::f32([2, 6], floats).unwrap();
    let found = cpu::run(&graph, &[("x", &tensor)]).unwrap()["dx"].to_f32();
    assert_eq!(found, [4.0, 4.0, 5.0, 7.0, 9.0, 11.0, 4.0, 4.0, 17.0, 19.0, 21.0, 23.0]);
    let joined = graph.steps().iter().filter(|step| step.op_name() == "layout/concat").count();
    assert_eq!(joined, 1, "slices that make up a value are joined, not padded");
}

#[test]
fn a_replay_gives_the_same_bits_on_the_same_inputs_and_others_on_others() {
    let mut graph = Graph::new();
    let (x, other) = (input(&mut graph, "x"), input(&mut graph, "other"));
    let y = ops::gelu(&mut graph, x).unwrap();
    let y = ops::softmax(&mut graph, y).unwrap();
    let (same, moved) = (graph.replay(0..2, &[]).unwrap(), graph.replay(0..2, &[(x, other)]).unwrap());
    assert_ne!(same.value(y), y);
    assert_eq!(same.value(x), x);
    for (name, value) in [("y", y), ("same", same.value(y)), ("moved", moved.value(y))] {
        graph.output(name, value).unwrap();
    }
    let outputs = run(&graph, &["x", "other"]);
    assert_eq!(outputs["y"], outputs["same"]);
    assert_ne!(outputs["y"], outputs["moved"]);

    let error = graph.replay(0..100, &[]).unwrap_err();
    assert_eq!(error.to_string(), "replay: range: expected a range of the 6 steps, found 0..100");
    let narrow = graph.input("narrow", TensorDesc::f32([2])).unwrap();
    let error = graph.replay(0..2, &[(x, narrow)]).unwrap_err();
    assert_eq!(error.to_string(), "replay: substitution: expected f32 [32, 16], found f32 [2]");
}

/// Runs in f64 on inputs of random numbers.
fn run(graph: &Graph, names: &[&str]) -> std::collections::BTreeMap<String, HostTensor> {
    let mut random = Random::new(3);
    let tensors: Vec<(&str, HostTensor)> = names
        .iter()
        .map(|name| {
            let (_, value) = graph.inputs().iter().find(|(known, _)| known == name).unwrap();
            let desc = graph.desc(*value).unwrap();
            let floats: Vec<f32> = (0..desc.elements()).map(|_| 0.5 * random.next_f32()).collect();
            (*name, HostTensor::f32(desc.shape.clone(), floats).unwrap())
        })
        .collect();
    let inputs: Vec<(&str, &HostTensor)> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    cpu::run(graph, &inputs).unwrap()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stack {
    Plain,
    Checkpointed,
    Reversible,
    /// The same function as `Reversible`, of ordinary steps.
    TwoStreams,
}

/// A branch with a weight of its own. The weights are inputs, as `cpu::run` takes no parameters.
fn branch(graph: &mut Graph, x: Value, weight: Value) -> Result<Value> {
    let hidden = ops::linear(graph, x, weight, &Linear::new().activation(Activation::Gelu))?;
    ops::softmax(graph, hidden)
}

/// A stack of `layers` layers with its loss, and the gradients of its weights and input as outputs.
fn stack(kind: Stack, layers: usize) -> Graph {
    let mut graph = Graph::new();
    let x = input(&mut graph, "x");
    let target = input(&mut graph, "target");
    let weight = |graph: &mut Graph, layer: usize, name: &str| {
        graph.input(&format!("{name}{layer}"), TensorDesc::f32([WIDTH, WIDTH])).unwrap()
    };
    let weights: Vec<[Value; 2]> =
        (0..layers).map(|layer| ["f", "g"].map(|name| weight(&mut graph, layer, name))).collect();
    let y = match kind {
        Stack::Plain | Stack::Checkpointed => {
            let segment = (layers as f64).sqrt().round() as usize;
            weights.chunks(segment).fold(x, |x, weights| {
                let record = |graph: &mut Graph| {
                    weights.iter().try_fold(x, |x, &[f, g]| {
                        let hidden = branch(graph, x, f)?;
                        let x = ops::add(graph, x, hidden)?;
                        let hidden = branch(graph, x, g)?;
                        ops::add(graph, x, hidden)
                    })
                };
                let recorded =
                    if kind == Stack::Plain { record(&mut graph) } else { graph.checkpoint(record) };
                recorded.unwrap()
            })
        }
        Stack::Reversible | Stack::TwoStreams => {
            let [y1, y2] = weights.iter().fold([x, x], |[x1, x2], &[f, g]| {
                if kind == Stack::TwoStreams {
                    let hidden = branch(&mut graph, x2, f).unwrap();
                    let y1 = ops::add(&mut graph, x1, hidden).unwrap();
                    let hidden = branch(&mut graph, y1, g).unwrap();
                    return [y1, ops::add(&mut graph, x2, hidden).unwrap()];
                }
                let layer = Reversible::new(
                    |graph: &mut Graph, x| branch(graph, x, f),
                    |graph: &mut Graph, x| branch(graph, x, g),
                );
                layer.record(&mut graph, [x1, x2]).unwrap()
            });
            ops::add(&mut graph, y1, y2).unwrap()
        }
    };
    let loss = ops::mean_squared_error(&mut graph, y, target).unwrap();
    let wrt: Vec<Value> = weights.into_iter().flatten().chain([x]).collect();
    let gradients = graph.gradients(loss, &wrt).unwrap();
    for (i, gradient) in gradients.into_iter().enumerate() {
        graph.output(&format!("gradient {i}"), gradient).unwrap();
    }
    graph
}

/// What the backward pass keeps besides inputs, weights and their gradients.
fn working(kind: Stack, layers: usize) -> u64 {
    Plan::new(&stack(kind, layers), &Caps::webgpu_default()).unwrap().memory().working
}

#[test]
fn memory_is_flat_for_reversible_layers_and_a_root_for_checkpointed_ones() {
    let depths = [4, 8, 16, 32];
    let [plain, checkpointed, reversible] = [Stack::Plain, Stack::Checkpointed, Stack::Reversible]
        .map(|kind| depths.map(|layers| working(kind, layers) as f64));
    println!("plain {plain:?}\ncheckpointed {checkpointed:?}\nreversible {reversible:?}");
    for at in 1..4 {
        assert!((reversible[at] / reversible[0] - 1.0).abs() < 0.05, "flat: {reversible:?}");
    }
    let growth = |memory: [f64; 4]| (memory[3] - memory[1]) / (memory[2] - memory[0]);
    assert!((growth(plain) - 2.0).abs() < 0.1, "linear: {plain:?}");
    assert!((growth(checkpointed) - 2f64.sqrt()).abs() < 0.25, "a root: {checkpointed:?}");
    assert!(plain[3] > 3.0 * checkpointed[3] && checkpointed[3] > 1.5 * reversible[3]);
}

fn assert_equal_gradients(found: &Graph, expected: &Graph, layers: usize, tolerance: f64) {
    let names: Vec<String> =
        (0..layers).flat_map(|layer| [format!("f{layer}"), format!("g{layer}")]).collect();
    let names: Vec<&str> = ["x", "target"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let (found, expected) = (run(found, &names), run(expected, &names));
    for (name, expected) in &expected {
        let (found, expected) = (found[name].to_f64(), expected.to_f64());
        let largest = expected.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
        // A NaN would vanish in a maximum.
        assert!(found.iter().all(|x| x.is_finite()), "{name}");
        let off = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(largest > 0.0 && off <= tolerance * largest, "{name}: {off:e} of {largest:e}");
    }
}

#[test]
fn replayed_gradients_are_those_of_the_plain_stack() {
    // Outputs are rounded to f32 once.
    assert_equal_gradients(&stack(Stack::Checkpointed, 9), &stack(Stack::Plain, 9), 9, 1e-7);
    assert_equal_gradients(&stack(Stack::Reversible, 24), &stack(Stack::TwoStreams, 24), 24, 1e-6);
}

/// Attention by a rule that brings data of its own, with the gradients of query, key and value.
fn block_attention(is_checkpointed: bool) -> Graph {
    let mut graph = Graph::new();
    let [q, k, v] = ["q", "k", "v"].map(|name| graph.input(name, TensorDesc::f32([1, TIME, 2, 8])).unwrap());
    let layout = BlockLayout::new(8, [1, 4, 4], (0..16).map(|pair| pair % 3 == 0).collect()).unwrap();
    let spec = Blocked::new().mask(Mask::blocks(layout));
    let record = |graph: &mut Graph| {
        let attended = blocked(graph, q, k, v, &spec)?;
        ops::gelu(graph, attended)
    };
    let y = if is_checkpointed { graph.checkpoint(record) } else { record(&mut graph) }.unwrap();
    let y = ops::multiply(&mut graph, y, y).unwrap();
    let loss = total(&mut graph, y);
    let gradients = graph.gradients(loss, &[q, k, v]).unwrap();
    for (name, gradient) in ["dq", "dk", "dv"].into_iter().zip(gradients) {
        graph.output(name, gradient).unwrap();
    }
    graph
}

#[test]
fn data_that_a_rule_brings_is_held_once_where_its_step_is_replayed() {
    let (plain, checkpointed) = (block_attention(false), block_attention(true));
    let names = ["q", "k", "v"];
    assert_eq!(run(&checkpointed, &names), run(&plain, &names));
    let held = |graph: &Graph| Plan::new(graph, &Caps::webgpu_default()).unwrap().memory().constants;
    assert!(held(&plain) > 0);
    assert_eq!(held(&checkpointed), held(&plain));
    let constants = checkpointed.steps().iter().filter(|step| step.op_name() == "constant").count();
    assert!(constants > 1, "the step is replayed");
}

#[test]
fn segments_inside_segments_are_refused() {
    let mut graph = Graph::new();
    let x = input(&mut graph, "x");
    let error = graph
        .checkpoint(|graph| {
            graph.checkpoint(|graph| ops::gelu(graph, x))?;
            ops::relu(graph, x)
        })
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "graph: segment: expected segments one behind the other, found one at steps 0..1 inside another, 0..2"
    );
}

#[test]
fn streams_of_reversible_layers_are_f32_and_of_one_shape() {
    let layer = Reversible::new(ops::gelu, ops::tanh);
    let mut graph = Graph::new();
    let half = graph.input("half", TensorDesc::new(DType::F16, [4])).unwrap();
    let error = layer.record(&mut graph, [half, half]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "reversible: x1: expected f32, as the streams of reversible layers are, found f16"
    );
    let (x, y) = (input(&mut graph, "x"), graph.input("y", TensorDesc::f32([3])).unwrap());
    let error = layer.record(&mut graph, [x, y]).unwrap_err();
    assert_eq!(error.to_string(), "reversible: x2: expected f32 [32, 16], found f32 [3]");
}

/// An op of another crate that has only what it must have.
#[derive(Debug)]
struct Opaque;

impl Op for Opaque {
    fn name(&self) -> &'static str {
        "opaque"
    }
    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        Ok(inputs.to_vec())
    }
    fn reference<R: foveate::Real>(&self, inputs: &[&foveate::Array<R>]) -> Vec<foveate::Array<R>> {
        vec![inputs[0].clone()]
    }
    fn lower(&self, _: &foveate::StepDesc, _: &Caps) -> Result<foveate::kernel::Lowered> {
        Ok(foveate::kernel::Lowered::View(0))
    }
}

#[test]
fn an_op_that_says_nothing_of_gradients_has_none() {
    let mut graph = Graph::new();
    let x = input(&mut graph, "x");
    let y = graph.push(Opaque, &[x]).unwrap()[0];
    let loss = total(&mut graph, y);
    let error = graph.gradients(loss, &[x]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "opaque: gradients: expected an op with a backward pass on the way from the loss, found one without"
    );
}

/// An op that calls its floats a choice.
#[derive(Debug)]
struct FloatChoice;

impl Op for FloatChoice {
    fn name(&self) -> &'static str {
        "float choice"
    }
    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        Ok(inputs.to_vec())
    }
    fn reference<R: foveate::Real>(&self, inputs: &[&foveate::Array<R>]) -> Vec<foveate::Array<R>> {
        vec![inputs[0].clone()]
    }
    fn lower(&self, _: &foveate::StepDesc, _: &Caps) -> Result<foveate::kernel::Lowered> {
        Ok(foveate::kernel::Lowered::View(0))
    }
    fn is_choice(&self) -> bool {
        true
    }
}

#[test]
fn a_choice_of_floats_is_refused_where_it_would_be_replayed() {
    let layer = Reversible::new(|graph: &mut Graph, x| Ok(graph.push(FloatChoice, &[x])?[0]), ops::gelu);
    let mut graph = Graph::new();
    let x = input(&mut graph, "x");
    let [y, _] = layer.record(&mut graph, [x, x]).unwrap();
    let loss = total(&mut graph, y);
    let error = graph.gradients(loss, &[x]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "float choice: outputs: expected integers, of a step that says it chooses, found f32 [32, 16]"
    );
    assert_eq!(error.kind(), ErrorKind::NotDifferentiable);
}

/// The inputs of a reversible layer come back equal where they were not: elements chosen by their size stay those of the forward pass.
#[test]
fn choices_are_kept_for_reversible_layers() {
    let top = |graph: &mut Graph, x| {
        let top = ops::top_k(graph, x, 1)?.values;
        ops::broadcast(graph, top, [1, 2])
    };
    let sorted = |graph: &mut Graph, x| {
        let sorted = ops::sort(graph, x, ops::Order::Descending)?.values;
        let first = ops::slice(graph, sorted, 1, 0..1)?;
        ops::broadcast(graph, first, [1, 2])
    };
    let largest = |graph: &mut Graph, x| {
        let place = ops::argmax(graph, x, 1)?;
        let place = ops::reshape(graph, place, [1])?;
        let rows = ops::reshape(graph, x, [2, 1])?;
        let chosen = ops::gather_rows(graph, rows, place)?;
        ops::broadcast(graph, chosen, [1, 2])
    };
    for f in [top, sorted, largest] as [fn(&mut Graph, Value) -> Result<Value>; 3] {
        let far = |graph: &mut Graph, _| ops::fill(graph, TensorDesc::f32([1, 2]), 1e6);
        let mut graph = Graph::new();
        let [x1, x2] = ["x1", "x2"].map(|name| graph.input(name, TensorDesc::f32([1, 2])).unwrap());
        let [y1, _] = Reversible::new(f, far).record(&mut graph, [x1, x2]).unwrap();
        let loss = total(&mut graph, y1);
        let dx = graph.gradients(loss, &[x2]).unwrap()[0];
        graph.output("dx", dx).unwrap();
        let x = HostTensor::f32([1, 2], vec![1.0, 1.001]).unwrap();
        let outputs = cpu::run_f32(&graph, &cpu::Parameters::default(), &[("x1", &x), ("x2", &x)]).unwrap();
        assert_eq!(outputs["dx"].to_f32(), [0.0, 2.0]);
    }
}

#[test]
fn what_a_segment_shares_with_a_reversible_layer_gets_both_gradients() {
    let build = |with_blocks: bool| {
        let mut graph = Graph::new();
        let x = input(&mut graph, "x");
        let record = |graph: &mut Graph| ops::gelu(graph, x);
        let h = if with_blocks { graph.checkpoint(record) } else { record(&mut graph) }.unwrap();
        let layer = Reversible::new(ops::tanh, ops::gelu);
        let [y1, y2] = if with_blocks {
            layer.record(&mut graph, [x, h]).unwrap()
        } else {
            let f = ops::tanh(&mut graph, h).unwrap();
            let y1 = ops::add(&mut graph, x, f).unwrap();
            let g = ops::gelu(&mut graph, y1).unwrap();
            [y1, ops::add(&mut graph, h, g).unwrap()]
        };
        let product = ops::multiply(&mut graph, y1, y2).unwrap();
        let loss = total(&mut graph, product);
        let dx = graph.gradients(loss, &[x]).unwrap()[0];
        graph.output("dx", dx).unwrap();
        run(&graph, &["x"])["dx"].to_f32()
    };
    for (found, expected) in build(true).iter().zip(build(false)) {
        assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
    }
}

#[test]
fn a_loss_inside_a_reversible_layer_counts() {
    let mut graph = Graph::new();
    let x = input(&mut graph, "x");
    let inside = std::cell::Cell::new(None);
    let f = |graph: &mut Graph, x| {
        let hidden = ops::gelu(graph, x)?;
        inside.set(Some(hidden));
        ops::tanh(graph, hidden)
    };
    Reversible::new(f, ops::gelu).record(&mut graph, [x, x]).unwrap();
    let loss = total(&mut graph, inside.get().unwrap());
    let dx = graph.gradients(loss, &[x]).unwrap()[0];
    graph.output("dx", dx).unwrap();
    let zeros = HostTensor::f32([TIME, WIDTH], vec![0.0; TIME * WIDTH]).unwrap();
    let found = cpu::run(&graph, &[("x", &zeros)]).unwrap()["dx"].to_f32();
    assert!(found.iter().all(|&slope| (slope - 0.5).abs() < 1e-6), "the slope of gelu at 0");
}

#[test]
fn attention_replayed_with_other_lengths_has_their_gradients() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([1, 6, 1, 4])).unwrap();
    let [lengths, others] =
        ["lengths", "others"].map(|name| graph.input(name, TensorDesc::i32([1])).unwrap());
    let spec = ops::attention::Blocked::new();
    let out = ops::attention::blocked(&mut graph, x, x, x, &spec.clone().lengths(lengths)).unwrap();
    let replay = graph.replay(0..1, &[(lengths, others)]).unwrap();
    let direct = ops::attention::blocked(&mut graph, x, x, x, &spec.lengths(others)).unwrap();
    for (name, out) in [("replayed", replay.value(out)), ("direct", direct)] {
        let square = ops::multiply(&mut graph, out, out).unwrap();
        let loss = total(&mut graph, square);
        let dx = graph.gradients(loss, &[x]).unwrap()[0];
        graph.output(name, dx).unwrap();
    }
    let x = HostTensor::f32([1, 6, 1, 4], (0..24).map(|i| (i as f32).sin()).collect()).unwrap();
    let [six, three] = [6, 3].map(|length| HostTensor::i32([1], vec![length]).unwrap());
    let outputs = cpu::run(&graph, &[("x", &x), ("lengths", &six), ("others", &three)]).unwrap();
    assert_eq!(outputs["replayed"], outputs["direct"]);
}
