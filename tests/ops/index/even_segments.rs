use foveate::ops::even_segments;
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc};

use crate::support::{refused, run};

#[test]
fn shorter_parts_come_first_and_padding_is_of_none() {
    let mut graph = Graph::new();
    let lengths = graph.input("lengths", TensorDesc::i32([3])).unwrap();
    let ids = even_segments(&mut graph, lengths, 8, 3).unwrap();
    graph.output("ids", ids).unwrap();
    let lengths = HostTensor::i32([3], vec![8, 2, 7]).unwrap();
    let found = run(&graph, &[("lengths", &lengths)])["ids"].to_f32();
    assert_eq!(found[..8], [0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    assert_eq!(found[8..16], [0.0, 1.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0]);
    assert_eq!(found[16..], [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0]);
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    for (lengths, count, kind, argument) in [
        (TensorDesc::f32([3]), 2, ErrorKind::Dtype, "lengths"),
        (TensorDesc::i32([3, 1]), 2, ErrorKind::Shape, "lengths"),
        (TensorDesc::i32([3]), 0, ErrorKind::Argument, "count"),
    ] {
        let error = refused(&[lengths], |graph, v| even_segments(graph, v[0], 9, count));
        assert_eq!((error.kind(), error.op(), error.argument()), (kind, "index/even_segments", argument));
    }
}
