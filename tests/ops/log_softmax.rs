use foveate::ops::log_softmax;
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc};

use crate::support::{assert_error, refused, run};

#[test]
fn a_scalar_has_no_axis_to_normalise() {
    let error = refused(&[TensorDesc::f32([])], |graph, v| log_softmax(graph, v[0]));
    assert_error(&error, ErrorKind::Shape, "log_softmax: x");
}

#[test]
fn integers_are_refused() {
    let error = refused(&[TensorDesc::i32([2])], |graph, v| log_softmax(graph, v[0]));
    assert_error(&error, ErrorKind::Dtype, "log_softmax: x");
}

#[test]
fn a_certain_row_keeps_what_softmax_rounds_away() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([2])).unwrap();
    let y = log_softmax(&mut graph, x).unwrap();
    graph.output("y", y).unwrap();
    let x = HostTensor::f32([2], vec![0.0, -200.0]).unwrap();
    assert_eq!(run(&graph, &[("x", &x)])["y"].to_f32(), [0.0, -200.0]);
}
