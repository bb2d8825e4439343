use foveate::ops::{Conv1d, Conv2d, conv1d, conv2d, dynamic_conv, group_linear, reshape, sum};
use foveate::plan::StepReport;
use foveate::{DType, Error, ErrorKind, Graph, HostTensor, Result, TensorDesc, Value, cpu};

use crate::support::{assert_error, plan, refused, run as on_device};

/// Elements between -1 and 1 without a pattern in sight.
fn numbers(shape: &[usize], seed: usize) -> HostTensor {
    let element = |i: usize| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0;
    HostTensor::f32(shape, (0..shape.iter().product()).map(element).collect()).unwrap()
}

fn run(shapes: &[(&str, HostTensor)], record: impl Fn(&mut Graph, &[Value]) -> Result<Value>) -> Vec<f32> {
    let mut graph = Graph::new();
    let inputs: Vec<Value> =
        shapes.iter().map(|(name, tensor)| graph.input(name, tensor.desc()).unwrap()).collect();
    let y = record(&mut graph, &inputs).unwrap();
    graph.output("y", y).unwrap();
    let inputs: Vec<(&str, &HostTensor)> = shapes.iter().map(|(name, tensor)| (*name, tensor)).collect();
    cpu::run(&graph, &inputs).unwrap()["y"].to_f32()
}

fn assert_near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
    }
}

/// Channels that are each a group of their own are convolved by another kernel than groups of two, which here have a 0 in the other channel's place.
#[test]
fn a_depthwise_convolution_is_one_of_groups() {
    let (x, narrow) = (numbers(&[2, 9, 4], 1), numbers(&[4, 1, 3], 2));
    let taps = narrow.to_f32();
    let of_pairs = taps.chunks(3).enumerate().flat_map(|(channel, taps)| {
        let nothing = [0.0; 3];
        if channel % 2 == 0 { [taps, &nothing].concat() } else { [&nothing, taps].concat() }
    });
    let wide = HostTensor::f32([4, 2, 3], of_pairs.collect()).unwrap();
    let spec = Conv1d::new().padding(2, 1).dilation(2).stride(2);
    let depthwise =
        run(&[("x", x.clone()), ("w", narrow)], |graph, v| conv1d(graph, v[0], v[1], &spec.groups(4)));
    let grouped = run(&[("x", x), ("w", wide)], |graph, v| conv1d(graph, v[0], v[1], &spec.groups(2)));
    assert_near(&depthwise, &grouped);
}

/// One of a plane with a single row is one along time.
#[test]
fn time_is_a_plane_of_one_row() {
    let (x, weight) = (numbers(&[2, 11, 3], 3), numbers(&[5, 3, 4], 4));
    let along = run(&[("x", x.clone()), ("w", weight.clone())], |graph, v| {
        conv1d(graph, v[0], v[1], &Conv1d::new().stride(3).padding(1, 4))
    });
    let x = HostTensor::f32([2, 1, 11, 3], x.to_f32()).unwrap();
    let weight = HostTensor::f32([5, 3, 1, 4], weight.to_f32()).unwrap();
    let across = run(&[("x", x), ("w", weight)], |graph, v| {
        conv2d(graph, v[0], v[1], &Conv2d::new().stride([1, 3]).padding([0, 0], [1, 4]))
    });
    assert_near(&across, &along);
}

/// Runs `graph` on the device, in whose plan some product must be taken in parts.
fn in_parts(graph: &Graph, inputs: &[(&str, &HostTensor)]) -> Vec<f32> {
    let plan = plan(graph);
    let in_parts =
        |step: &StepReport| step.choice.as_ref().is_some_and(|choice| choice.kernel.contains("parts"));
    assert!(plan.report().iter().any(in_parts), "{:?}", plan.report());
    on_device(graph, inputs)["out"].to_f32()
}

