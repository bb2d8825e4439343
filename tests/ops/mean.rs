use foveate::ops::mean;
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc, cpu};

use crate::support::refused;

#[test]
fn sums_are_divided_by_the_number_of_elements() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([2, 3])).unwrap();
    for (name, axes) in [("columns", &[0][..]), ("rows", &[1]), ("all", &[1, 0])] {
        let y = mean(&mut graph, x, axes).unwrap();
        graph.output(name, y).unwrap();
    }
    let x = HostTensor::f32([2, 3], vec![1.0, 2.0, 3.0, 10.0, 20.0, 30.0]).unwrap();
    let means = cpu::run(&graph, &[("x", &x)]).unwrap();
    assert_eq!(means["columns"], HostTensor::f32([1, 3], vec![5.5, 11.0, 16.5]).unwrap());
    assert_eq!(means["rows"], HostTensor::f32([2, 1], vec![2.0, 20.0]).unwrap());
    assert_eq!(means["all"], HostTensor::f32([1, 1], vec![11.0]).unwrap());
}

#[test]
fn there_is_no_mean_of_no_elements() {
    let error = refused(&[TensorDesc::f32([0, 3])], |graph, v| mean(graph, v[0], &[0]));
    assert_eq!((error.kind(), error.op(), error.argument()), (ErrorKind::Shape, "mean", "x"));
}
