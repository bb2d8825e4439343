use foveate::ops::{slice, split};
use foveate::{ErrorKind, Graph, TensorDesc};

use crate::support::{assert_error, plan, refused};

#[test]
fn ranges_stay_within_the_axis() {
    #[expect(clippy::reversed_empty_ranges, reason = "it must be refused")]
    for range in [1..4, 4..4, 2..1] {
        let error = refused(&[TensorDesc::f32([2, 3])], |graph, v| slice(graph, v[0], 1, range.clone()));
        assert_error(&error, ErrorKind::Argument, "layout/slice: range");
    }
    let error = refused(&[TensorDesc::f32([])], |graph, v| slice(graph, v[0], 0, 0..0));
    assert_error(&error, ErrorKind::Argument, "layout/slice: axis");
}

#[test]
fn pieces_sum_to_the_axis() {
    let error = refused(&[TensorDesc::f32([2, 6])], |graph, v| split(graph, v[0], 1, &[2, 3]).map(|v| v[0]));
    assert_error(&error, ErrorKind::Argument, "layout/slice: sizes");
    let error = refused(&[TensorDesc::f32([2, 6])], |graph, v| split(graph, v[0], 2, &[6]).map(|v| v[0]));
    assert_eq!((error.kind(), error.argument()), (ErrorKind::Argument, "axis"));
}

#[test]
fn a_full_range_is_a_view_and_a_leading_one_is_not() {
    let dispatches = |end: usize| {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorDesc::f32([4, 3])).unwrap();
        let part = slice(&mut graph, x, 0, 0..end).unwrap();
        graph.output("part", part).unwrap();
        plan(&graph).report()[0].dispatches
    };
    assert_eq!([4, 2].map(dispatches), [0, 1]);
}
