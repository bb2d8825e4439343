use foveate::ops::broadcast;
use foveate::{ErrorKind, Graph, TensorDesc};

use crate::support::{assert_error, plan, refused};

#[test]
fn shapes_that_do_not_fit_are_refused() {
    for shape in [&[2, 4][..], &[3], &[1, 3], &[0, 3]] {
        let error = refused(&[TensorDesc::f32([2, 3])], |graph, v| broadcast(graph, v[0], shape));
        assert_error(&error, ErrorKind::Argument, "layout/broadcast: shape");
    }
    let error = refused(&[TensorDesc::f32([1])], |graph, v| broadcast(graph, v[0], [1; 9]));
    assert_eq!((error.kind(), error.argument()), (ErrorKind::Shape, "shape"));
}

#[test]
fn a_value_that_has_the_shape_is_a_view() {
    let dispatches = |shape: [usize; 3]| {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorDesc::f32([1, 3])).unwrap();
        let y = broadcast(&mut graph, x, shape).unwrap();
        graph.output("y", y).unwrap();
        plan(&graph).report()[0].dispatches
    };
    assert_eq!([[1, 1, 3], [1, 2, 3]].map(dispatches), [0, 1]);
}
