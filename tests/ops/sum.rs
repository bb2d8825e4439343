use foveate::ops::sum;
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc, cpu};

use crate::support::{assert_error, plan, refused};

#[test]
fn axes_stay_with_extent_1() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([2, 3])).unwrap();
    for (name, axes) in [("columns", &[0][..]), ("rows", &[1]), ("all", &[1, 0])] {
        let y = sum(&mut graph, x, axes).unwrap();
        graph.output(name, y).unwrap();
    }
    let x = HostTensor::f32([2, 3], vec![1.0, 2.0, 3.0, 10.0, 20.0, 30.0]).unwrap();
    let sums = cpu::run(&graph, &[("x", &x)]).unwrap();
    assert_eq!(sums["columns"], HostTensor::f32([1, 3], vec![11.0, 22.0, 33.0]).unwrap());
    assert_eq!(sums["rows"], HostTensor::f32([2, 1], vec![6.0, 60.0]).unwrap());
    assert_eq!(sums["all"], HostTensor::f32([1, 1], vec![66.0]).unwrap());
}

#[test]
fn axes_exist_and_are_named_once() {
    for axes in [&[2][..], &[1, 0, 1]] {
        let error = refused(&[TensorDesc::f32([2, 3])], |graph, v| sum(graph, v[0], axes));
        assert_error(&error, ErrorKind::Argument, "sum: axes");
    }
}

#[test]
fn integers_are_refused() {
    let error = refused(&[TensorDesc::i32([2])], |graph, v| sum(graph, v[0], &[0]));
    assert_error(&error, ErrorKind::Dtype, "sum: x");
}

#[test]
fn long_sums_take_a_second_dispatch_and_sums_of_one_element_none() {
    let dispatches = |shape: [usize; 2], axis: usize| {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorDesc::f32(shape)).unwrap();
        let y = sum(&mut graph, x, &[axis]).unwrap();
        graph.output("y", y).unwrap();
        plan(&graph).report()[0].dispatches
    };
    assert_eq!([dispatches([1, 3], 0), dispatches([64, 3], 0), dispatches([4096, 3], 0)], [0, 1, 2]);
    assert_eq!([dispatches([3, 1], 1), dispatches([3, 64], 1), dispatches([3, 1 << 16], 1)], [0, 1, 2]);
}
