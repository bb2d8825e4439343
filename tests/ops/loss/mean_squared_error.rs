use foveate::ops::mean_squared_error;
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc};

use crate::support::{assert_error, refused, run};

#[test]
fn is_the_mean_of_squares() {
    let mut graph = Graph::new();
    let [a, b] = ["a", "b"].map(|name| graph.input(name, TensorDesc::f32([2, 2])).unwrap());
    let loss = mean_squared_error(&mut graph, a, b).unwrap();
    graph.output("loss", loss).unwrap();
    let a = HostTensor::f32([2, 2], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
    let b = HostTensor::f32([2, 2], vec![1.0, 0.0, 4.0, 1.0]).unwrap();
    assert_eq!(run(&graph, &[("a", &a), ("b", &b)])["loss"].to_f32(), [3.5]);
}

#[test]
fn arguments_that_differ_are_refused() {
    let check = |b: TensorDesc, kind, place| {
        let error = refused(&[TensorDesc::f32([2, 3]), b], |graph, v| mean_squared_error(graph, v[0], v[1]));
        assert_error(&error, kind, place);
    };
    check(TensorDesc::f32([3]), ErrorKind::Shape, "loss/mean_squared_error: b");
    check(TensorDesc::f16([2, 3]), ErrorKind::Dtype, "loss/mean_squared_error: b");
}
