use foveate::ops::{reshape, scale};
use foveate::{ErrorKind, Graph, TensorDesc};

use crate::support::{assert_error, plan, refused};

#[test]
fn element_counts_must_agree() {
    let error = refused(&[TensorDesc::f32([2, 3])], |graph, v| reshape(graph, v[0], [4, 2]));
    assert_error(&error, ErrorKind::Shape, "reshape: shape");
}

#[test]
fn ranks_above_the_limit_are_refused() {
    let error = refused(&[TensorDesc::f32([1])], |graph, v| reshape(graph, v[0], [1; 9]));
    assert_eq!(error.kind(), ErrorKind::Shape);
    assert_eq!(error.expected(), "at most 8 axes");
}

#[test]
fn a_view_costs_nothing() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([4, 4])).unwrap();
    let y = scale(&mut graph, x, 2.0).unwrap();
    let view = reshape(&mut graph, y, [16]).unwrap();
    let z = scale(&mut graph, view, 2.0).unwrap();
    graph.output("z", z).unwrap();
    let plan = plan(&graph);
    assert_eq!(plan.commands().len(), 2);
    assert_eq!(plan.memory().working, 64);
}
