use foveate::ops::{pad, slice};
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc, cpu};

use crate::support::{assert_error, plan, refused};

#[test]
fn what_was_padded_can_be_cut_out_again() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([2, 2])).unwrap();
    let padded = pad(&mut graph, x, 1, 1, 4).unwrap();
    let cut = slice(&mut graph, padded, 1, 1..3).unwrap();
    graph.output("padded", padded).unwrap();
    graph.output("cut", cut).unwrap();
    let x = HostTensor::f32([2, 2], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
    let results = cpu::run(&graph, &[("x", &x)]).unwrap();
    assert_eq!(results["padded"].to_f32(), [0.0, 1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 0.0]);
    assert_eq!(results["cut"], x);
}

#[test]
fn what_leaves_the_result_is_refused() {
    for (start, extent) in [(0, 2), (3, 5)] {
        let error = refused(&[TensorDesc::f32([2, 3])], |graph, v| pad(graph, v[0], 1, start, extent));
        assert_error(&error, ErrorKind::Argument, "layout/pad: extent");
    }
    let error =
        refused(&[TensorDesc::f32([2, 3])], |graph, v| pad(graph, v[0], 1, usize::MAX, usize::MAX - 1));
    assert_eq!((error.kind(), error.argument()), (ErrorKind::Argument, "extent"));
    let error = refused(&[TensorDesc::f32([2, 3])], |graph, v| pad(graph, v[0], 2, 0, 5));
    assert_eq!((error.kind(), error.argument()), (ErrorKind::Argument, "axis"));
}

#[test]
fn integers_are_refused() {
    let error = refused(&[TensorDesc::i32([2])], |graph, v| pad(graph, v[0], 0, 0, 3));
    assert_error(&error, ErrorKind::Dtype, "layout/pad: x");
}

#[test]
fn a_value_that_fills_the_axis_is_a_view() {
    let dispatches = |extent: usize| {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorDesc::f32([4, 3])).unwrap();
        let y = pad(&mut graph, x, 0, 0, extent).unwrap();
        graph.output("y", y).unwrap();
        plan(&graph).report()[0].dispatches
    };
    assert_eq!([4, 5].map(dispatches), [0, 1]);
}