/// Sums that are longer than drivers run a loop for are taken in parts, which add up: over channels, and over the places of a weight's gradient. All
/// numbers are whole, so that no sum is rounded.
#[test]
fn sums_over_many_channels_and_places_are_taken_in_parts() {
    const CHANNELS: usize = 150_000;
    const PLACES: usize = 300_000;
    // More rows than a product of few rows has.
    const TIME: usize = 10;
    let count = |at: usize| (at % 7) as f32;
    let x = HostTensor::f32([1, TIME, CHANNELS], (0..TIME * CHANNELS).map(count).collect()).unwrap();
    let weight = HostTensor::f32([1, CHANNELS, 2], vec![1.0; 2 * CHANNELS]).unwrap();
    let mut graph = Graph::new();
    let [of_x, of_weight] =
        [("x", &x), ("w", &weight)].map(|(name, tensor)| graph.input(name, tensor.desc()).unwrap());
    let y = conv1d(&mut graph, of_x, of_weight, &Conv1d::new()).unwrap();
    graph.output("out", y).unwrap();
    let sum_of =
        |place: usize| (place * CHANNELS..(place + 2) * CHANNELS).map(|at| at % 7).sum::<usize>() as f32;
    let expected: Vec<f32> = (0..TIME - 1).map(sum_of).collect();
    assert_eq!(in_parts(&graph, &[("x", &x), ("w", &weight)]), expected);

    let x = HostTensor::f32([1, PLACES, 2], (0..2 * PLACES).map(count).collect()).unwrap();
    let weight = HostTensor::f32([1, 2, 2], vec![0.0; 4]).unwrap();
    let mut graph = Graph::new();
    let [of_x, of_weight] =
        [("x", &x), ("w", &weight)].map(|(name, tensor)| graph.input(name, tensor.desc()).unwrap());
    let y = conv1d(&mut graph, of_x, of_weight, &Conv1d::new().padding(1, 0)).unwrap();
    let total = sum(&mut graph, y, &[0, 1, 2]).unwrap();
    let loss = reshape(&mut graph, total, [1]).unwrap();
    let gradient = graph.gradients(loss, &[of_weight]).unwrap();
    graph.output("out", gradient[0]).unwrap();
    // The first tap reads the place before, the last one its own.
    let of_channel = |channel: usize, places: usize| -> f32 {
        (0..places).map(|place| (2 * place + channel) % 7).sum::<usize>() as f32
    };
    let expected = [0, 1].map(|channel| [of_channel(channel, PLACES - 1), of_channel(channel, PLACES)]);
    assert_eq!(in_parts(&graph, &[("x", &x), ("w", &weight)]), expected.concat());
}

/// The same kernel at all places is a depthwise convolution.
#[test]
fn a_dynamic_convolution_with_one_kernel_is_depthwise() {
    let (x, taps) = (numbers(&[1, 7, 4], 5), numbers(&[2, 3], 6));
    let kernels: Vec<f32> = (0..7).flat_map(|_| taps.to_f32()).collect();
    let kernels = HostTensor::f32([1, 7, 2, 3], kernels).unwrap();
    let each: Vec<f32> = (0..4).flat_map(|channel| taps.to_f32()[channel / 2 * 3..][..3].to_vec()).collect();
    let each = HostTensor::f32([4, 1, 3], each).unwrap();
    let dynamic =
        run(&[("x", x.clone()), ("k", kernels)], |graph, v| dynamic_conv(graph, v[0], v[1], 2, None));
    let depthwise = run(&[("x", x), ("w", each)], |graph, v| {
        conv1d(graph, v[0], v[1], &Conv1d::new().padding(2, 0).groups(4))
    });
    assert_near(&dynamic, &depthwise);
}

#[test]
fn gradients_of_convolution_gradients_are_refused() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([1, 4, 2])).unwrap();
    let kernels = graph.input("kernels", TensorDesc::f32([1, 4, 2, 3])).unwrap();
    let y = dynamic_conv(&mut graph, x, kernels, 1, None).unwrap();
    let loss = sum(&mut graph, y, &[0, 1, 2]).unwrap();
    let dx = graph.gradients(loss, &[x]).unwrap()[0];
    let second = sum(&mut graph, dx, &[0, 1, 2]).unwrap();
    let error = graph.gradients(second, &[kernels]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotDifferentiable);
}

