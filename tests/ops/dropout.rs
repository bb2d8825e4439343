use foveate::ops::{Dropout, dropout};
use foveate::{ErrorKind, Graph, HostTensor, Shape, TensorDesc, cpu};

use crate::support::{assert_error, plan, refused, run};

const SPEC: Dropout = Dropout { rate: 0.2, seed: 7, stream: 1 };

/// Dropout of ones, on this device.
fn of_ones(shape: impl Into<Shape>, spec: &Dropout, step: u32) -> Vec<f32> {
    let shape = shape.into();
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32(shape.clone())).unwrap();
    let step_value = graph.input("step", TensorDesc::u32([1])).unwrap();
    let y = dropout(&mut graph, x, spec, step_value).unwrap();
    graph.output("y", y).unwrap();
    let ones = HostTensor::f32(shape.clone(), vec![1.0; shape.elements()]).unwrap();
    run(&graph, &[("x", &ones), ("step", &HostTensor::u32([1], vec![step]).unwrap())])["y"].to_f32()
}

#[test]
fn as_many_elements_are_kept_as_the_rate_says_and_the_mean_stays() {
    for rate in [0.1, 0.5, 0.9] {
        let spec = Dropout { rate, ..SPEC };
        let y = of_ones([1000, 1000], &spec, 3);
        let kept = y.iter().filter(|&&y| y != 0.0).count() as f32 / 1e6;
        assert!((kept - (1.0 - rate)).abs() < 0.01 * (1.0 - rate), "{kept} kept at a rate of {rate}");
        let mean = y.iter().map(|&y| f64::from(y)).sum::<f64>() / 1e6;
        assert!((mean - 1.0).abs() < 0.01, "a mean of {mean} at a rate of {rate}");
    }
}

#[test]
fn steps_streams_and_seeds_drop_others_and_the_same_ones_the_same() {
    let first = of_ones([4096], &SPEC, 5);
    assert_eq!(first, of_ones([4096], &SPEC, 5));
    for (spec, step) in [
        (SPEC, 6),
        (Dropout { stream: 2, ..SPEC }, 5),
        (Dropout { seed: 8, ..SPEC }, 5),
        (Dropout { seed: 7 + (1 << 32), ..SPEC }, 5),
    ] {
        let other = of_ones([4096], &spec, step);
        // Of two independent masks, 2 * 0.2 * 0.8 of the elements differ.
        let differing = first.iter().zip(&other).filter(|(a, b)| a != b).count() as f32 / 4096.0;
        assert!((differing - 0.32).abs() < 0.04, "{differing} differ: {spec:?}, step {step}");
    }
}

#[test]
fn elements_are_dropped_by_place_whatever_the_shape() {
    let (vectors, scalars) = (of_ones([64, 4], &SPEC, 9), of_ones([85, 3], &SPEC, 9));
    assert_eq!(vectors[..255], scalars);
}

#[test]
fn gradients_pass_where_elements_did() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([500])).unwrap();
    let step = graph.input("step", TensorDesc::u32([1])).unwrap();
    let y = dropout(&mut graph, x, &SPEC, step).unwrap();
    let loss = foveate::ops::sum(&mut graph, y, &[0]).unwrap();
    let dx = graph.gradients(loss, &[x]).unwrap()[0];
    graph.output("y", y).unwrap();
    graph.output("dx", dx).unwrap();
    let ones = HostTensor::f32([500], vec![1.0; 500]).unwrap();
    let step = HostTensor::u32([1], vec![4]).unwrap();
    let results = run(&graph, &[("x", &ones), ("step", &step)]);
    assert_eq!(results["y"], results["dx"]);
    assert_eq!(results["y"], cpu::run(&graph, &[("x", &ones), ("step", &step)]).unwrap()["dx"]);
}

#[test]
fn at_a_rate_of_0_nothing_runs() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([5])).unwrap();
    let step = graph.input("step", TensorDesc::u32([1])).unwrap();
    let y = dropout(&mut graph, x, &Dropout { rate: 0.0, ..SPEC }, step).unwrap();
    graph.output("y", y).unwrap();
    assert_eq!(plan(&graph).report()[0].dispatches, 0);
}

#[test]
fn rates_are_at_least_0_and_below_1() {
    for rate in [1.0, -0.1, f32::NAN] {
        let spec = Dropout { rate, ..SPEC };
        let error = refused(&[TensorDesc::f32([2]), TensorDesc::u32([1])], |graph, v| {
            dropout(graph, v[0], &spec, v[1])
        });
        assert_error(&error, ErrorKind::Argument, "dropout: rate");
    }
}

#[test]
fn x_is_a_float_and_the_step_one_u32() {
    let refused = |x, step| refused(&[x, step], |graph, v| dropout(graph, v[0], &SPEC, v[1]));
    let error = refused(TensorDesc::i32([2]), TensorDesc::u32([1]));
    assert_error(&error, ErrorKind::Dtype, "dropout: x");
    let error = refused(TensorDesc::f32([2]), TensorDesc::i32([1]));
    assert_error(&error, ErrorKind::Dtype, "dropout: step");
    let error = refused(TensorDesc::f32([2]), TensorDesc::u32([]));
    assert_error(&error, ErrorKind::Shape, "dropout: step");
}
