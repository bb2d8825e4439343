use foveate::ops::{argmax, argmin};
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc};

use crate::support::{refused, run};

#[test]
fn of_equal_elements_the_lowest_index_is_found() {
    let x: Vec<f32> = (0..3 * 200).map(|i| if i % 200 == 150 || i % 200 == 7 { 2.0 } else { -1.0 }).collect();
    let x = HostTensor::f32([3, 200], x).unwrap();
    let mut graph = Graph::new();
    let input = graph.input("x", x.desc()).unwrap();
    let largest = argmax(&mut graph, input, 1).unwrap();
    let smallest = argmin(&mut graph, input, 1).unwrap();
    graph.output("largest", largest).unwrap();
    graph.output("smallest", smallest).unwrap();
    let found = run(&graph, &[("x", &x)]);
    assert_eq!(found["largest"], HostTensor::u32([3, 1], vec![7; 3]).unwrap());
    assert_eq!(found["smallest"], HostTensor::u32([3, 1], vec![0; 3]).unwrap());
}

#[test]
fn of_a_nan_the_index_is_within_the_axis() {
    let x = HostTensor::f32([2, 70], vec![f32::NAN; 140]).unwrap();
    let mut graph = Graph::new();
    let input = graph.input("x", x.desc()).unwrap();
    for (name, axis) in [("rows", 1), ("columns", 0)] {
        let place = argmax(&mut graph, input, axis).unwrap();
        graph.output(name, place).unwrap();
    }
    let found = run(&graph, &[("x", &x)]);
    assert!(found["rows"].to_f32().iter().all(|&place| place < 70.0));
    assert!(found["columns"].to_f32().iter().all(|&place| place < 2.0));
}

#[test]
fn axes_that_are_not_there_or_empty_are_refused() {
    for (shape, axis, kind, argument) in
        [([2, 3], 2, ErrorKind::Argument, "axis"), ([2, 0], 1, ErrorKind::Shape, "x")]
    {
        let error = refused(&[TensorDesc::f32(shape)], |graph, v| argmax(graph, v[0], axis));
        assert_eq!((error.kind(), error.op(), error.argument()), (kind, "argmax", argument));
    }
}
