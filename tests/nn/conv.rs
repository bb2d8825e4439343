use foveate::nn::{CausalConv1d, Linear};
use foveate::ops::Activation;
use foveate::weights::Declarations;
use foveate::{Graph, HostTensor, TensorDesc};

use super::support::{Tensors, Trial, Values, assert_near, random};
use super::{BATCH, TIME, WIDTH};

/// `sum_j weight[out, in, j] x[t - kernel + 1 + j, in] + bias[out]`, with layer `name`'s weights.
pub(crate) fn convolution(
    tensors: &Tensors,
    name: &str,
    [batch, time]: [usize; 2],
    kernel: usize,
) -> Vec<f64> {
    let (x, weight) = (&tensors["x"], &tensors[&format!("{name}.weight")]);
    let bias = &tensors[&format!("{name}.bias")];
    let mut result = Vec::new();
    for b in 0..batch {
        for t in 0..time {
            for (out, bias) in bias.iter().enumerate() {
                let mut sum = *bias;
                for j in (0..kernel).filter(|j| t + j + 1 >= kernel) {
                    let from = b * time + (t + j + 1 - kernel);
                    for c in 0..WIDTH {
                        sum += weight[(out * WIDTH + c) * kernel + j] * x[from * WIDTH + c];
                    }
                }
                result.push(sum);
            }
        }
    }
    result
}

#[test]
fn equals_a_sum_over_places() {
    for kernel in [2, 5] {
        let mut declarations = Declarations::new();
        let layer = CausalConv1d::declare(&mut declarations.root().at("conv"), WIDTH, 6, kernel).unwrap();
        let trial = Trial::new(&declarations, &[("x", random("x", &[BATCH, TIME, WIDTH], 1.0))]);
        let record = |graph: &mut Graph, values: &Values| layer.record(graph, values["x"]);
        trial.check_reference(&record, &|tensors| convolution(tensors, "conv", [BATCH, TIME], kernel));
    }
}

#[test]
fn a_kernel_of_one_is_a_dense_layer() {
    let mut declarations = Declarations::new();
    let conv = CausalConv1d::declare(&mut declarations.root().at("conv"), WIDTH, WIDTH, 1).unwrap();
    let dense = Linear::declare(&mut declarations.root().at("dense"), WIDTH, WIDTH).unwrap();
    let weight = random("weight", &[WIDTH, WIDTH], 0.4);
    let bias = random("bias", &[WIDTH], 0.4);
    let trial = Trial::new(&declarations, &[("x", random("x", &[BATCH, TIME, WIDTH], 1.0))])
        .with("conv.weight", HostTensor::f32([WIDTH, WIDTH, 1], weight.to_f32()).unwrap())
        .with("dense.weight", weight)
        .with("conv.bias", bias.clone())
        .with("dense.bias", bias);
    let convolved = trial.run(&|graph: &mut Graph, values: &Values| conv.record(graph, values["x"]));
    let expected = trial
        .run(&|graph: &mut Graph, values: &Values| dense.record(graph, values["x"], Activation::Identity));
    assert_near("kernel 1", &convolved.to_f64(), &expected.to_f64(), 1e-7);
}

#[test]
fn an_input_of_another_width_is_refused() {
    let mut declarations = Declarations::new();
    let layer = CausalConv1d::declare(&mut declarations.root(), WIDTH, WIDTH, 2).unwrap();
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([1, TIME, 8])).unwrap();
    let error = layer.record(&mut graph, x).unwrap_err();
    assert_eq!(error.to_string(), "causal convolution: x: expected [batch, time, 32], found f32 [1, 24, 8]");
}
