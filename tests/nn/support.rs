//! The harness: a layer with its inputs and weights, run everywhere and compared.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use foveate::gpu::{self, AdapterRequest, Context, Program, Session};
use foveate::weights::Declarations;
use foveate::{DType, Graph, HostTensor, Plan, Random, Result, Value, cpu, ops};

/// What the dense computation reads: inputs and weights by name.
pub(crate) type Tensors = BTreeMap<String, Vec<f64>>;

/// Inputs as values of a graph.
pub(crate) type Values = BTreeMap<&'static str, Value>;

/// How a layer is recorded.
pub(crate) type Record<'a> = &'a dyn Fn(&mut Graph, &Values) -> Result<Value>;

/// The device of all tests. Without an adapter every test that asks for it fails, and says how to get one.
pub(crate) fn context() -> &'static Context {
    static CONTEXT: OnceLock<Context> = OnceLock::new();
    CONTEXT.get_or_init(|| Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}")))
}

/// Random numbers in +-`bound`, another stream for each name.
pub(crate) fn random(name: &str, shape: &[usize], bound: f32) -> HostTensor {
    let seed = name.bytes().fold(7u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let mut random = Random::new(seed);
    let floats = (0..shape.iter().product()).map(|_| bound * random.next_f32()).collect();
    HostTensor::f32(shape, floats).unwrap()
}

/// A layer with what it reads.
pub(crate) struct Trial {
    inputs: Vec<(&'static str, HostTensor)>,
    weights: BTreeMap<String, HostTensor>,
    constant: Vec<&'static str>,
}

impl Trial {
    /// Random weights, large enough that attention is not even.
    pub(crate) fn new(declarations: &Declarations, inputs: &[(&'static str, HostTensor)]) -> Self {
        let weight = |name: &str, shape: &[usize]| (name.to_owned(), random(name, shape, 0.4));
        let weights =
            declarations.list().iter().map(|weight_of| weight(&weight_of.name, weight_of.shape.dims()));
        Self { inputs: inputs.to_vec(), weights: weights.collect(), constant: Vec::new() }
    }

    /// Puts `tensor` in the place of an input or a weight.
    pub(crate) fn with(mut self, name: &str, tensor: HostTensor) -> Self {
        match self.inputs.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = tensor,
            None => *self.weights.get_mut(name).unwrap() = tensor,
        }
        self
    }

    /// Asks for no gradient of an input.
    pub(crate) fn constant(mut self, name: &'static str) -> Self {
        self.constant.push(name);
        self
    }

    /// The weights by name.
    pub(crate) fn weights(&self) -> BTreeMap<String, HostTensor> {
        self.weights.clone()
    }

    fn inputs(&self) -> Vec<(&str, &HostTensor)> {
        self.inputs.iter().map(|(name, tensor)| (*name, tensor)).collect()
    }

    fn named_weights(&self) -> impl Iterator<Item = Result<(String, HostTensor)>> + '_ {
        self.weights.iter().map(|(name, tensor)| Ok((name.clone(), tensor.clone())))
    }

    /// A graph of the layer, its result and its inputs as values.
    fn graph(&self, record: Record<'_>) -> (Graph, Value, Values) {
        let mut graph = Graph::new();
        let values: Values = self
            .inputs
            .iter()
            .map(|(name, tensor)| (*name, graph.input(name, tensor.desc()).unwrap()))
            .collect();
        let out = record(&mut graph, &values).unwrap_or_else(|error| panic!("{error}"));
        graph.output("out", out).unwrap();
        (graph, out, values)
    }

    /// The layer's result on the references.
    pub(crate) fn run(&self, record: Record<'_>) -> HostTensor {
        let (graph, ..) = self.graph(record);
        let mut weights = cpu::Parameters::new(self.named_weights()).unwrap();
        cpu::update(&graph, &mut weights, &self.inputs()).unwrap().remove("out").unwrap()
    }

    /// Holds result and gradients of the references to `dense` and to its central differences.
    pub(crate) fn check_reference(&self, record: Record<'_>, dense: &dyn Fn(&Tensors) -> Vec<f64>) {
        self.check_with(record, dense, false);
    }

    /// [`Trial::check_reference`], and those of the device to the references.
    pub(crate) fn check(&self, record: Record<'_>, dense: &dyn Fn(&Tensors) -> Vec<f64>) {
        self.check_with(record, dense, true);
    }

    fn check_with(&self, record: Record<'_>, dense: &dyn Fn(&Tensors) -> Vec<f64>, on_device: bool) {
        let (mut graph, out, values) = self.graph(record);
        let desc = graph.desc(out).unwrap().clone();
        let upstream = random("upstream", desc.shape.dims(), 1.0);
        let by = graph.input("upstream", desc).unwrap();
        let weighted = ops::multiply(&mut graph, out, by).unwrap();
        let flat = ops::reshape(&mut graph, weighted, [upstream.shape().elements()]).unwrap();
        let loss = ops::sum(&mut graph, flat, &[0]).unwrap();
        let mut wrt: Vec<(String, Value)> = graph.parameters().to_vec();
        assert!(!wrt.is_empty(), "the layer has weights");
        for (name, tensor) in &self.inputs {
            if tensor.dtype() == DType::F32 && !self.constant.contains(name) {
                wrt.push(((*name).to_owned(), values[name]));
            }
        }
        let gradients =
            graph.gradients(loss, &wrt.iter().map(|(_, value)| *value).collect::<Vec<_>>()).unwrap();
        for ((name, _), gradient) in wrt.iter().zip(gradients) {
            graph.output(&format!("d {name}"), gradient).unwrap();
        }
        let mut inputs = self.inputs();
        inputs.push(("upstream", &upstream));
        let weights = cpu::Parameters::new(self.named_weights()).unwrap();
        let reference = cpu::run_with(&graph, &weights, &inputs).unwrap();

        let tensors: Tensors = self
            .inputs
            .iter()
            .map(|(name, tensor)| ((*name).to_owned(), tensor.to_f64()))
            .chain(self.weights.iter().map(|(name, tensor)| (name.clone(), tensor.to_f64())))
            .collect();
        assert_near("reference", &reference["out"].to_f64(), &dense(&tensors), 1e-6);
        let loss = |tensors: &Tensors| -> f64 {
            dense(tensors).iter().zip(upstream.to_f64()).map(|(out, by)| out * by).sum()
        };
        for (name, _) in &wrt {
            assert_slope(name, &reference[&format!("d {name}")].to_f64(), &tensors, &loss);
        }
        if on_device {
            let program = Program::new(context(), &Plan::new(&graph, context().caps()).unwrap()).unwrap();
            let weights = gpu::Parameters::upload(context(), self.named_weights()).unwrap();
            let mut session = Session::with_parameters(&program, &weights, &inputs).unwrap();
            session.run().unwrap();
            for (name, found) in session.read().unwrap() {
                // A bias of keys has a gradient of 0, which is left over of sums of the size of the weight's.
                let weight = name.strip_suffix(".bias").map(|layer| &reference[&format!("{layer}.weight")]);
                let expected = reference[&name].to_f64();
                let size = largest(&expected).max(weight.map_or(0.0, |weight| largest(&weight.to_f64())));
                assert_within(&format!("device, {name}"), &found.to_f64(), &expected, 2e-5 * size);
            }
        }
    }
}

/// Compares a gradient with the slope of `loss` along a random direction through the tensor of that name.
fn assert_slope(name: &str, gradient: &[f64], tensors: &Tensors, loss: &dyn Fn(&Tensors) -> f64) {
    let direction = random(&format!("direction of {name}"), &[gradient.len()], 1.0).to_f64();
    let along = |step: f64| {
        let mut moved = tensors.clone();
        for (x, d) in moved.get_mut(name).unwrap().iter_mut().zip(&direction) {
            *x += step * d;
        }
        loss(&moved)
    };
    let difference = |step: f64| (along(step) - along(-step)) / (2.0 * step);
    // Richardson's extrapolation: what is left of the step falls with its fourth power.
    let step = 1e-4;
    let expected = (4.0 * difference(step / 2.0) - difference(step)) / 3.0;
    let products = || gradient.iter().zip(&direction).map(|(g, d)| g * d);
    let (found, size) = (products().sum::<f64>(), products().map(f64::abs).sum::<f64>());
    let allowed = 1e-6 * (size + 1e-3 * loss(tensors).abs() + 1e-6);
    assert!((found - expected).abs() <= allowed, "{name}: gradient {found:e}, but slope {expected:e}");
}

/// Refuses a distance of more than `allowed` of the largest magnitude that is expected.
pub(crate) fn assert_near(what: &str, found: &[f64], expected: &[f64], allowed: f64) {
    assert_within(what, found, expected, allowed * largest(expected));
}

fn largest(numbers: &[f64]) -> f64 {
    numbers.iter().fold(0.0, |most: f64, x| most.max(x.abs()))
}

fn assert_within(what: &str, found: &[f64], expected: &[f64], allowed: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        // Written so that a NaN fails.
        let is_within = (found - expected).abs() <= allowed;
        assert!(is_within, "{what}, element {i}: found {found:e}, expected {expected:e}");
    }
}

/// The positions `range` of each batch item of `rows: [batch, time, width]`.
pub(crate) fn positions(rows: &HostTensor, range: std::ops::Range<usize>) -> Vec<f64> {
    let [_, time, width] = *rows.shape().dims() else { panic!("rows of {}", rows.shape()) };
    let rows = rows.to_f64();
    rows.chunks(time * width).flat_map(|item| item[range.start * width..range.end * width].to_vec()).collect()
}

/// The same rows with other numbers in the positions from `from` on.
pub(crate) fn disturbed(rows: &HostTensor, from: usize) -> HostTensor {
    let [_, time, width] = *rows.shape().dims() else { panic!("rows of {}", rows.shape()) };
    let moved = rows.to_f32().into_iter().enumerate();
    let moved = moved.map(|(i, x)| if i / width % time < from { x } else { 1.0 - x });
    HostTensor::f32(rows.shape().clone(), moved.collect()).unwrap()
}

/// Asserts that nothing before a position moves with it.
pub(crate) fn assert_causal(trial: Trial, record: Record<'_>) {
    let from = 13;
    let before = trial.run(record);
    let (_, x) = trial.inputs.iter().find(|(name, _)| *name == "x").unwrap();
    let moved = disturbed(x, from);
    let after = trial.with("x", moved).run(record);
    assert_eq!(positions(&before, 0..from), positions(&after, 0..from));
    assert_ne!(positions(&before, from..from + 1), positions(&after, from..from + 1));
}
