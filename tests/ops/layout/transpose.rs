use foveate::ops::{scale, transpose};
use foveate::{ErrorKind, Graph, TensorDesc};

use crate::support::{assert_error, plan, refused};

#[test]
fn every_axis_is_named_once() {
    for axes in [&[0, 0][..], &[0], &[0, 2], &[0, 1, 2]] {
        let error = refused(&[TensorDesc::f32([2, 3])], |graph, v| transpose(graph, v[0], axes));
        assert_error(&error, ErrorKind::Argument, "layout/transpose: axes");
    }
}

#[test]
fn nothing_runs_where_only_axes_of_extent_1_move() {
    let dispatches = |shape: &[usize], axes: &[usize]| {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorDesc::f32(shape)).unwrap();
        let y = scale(&mut graph, x, 2.0).unwrap();
        let moved = transpose(&mut graph, y, axes).unwrap();
        graph.output("moved", moved).unwrap();
        plan(&graph).commands().len() - 1
    };
    assert_eq!(dispatches(&[2, 3, 4], &[0, 1, 2]), 0);
    assert_eq!(dispatches(&[2, 1, 3, 1], &[1, 0, 3, 2]), 0);
    assert_eq!(dispatches(&[2, 1, 3], &[2, 1, 0]), 1);
}
