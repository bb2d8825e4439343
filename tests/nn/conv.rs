use foveate::nn::{CausalConv1d, CentredConv1d, Layout, Linear};
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

/// `sum_j weight[out, in, j] x[t + j - kernel / 2, in] + bias[out]` within sequences of `lengths` in `[lengths.len(), TIME]`, which hold
/// nothing else.
fn centred(tensors: &Tensors, lengths: &[usize], kernel: usize) -> Vec<f64> {
    let (x, weight, bias) = (&tensors["x"], &tensors["conv.weight"], &tensors["conv.bias"]);
    let mut result = Vec::new();
    for (b, &length) in lengths.iter().enumerate() {
        for (t, out) in (0..TIME * bias.len()).map(|at| (at / bias.len(), at % bias.len())) {
            let mut sum = bias[out];
            for j in (0..kernel).filter(|j| (kernel / 2..length + kernel / 2).contains(&(t + j))) {
                let from = b * TIME + t + j - kernel / 2;
                for c in 0..WIDTH {
                    sum += weight[(out * WIDTH + c) * kernel + j] * x[from * WIDTH + c];
                }
            }
            result.push(sum);
        }
    }
    result
}

fn centred_layer(kernel: usize) -> (Declarations, CentredConv1d) {
    let mut declarations = Declarations::new();
    let layer = CentredConv1d::declare(&mut declarations.root().at("conv"), WIDTH, 6, kernel).unwrap();
    (declarations, layer)
}

#[test]
fn a_centred_kernel_reaches_to_both_sides() {
    // The last one is wider than the sequence.
    for kernel in [1, 5, 2 * TIME + 5] {
        let (declarations, layer) = centred_layer(kernel);
        let trial = Trial::new(&declarations, &[("x", random("x", &[BATCH, TIME, WIDTH], 1.0))]);
        let record = |graph: &mut Graph, values: &Values| layer.record(graph, values["x"], &Layout::Rows);
        trial.check_reference(&record, &|tensors| centred(tensors, &[TIME; BATCH], kernel));
    }
}

#[test]
fn padding_is_read_as_zeros() {
    let (declarations, layer) = centred_layer(5);
    let lengths = [TIME - 7, TIME];
    let tensor = HostTensor::i32([BATCH], lengths.map(|length| length as i32).to_vec()).unwrap();
    let inputs = [("x", random("x", &[BATCH, TIME, WIDTH], 1.0)), ("lengths", tensor)];
    let record = |graph: &mut Graph, values: &Values| {
        layer.record(graph, values["x"], &Layout::Padded { lengths: values["lengths"] })
    };
    Trial::new(&declarations, &inputs).check(&record, &|tensors| centred(tensors, &lengths, 5));
}

#[test]
fn packed_sequences_are_read_apart() {
    let (declarations, layer) = centred_layer(5);
    let lengths = [1, 9, 2, TIME - 12];
    let segments = (0..).zip(lengths).flat_map(|(segment, length)| vec![segment; length]).collect();
    let segments = HostTensor::i32([1, TIME], segments).unwrap();
    let inputs = [("x", random("x", &[1, TIME, WIDTH], 1.0)), ("segments", segments)];
    let record = |graph: &mut Graph, values: &Values| {
        let layout = Layout::Packed { segments: values["segments"], count: lengths.len() };
        layer.record(graph, values["x"], &layout)
    };
    Trial::new(&declarations, &inputs).check(&record, &|tensors| {
        let mut result = Vec::new();
        for (i, length) in lengths.iter().enumerate() {
            let start = lengths[..i].iter().sum::<usize>() * WIDTH;
            let mut x = tensors["x"][start..start + length * WIDTH].to_vec();
            x.resize(TIME * WIDTH, 0.0);
            let alone: Tensors =
                [tensors.clone(), [("x".to_owned(), x)].into()].into_iter().flatten().collect();
            result.extend_from_slice(&centred(&alone, &[*length], 5)[..length * 6]);
        }
        result
    });
}

#[test]
fn groups_see_their_own_channels_alone() {
    let mut declarations = Declarations::new();
    let mut root = declarations.root();
    let layer = CentredConv1d::declare_in_groups(&mut root.at("conv"), WIDTH, 6, 3, 2).unwrap();
    let trial = Trial::new(&declarations, &[("x", random("x", &[BATCH, TIME, WIDTH], 1.0))]);
    let record = |graph: &mut Graph, values: &Values| layer.record(graph, values["x"], &Layout::Rows);
    trial.check(&record, &|tensors| {
        // The same as one kernel with zeros where a channel is of another group.
        let (narrow, per_out) = (&tensors["conv.weight"], WIDTH / 2 * 3);
        let mut whole = Vec::new();
        for out in 0..6 {
            let own = &narrow[out * per_out..(out + 1) * per_out];
            let nothing = vec![0.0; per_out];
            whole.extend(if out < 3 { [own, &nothing] } else { [&nothing, own] }.concat());
        }
        let mut tensors = tensors.clone();
        tensors.insert("conv.weight".to_owned(), whole);
        centred(&tensors, &[TIME; BATCH], 3)
    });
    for groups in [0, 4, 5] {
        let error = CentredConv1d::declare_in_groups(&mut Declarations::new().root(), WIDTH, 6, 3, groups)
            .unwrap_err();
        assert!(error.to_string().contains("a divisor of 32 and 6 channels"), "{error}");
    }
}

#[test]
fn a_kernel_without_a_middle_is_refused() {
    let error = CentredConv1d::declare(&mut Declarations::new().root(), WIDTH, WIDTH, 4).unwrap_err();
    assert_eq!(error.to_string(), "centred convolution: kernel: expected an odd number, found 4");
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
