use foveate::check::Random;
use foveate::ops::{LayerNorm, layer_norm, layer_norm_with_sum, mean_squared_error};
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc, cpu};

use crate::support::compare::relative_error;
use crate::support::{assert_error, refused, run};

/// Layer normalisation of x, weight and bias under those names.
fn graph_of(rows: usize, width: usize, eps: f32) -> Graph {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([rows, width])).unwrap();
    let weight = graph.input("weight", TensorDesc::f32([width])).unwrap();
    let bias = graph.input("bias", TensorDesc::f32([width])).unwrap();
    let y = layer_norm(&mut graph, x, weight, Some(bias), &LayerNorm::new(eps)).unwrap();
    graph.output("y", y).unwrap();
    graph
}

#[test]
fn constant_rows_give_exactly_the_bias() {
    // Held in registers, with and without vectors, and read three times.
    for width in [63, 384, 4097] {
        let graph = graph_of(3, width, 1e-12);
        let x: Vec<f32> =
            [0.1, -1e4 / 3.0, 1e9].into_iter().flat_map(|x| std::iter::repeat_n(x, width)).collect();
        let bias: Vec<f32> = (0..width).map(|i| i as f32 / 7.0).collect();
        let tensors = [
            HostTensor::f32([3, width], x).unwrap(),
            HostTensor::f32([width], vec![1.7; width]).unwrap(),
            HostTensor::f32([width], bias.clone()).unwrap(),
        ];
        let inputs = [("x", &tensors[0]), ("weight", &tensors[1]), ("bias", &tensors[2])];
        assert_eq!(run(&graph, &inputs)["y"].to_f32(), bias.repeat(3), "{width}");
    }
}

#[test]
fn the_reference_equals_a_row_done_by_hand() {
    // Mean 4, variance 8.
    let tensors =
        [vec![0.0, 4.0, 8.0, 4.0], vec![1.0, 1.0, 0.5, 2.0], vec![0.0, 1.0, 0.0, 0.0]].map(|floats| {
            let shape: &[usize] = if floats[2] == 8.0 { &[1, 4] } else { &[4] };
            HostTensor::f32(shape, floats).unwrap()
        });
    let inputs = [("x", &tensors[0]), ("weight", &tensors[1]), ("bias", &tensors[2])];
    let y = cpu::run(&graph_of(1, 4, 1.0), &inputs).unwrap()["y"].to_f32();
    assert_eq!(y, [-4.0 / 3.0, 1.0, 2.0 / 3.0, 0.0]);
}

#[test]
fn the_f32_reference_loses_nothing_to_a_mean_that_is_large() {
    for width in [64, 384, 768, 1024, 4096, 65_536] {
        let mut graph = Graph::new();
        let [x, target] = ["x", "target"].map(|name| graph.input(name, TensorDesc::f32([3, width])).unwrap());
        let weight = graph.input("weight", TensorDesc::f32([width])).unwrap();
        let y = layer_norm(&mut graph, x, weight, None, &LayerNorm::new(1e-5)).unwrap();
        let loss = mean_squared_error(&mut graph, y, target).unwrap();
        let gradients = graph.gradients(loss, &[x, weight]).unwrap();
        for (name, value) in [("y", y), ("dx", gradients[0]), ("d_weight", gradients[1])] {
            graph.output(name, value).unwrap();
        }
        let mut random = Random::new(3);
        let mut around = |mean: f32, shape: &[usize]| {
            let elements = (0..shape.iter().product()).map(|_| mean + random.next_f32()).collect();
            HostTensor::f32(shape, elements).unwrap()
        };
        let (x, target) = (around(1e4, &[3, width]), around(0.0, &[3, width]));
        let weight = around(1.0, &[width]);
        let inputs = [("x", &x), ("target", &target), ("weight", &weight)];
        let exact = cpu::run(&graph, &inputs).unwrap();
        let found = cpu::run_f32(&graph, &cpu::Parameters::default(), &inputs).unwrap();
        for (name, exact) in exact {
            let error = relative_error(&found[&name], &exact);
            assert!(error < 16.0 * f64::from(f32::EPSILON), "{name}, {width} wide: {error:e}");
        }
    }
}

#[test]
fn eps_must_be_a_positive_normal_number() {
    let descs = [TensorDesc::f32([2, 3]), TensorDesc::f32([3])];
    for eps in [0.0, -1e-5, f32::NAN, f32::INFINITY] {
        let error = refused(&descs, |graph, v| layer_norm(graph, v[0], v[1], None, &LayerNorm::new(eps)));
        assert_error(&error, ErrorKind::Argument, "normalize/layer_norm: eps");
    }
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let spec = LayerNorm::new(1e-5);
    let check = |descs: &[TensorDesc], kind, place: &str| {
        let error = refused(descs, |graph, v| {
            layer_norm(graph, v[0], v[1], Some(v[2]), &spec.residual(v[descs.len() - 1]))
        });
        assert_error(&error, kind, place);
    };
    let (x, row) = (TensorDesc::f32([2, 3]), TensorDesc::f32([3]));
    check(
        &[x.clone(), row.clone(), TensorDesc::f32([4]), x.clone()],
        ErrorKind::Shape,
        "normalize/layer_norm: bias",
    );
    check(
        &[x.clone(), row.clone(), TensorDesc::f16([3]), x.clone()],
        ErrorKind::Dtype,
        "normalize/layer_norm: bias",
    );
    check(
        &[x.clone(), TensorDesc::f32([1, 3]), row.clone(), x.clone()],
        ErrorKind::Shape,
        "normalize/layer_norm: weight",
    );
    check(&[x.clone(), row.clone(), row.clone(), row], ErrorKind::Shape, "normalize/layer_norm: residual");
}

#[test]
fn a_sum_needs_a_residual() {
    let descs = [TensorDesc::f32([2, 3]), TensorDesc::f32([3])];
    let error =
        refused(
            &descs,
            |graph, v| Ok(layer_norm_with_sum(graph, v[0], v[1], None, &LayerNorm::new(1e-5))?.0),
        );
    assert_error(&error, ErrorKind::Argument, "normalize/layer_norm: residual");
}
