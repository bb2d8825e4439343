use foveate::ops::softmax;
use foveate::{Caps, ErrorKind, Graph, Plan, TensorDesc};

use crate::support::{assert_error, refused};

#[test]
fn a_scalar_has_no_axis_to_normalise() {
    let error = refused(&[TensorDesc::f32([])], |graph, v| softmax(graph, v[0]));
    assert_error(&error, ErrorKind::Shape, "softmax: x");
}

#[test]
fn integers_are_refused() {
    let error = refused(&[TensorDesc::i32([2])], |graph, v| softmax(graph, v[0]));
    assert_error(&error, ErrorKind::Dtype, "softmax: x");
}

#[test]
fn rows_longer_than_a_driver_runs_loops_for_are_refused() {
    let caps = Caps { max_loop_turns: Some(65_535), ..Caps::webgpu_default() };
    let plan = |width| {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorDesc::f32([width])).unwrap();
        let y = softmax(&mut graph, x).unwrap();
        graph.output("y", y).unwrap();
        Plan::new(&graph, &caps)
    };
    // By 256 lanes, three times.
    assert!(plan(5_000_001).is_ok());
    let error = plan(6_000_001).unwrap_err();
    assert_eq!((error.kind(), error.op()), (ErrorKind::Limit, "softmax"));
}
