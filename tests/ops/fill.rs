use foveate::ops::{fill, scale};
use foveate::{DType, ErrorKind, Graph, TensorDesc};

use crate::support::{assert_error, refused, run};

#[test]
fn a_graph_without_inputs_runs() {
    let mut graph = Graph::new();
    let ones = fill(&mut graph, TensorDesc::f32([2, 3]), 1.0).unwrap();
    let threes = scale(&mut graph, ones, 3.0).unwrap();
    graph.output("threes", threes).unwrap();
    assert_eq!(run(&graph, &[])["threes"].to_f32(), [3.0; 6]);
}

#[test]
fn integers_are_refused() {
    for dtype in [DType::I32, DType::U32] {
        let error = refused(&[], |graph, _| fill(graph, TensorDesc::new(dtype, [2]), 0.0));
        assert_error(&error, ErrorKind::Dtype, "fill: desc");
    }
}

#[test]
fn numbers_that_the_element_type_lacks_are_refused() {
    let error = refused(&[], |graph, _| fill(graph, TensorDesc::f32([2]), f32::NAN));
    assert_eq!((error.kind(), error.found()), (ErrorKind::Argument, "NaN"));
    let error = refused(&[], |graph, _| fill(graph, TensorDesc::f32([2]), f32::NEG_INFINITY));
    assert_eq!((error.kind(), error.found()), (ErrorKind::Argument, "-inf"));
    let error = refused(&[], |graph, _| fill(graph, TensorDesc::f16([2]), 7e4));
    assert_error(&error, ErrorKind::Argument, "fill: value");
}

#[test]
fn more_axes_than_there_may_be_are_refused() {
    let error = refused(&[], |graph, _| fill(graph, TensorDesc::f32([1; 9]), 0.0));
    assert_eq!((error.kind(), error.argument()), (ErrorKind::Shape, "desc"));
}
