use foveate::ops::concat;
use foveate::{ErrorKind, Graph, TensorDesc};

use crate::support::{assert_error, plan, refused};

#[test]
fn values_must_fit_together() {
    let check = |descs: &[TensorDesc], axis, kind, place| {
        assert_error(&refused(descs, |graph, v| concat(graph, v, axis)), kind, place);
    };
    let x = TensorDesc::f32([2, 3]);
    check(&[], 0, ErrorKind::Argument, "layout/concat: values");
    check(&[x.clone(), TensorDesc::f32([2, 4])], 0, ErrorKind::Shape, "layout/concat: value 1");
    check(&[x.clone(), TensorDesc::f32([2])], 1, ErrorKind::Shape, "layout/concat: value 1");
    check(&[x.clone(), TensorDesc::f16([2, 3])], 0, ErrorKind::Dtype, "layout/concat: value 1");
    check(&[x], 2, ErrorKind::Argument, "layout/concat: axis");
}

#[test]
fn one_value_is_a_view_and_every_other_a_dispatch() {
    let dispatches = |values: usize| {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorDesc::f32([2, 3])).unwrap();
        let all = concat(&mut graph, &vec![x; values], 1).unwrap();
        graph.output("all", all).unwrap();
        plan(&graph).report()[0].dispatches
    };
    assert_eq!([1, 2, 5].map(dispatches), [0, 2, 5]);
}