fn along(x: [usize; 3], weight: [usize; 3], spec: Conv1d) -> Error {
    let descs = [TensorDesc::f32(x), TensorDesc::f32(weight)];
    refused(&descs, |graph, v| conv1d(graph, v[0], v[1], &spec))
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    use ErrorKind::{Argument, Dtype, Limit, Shape};
    let (x, weight, plain) = ([2, 9, 4], [6, 4, 3], Conv1d::new());
    assert_error(&along(x, weight, plain.stride(0)), Argument, "conv1d: stride");
    assert_error(&along(x, weight, plain.dilation(0)), Argument, "conv1d: dilation");
    assert_error(&along(x, [6, 4, 0], plain), Argument, "conv1d: kernel");
    assert_error(&along(x, weight, plain.groups(0)), Argument, "conv1d: groups");
    assert_error(&along(x, [6, 1, 3], plain.groups(4)), Argument, "conv1d: groups");
    assert_error(&along(x, [6, 3, 3], plain), Shape, "conv1d: weight");
    assert_error(&along([2, 2, 4], weight, plain), Shape, "conv1d: x");
    assert_error(&along([2, 4, 4], weight, plain.dilation(3).padding(1, 1)), Shape, "conv1d: x");
    assert_error(&along(x, weight, plain.padding(usize::MAX, 0)), Limit, "conv1d: x");
    let halves =
        refused(&[TensorDesc::f32(x), TensorDesc::f16(weight)], |graph, v| conv1d(graph, v[0], v[1], &plain));
    assert_error(&halves, Dtype, "conv1d: weight");
    let biased = refused(&[TensorDesc::f32(x), TensorDesc::f32(weight), TensorDesc::f32([5])], |graph, v| {
        conv1d(graph, v[0], v[1], &plain.bias(v[2]))
    });
    assert_error(&biased, Shape, "conv1d: bias");
    let segmented = |spec: Conv1d, segments: [usize; 2]| {
        let descs = [TensorDesc::f32(x), TensorDesc::f32(weight), TensorDesc::i32(segments)];
        refused(&descs, |graph, v| conv1d(graph, v[0], v[1], &spec.segments(v[2])))
    };
    assert_error(&segmented(plain, [2, 9]), Argument, "conv1d: segments");
    assert_error(&segmented(plain.padding(1, 1), [2, 8]), Shape, "conv1d: segments");
    let plane = |spec: Conv2d| {
        let descs = [TensorDesc::f32([1, 5, 6, 2]), TensorDesc::f32([3, 2, 2, 7])];
        refused(&descs, |graph, v| conv2d(graph, v[0], v[1], &spec))
    };
    assert_error(&plane(Conv2d::new()), Shape, "conv2d: x");
    assert_error(&plane(Conv2d::new().stride([0, 1])), Argument, "conv2d: stride");
}

#[test]
fn other_convolutions_refuse_what_does_not_fit() {
    let dynamic = |kernels: [usize; 4], before| {
        let descs = [TensorDesc::f32([2, 5, 6]), TensorDesc::f32(kernels)];
        refused(&descs, |graph, v| dynamic_conv(graph, v[0], v[1], before, None))
    };
    assert_error(&dynamic([2, 5, 4, 3], 0), ErrorKind::Shape, "conv/dynamic: kernels");
    assert_error(&dynamic([2, 4, 3, 3], 0), ErrorKind::Shape, "conv/dynamic: kernels");
    assert_error(&dynamic([2, 5, 3, 3], 3), ErrorKind::Argument, "conv/dynamic: before");
    let grouped = refused(&[TensorDesc::f32([2, 7]), TensorDesc::f32([2, 3, 4])], |graph, v| {
        group_linear(graph, v[0], v[1], None)
    });
    assert_error(&grouped, ErrorKind::Shape, "group_linear: x");
    let [x, weight] = [TensorDesc::f32([2, 6]), TensorDesc::f32([2, 3, 4])];
    let grouped = |weight: &TensorDesc, bias: TensorDesc| {
        refused(&[x.clone(), weight.clone(), bias], |graph, v| group_linear(graph, v[0], v[1], Some(v[2])))
    };
    let halves = TensorDesc::new(DType::F16, [2, 3, 4]);
    assert_error(&grouped(&halves, TensorDesc::f32([8])), ErrorKind::Dtype, "group_linear: weight");
    assert_error(&grouped(&weight, TensorDesc::f32([7])), ErrorKind::Shape, "group_linear: bias");
}
