use foveate::ops::{max, min, multiply, sum};
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc, cpu};

use crate::support::{assert_error, refused, run};

#[test]
fn infinities_and_negative_numbers_are_numbers() {
    let infinity = f32::INFINITY;
    let x = [-3.0, -1.0, -2.0, -infinity, -infinity, -infinity, 0.0, infinity, 1.0];
    let x = HostTensor::f32([3, 3], x.to_vec()).unwrap();
    let mut graph = Graph::new();
    let input = graph.input("x", x.desc()).unwrap();
    for (name, axis) in [("rows", 1), ("columns", 0)] {
        let largest = max(&mut graph, input, &[axis]).unwrap();
        let smallest = min(&mut graph, input, &[axis]).unwrap();
        graph.output(&format!("largest of {name}"), largest).unwrap();
        graph.output(&format!("smallest of {name}"), smallest).unwrap();
    }
    for found in [run(&graph, &[("x", &x)]), cpu::run(&graph, &[("x", &x)]).unwrap()] {
        assert_eq!(found["largest of rows"].to_f32(), [-1.0, -infinity, infinity]);
        assert_eq!(found["smallest of rows"].to_f32(), [-3.0, -infinity, 0.0]);
        assert_eq!(found["largest of columns"].to_f32(), [0.0, infinity, 1.0]);
        assert_eq!(found["smallest of columns"].to_f32(), [-infinity; 3]);
    }
}

#[test]
fn the_gradient_goes_to_the_first_of_the_largest() {
    let x = HostTensor::f32([2, 4], vec![1.0, 7.0, 7.0, 0.0, 7.0, 2.0, 3.0, 7.0]).unwrap();
    let gradient = |axes: &[usize]| {
        let mut graph = Graph::new();
        let input = graph.input("x", x.desc()).unwrap();
        let y = max(&mut graph, input, axes).unwrap();
        let loss = multiply(&mut graph, y, y).unwrap();
        let loss = sum(&mut graph, loss, &[0, 1]).unwrap();
        let dx = graph.gradients(loss, &[input]).unwrap();
        graph.output("dx", dx[0]).unwrap();
        run(&graph, &[("x", &x)])["dx"].to_f32()
    };
    assert_eq!(gradient(&[1]), [0.0, 14.0, 0.0, 0.0, 14.0, 0.0, 0.0, 0.0]);
    assert_eq!(gradient(&[0]), [0.0, 14.0, 14.0, 0.0, 14.0, 0.0, 0.0, 14.0]);
    assert_eq!(gradient(&[0, 1]), [0.0, 14.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn there_is_no_largest_of_no_elements() {
    let error = refused(&[TensorDesc::f32([2, 0, 3])], |graph, v| max(graph, v[0], &[2, 1]));
    assert_error(&error, ErrorKind::Shape, "max: x");
    let error = refused(&[TensorDesc::f32([2])], |graph, v| max(graph, v[0], &[1]));
    assert_eq!((error.kind(), error.op(), error.argument()), (ErrorKind::Argument, "max", "axes"));
}
