use foveate::nn::{
    BatchNorm, CausalConv1d, CentredConv1d, ConformerConv, LayerNorm, Layout, Linear, Mixer, Recorder,
    Training,
};
use foveate::ops::{self, Activation, Gate};
use foveate::weights::Declarations;
use foveate::{DType, Graph, HostTensor, TensorDesc, cpu};

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

/// A stream that is read in pieces of any length, also of less than the kernel reaches back, gives what it gives as a whole.
#[test]
fn a_stream_in_pieces_is_the_whole() {
    let mut declarations = Declarations::new();
    let mut scope = declarations.root();
    let layer = CausalConv1d::declare_in_groups(&mut scope.at("conv"), WIDTH, 8, 3, 4).unwrap();
    let layer = layer.dilated(2).unwrap();
    let x = random("x", &[BATCH, TIME, WIDTH], 1.0);
    let trial = Trial::new(&declarations, &[("x", x.clone())]);
    let whole = trial.run(&|graph: &mut Graph, values: &Values| layer.record(graph, values["x"])).to_f64();
    let tail = HostTensor::f32([BATCH, 4, WIDTH], vec![0.0; BATCH * 4 * WIDTH]).unwrap();
    let kept = trial.weights().into_iter().chain([("conv.weight.tail".to_owned(), tail)]);
    let mut kept = cpu::Parameters::new(kept.map(Ok)).unwrap();
    let (mut found, mut start) = (Vec::new(), 0);
    for length in [1, 2, 9, 3, TIME - 15] {
        let piece = part(&x.to_f32(), TIME * WIDTH, start * WIDTH..(start + length) * WIDTH);
        let piece = HostTensor::f32([BATCH, length, WIDTH], piece).unwrap();
        let mut graph = Graph::new();
        let input = graph.input("x", piece.desc()).unwrap();
        let mut recorder = Recorder::new(&mut graph, DType::F32);
        let y = Mixer::record(&layer, &mut recorder, input, None, &Layout::Recurrent).unwrap();
        graph.output("y", y).unwrap();
        let mut outputs = cpu::update(&graph, &mut kept, &[("x", &piece)]).unwrap();
        found.push((length, outputs.remove("y").unwrap().to_f64()));
        start += length;
    }
    assert_eq!(start, TIME);
    let joined: Vec<f64> = (0..BATCH)
        .flat_map(|item| {
            let of_item =
                |(length, y): &(usize, Vec<f64>)| y[item * length * 8..(item + 1) * length * 8].to_vec();
            found.iter().flat_map(of_item).collect::<Vec<f64>>()
        })
        .collect();
    assert_near("pieces", &joined, &whole, 1e-6);
}

/// A range of every item of `items`, each `size` elements long.
fn part(items: &[f32], size: usize, range: std::ops::Range<usize>) -> Vec<f32> {
    items.chunks(size).flat_map(|item| item[range.clone()].to_vec()).collect()
}

/// A Conformer's module with a convolution of 5 taps.
fn conformer_conv(declarations: &mut Declarations) -> ConformerConv {
    let mut root = declarations.root();
    let mut dense = |name, out| Linear::declare_without_bias(&mut root.at(name), WIDTH, out).unwrap();
    let (expand, reduce) = (dense("expand", 2 * WIDTH), dense("reduce", WIDTH));
    ConformerConv {
        norm: LayerNorm::declare(&mut root.at("norm"), WIDTH, 1e-5).unwrap(),
        expand,
        depthwise: root.weight("depthwise", [WIDTH, 1, 5]).unwrap(),
        before: 2,
        batch_norm: BatchNorm::declare(&mut root.at("batch_norm"), WIDTH, 1e-5).unwrap(),
        activation: Activation::Silu,
        reduce,
    }
}

/// What lies behind a sequence's length changes nothing before it, for a Conformer's module in training, too.
#[test]
fn padding_changes_no_valid_frame() {
    let mut declarations = Declarations::new();
    let layer = conformer_conv(&mut declarations);
    let lengths = HostTensor::i32([BATCH], vec![TIME as i32 - 9, TIME as i32 - 3]).unwrap();
    let x = random("x", &[BATCH, TIME, WIDTH], 1.0);
    let mut elements = x.to_f32();
    for item in 0..BATCH {
        let length = lengths.to_f64()[item] as usize;
        elements[(item * TIME + length) * WIDTH..(item + 1) * TIME * WIDTH].fill(7.5);
    }
    let other = HostTensor::f32([BATCH, TIME, WIDTH], elements).unwrap();
    let variance = HostTensor::f32([WIDTH], vec![0.7; WIDTH]).unwrap();
    for trains in [false, true] {
        let record = |graph: &mut Graph, values: &Values| {
            let recorder = Recorder::new(graph, DType::F32);
            let mut recorder = if trains { recorder.training(Training::default()) } else { recorder };
            layer.record(&mut recorder, values["x"], None, &Layout::Padded { lengths: values["lengths"] })
        };
        let run = |x: &HostTensor| {
            let inputs = [("x", x.clone()), ("lengths", lengths.clone())];
            let trial = Trial::new(&declarations, &inputs).with("batch_norm.running_var", variance.clone());
            trial.run(&record).to_f64()
        };
        let (found, expected) = (run(&other), run(&x));
        for item in 0..BATCH {
            let length = lengths.to_f64()[item] as usize;
            let valid = item * TIME * WIDTH..(item * TIME + length) * WIDTH;
            assert_eq!(found[valid.clone()], expected[valid], "in training: {trains}");
        }
    }
}

/// In inference the module's convolution has the batch norm in its weights: as if that stood behind it.
#[test]
fn a_batch_norm_in_the_weights_is_one_behind_the_convolution() {
    let mut declarations = Declarations::new();
    let layer = conformer_conv(&mut declarations);
    let variance = HostTensor::f32([WIDTH], (0..WIDTH).map(|c| 0.2 + 0.3 * c as f32).collect()).unwrap();
    let inputs = [("x", random("x", &[BATCH, TIME, WIDTH], 1.0))];
    let trial = Trial::new(&declarations, &inputs).with("batch_norm.running_var", variance);
    let folded = trial.run(&|graph: &mut Graph, values: &Values| {
        layer.record(&mut Recorder::new(graph, DType::F32), values["x"], None, &Layout::Rows)
    });
    let apart = trial.run(&|graph: &mut Graph, values: &Values| {
        let mut recorder = Recorder::new(graph, DType::F32);
        let normed = layer.norm.record(&mut recorder, values["x"], None)?;
        let expanded = layer.expand.record(&mut recorder, normed, Activation::Identity)?;
        let gated = ops::gated(&mut recorder, expanded, Gate::Second, Activation::Sigmoid)?;
        let weight = recorder.weight(&layer.depthwise)?;
        let spec = ops::Conv1d::new().padding(2, 2).groups(WIDTH);
        let mixed = ops::conv1d(&mut recorder, gated, weight, &spec)?;
        let normed = layer.batch_norm.record(&mut recorder, mixed, &Layout::Rows)?;
        let active = ops::activate(&mut recorder, normed, Activation::Silu)?;
        layer.reduce.record(&mut recorder, active, Activation::Identity)
    });
    assert_near("folded", &folded.to_f64(), &apart.to_f64(), 1e-5);
}
