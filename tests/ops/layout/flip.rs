use foveate::ops::flip;
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc};

use crate::support::{refused, run};

#[test]
fn each_axis_is_reversed_by_itself() {
    let x = HostTensor::i32([2, 3], vec![0, 1, 2, 3, 4, 5]).unwrap();
    let expected =
        [(&[1][..], [2, 1, 0, 5, 4, 3]), (&[0], [3, 4, 5, 0, 1, 2]), (&[1, 0], [5, 4, 3, 2, 1, 0])];
    for (axes, expected) in expected {
        let mut graph = Graph::new();
        let input = graph.input("x", x.desc()).unwrap();
        let y = flip(&mut graph, input, axes).unwrap();
        graph.output("y", y).unwrap();
        assert_eq!(run(&graph, &[("x", &x)])["y"], HostTensor::i32([2, 3], expected.to_vec()).unwrap());
    }
}

#[test]
fn axes_exist_and_are_named_once() {
    for axes in [&[2][..], &[0, 0]] {
        let error = refused(&[TensorDesc::f32([2, 3])], |graph, v| flip(graph, v[0], axes));
        assert_eq!(
            (error.kind(), error.op(), error.argument()),
            (ErrorKind::Argument, "layout/flip", "axes")
        );
    }
}
