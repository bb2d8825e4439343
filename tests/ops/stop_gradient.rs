use foveate::ops::{self, stop_gradient};
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc, cpu};

use crate::support::assert_error;

#[test]
fn only_the_other_way_to_a_loss_is_differentiated() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([1])).unwrap();
    let fixed = stop_gradient(&mut graph, x).unwrap();
    let loss = ops::multiply(&mut graph, fixed, x).unwrap();
    let gradients = graph.gradients(loss, &[x]).unwrap();
    graph.output("dx", gradients[0]).unwrap();
    let x = HostTensor::f32([1], vec![3.0]).unwrap();
    assert_eq!(cpu::run(&graph, &[("x", &x)]).unwrap()["dx"].to_f64(), [3.0]);
}

#[test]
fn what_lies_behind_needs_no_backward_pass() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([1, 2])).unwrap();
    let fixed = stop_gradient(&mut graph, x).unwrap();
    // A gradient, of the sum of softmax's squares: there are no second derivatives.
    let y = ops::softmax(&mut graph, fixed).unwrap();
    let squares = ops::multiply(&mut graph, y, y).unwrap();
    let inner = ops::sum(&mut graph, squares, &[0, 1]).unwrap();
    let inner = ops::reshape(&mut graph, inner, [1]).unwrap();
    let factor = graph.gradients(inner, &[fixed]).unwrap()[0];
    let product = ops::multiply(&mut graph, factor, x).unwrap();
    let sum = ops::sum(&mut graph, product, &[0, 1]).unwrap();
    let loss = ops::reshape(&mut graph, sum, [1]).unwrap();
    let gradients = graph.gradients(loss, &[x]).unwrap();
    graph.output("dx", gradients[0]).unwrap();
    let x = HostTensor::f32([1, 2], vec![0.0, 3.0_f32.ln()]).unwrap();
    // y (dy - sum(y dy)) for y = (1/4, 3/4) and dy = 2 y.
    let dx = cpu::run(&graph, &[("x", &x)]).unwrap()["dx"].to_f64();
    assert!((dx[0] + 0.1875).abs() < 1e-6 && (dx[1] - 0.1875).abs() < 1e-6, "{dx:?}");
}

#[test]
fn a_value_without_another_way_to_the_loss_is_refused() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([1])).unwrap();
    let fixed = stop_gradient(&mut graph, x).unwrap();
    let loss = ops::multiply(&mut graph, fixed, fixed).unwrap();
    let error = graph.gradients(loss, &[x]).unwrap_err();
    assert_error(&error, ErrorKind::Argument, "gradients: wrt");
}
