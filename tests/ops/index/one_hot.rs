use foveate::ops::one_hot;
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc};

use crate::support::{refused, run};

#[test]
fn ids_outside_are_rows_of_zeros() {
    let mut graph = Graph::new();
    let ids = graph.input("ids", TensorDesc::i32([4])).unwrap();
    let rows = one_hot(&mut graph, ids, 2).unwrap();
    graph.output("rows", rows).unwrap();
    let ids = HostTensor::i32([4], vec![1, -1, 0, 2]).unwrap();
    assert_eq!(run(&graph, &[("ids", &ids)])["rows"].to_f32(), [0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    for (ids, kind, argument) in [
        (TensorDesc::f32([3]), ErrorKind::Dtype, "ids"),
        (TensorDesc::i32([1; 8]), ErrorKind::Shape, "result"),
    ] {
        let error = refused(&[ids], |graph, v| one_hot(graph, v[0], 3));
        assert_eq!((error.kind(), error.op(), error.argument()), (kind, "index/one_hot", argument));
    }
}
