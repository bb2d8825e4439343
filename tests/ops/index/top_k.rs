use foveate::ops::top_k;
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc, cpu};

use crate::support::{refused, run};

#[test]
fn of_equal_elements_the_first_is_chosen() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([2, 5])).unwrap();
    let chosen = top_k(&mut graph, x, 3).unwrap();
    graph.output("values", chosen.values).unwrap();
    graph.output("positions", chosen.positions).unwrap();
    let x = HostTensor::f32([2, 5], vec![1.0, 3.0, 1.0, 3.0, 1.0, -0.0, -2.0, 0.0, -1.0, 0.0]).unwrap();
    for found in [run(&graph, &[("x", &x)]), cpu::run(&graph, &[("x", &x)]).unwrap()] {
        assert_eq!(found["values"].to_f32(), [3.0, 3.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(found["positions"].to_f32(), [1.0, 3.0, 0.0, 0.0, 2.0, 4.0]);
    }
}

#[test]
fn no_elements_and_more_than_there_are_cannot_be_chosen() {
    for (shape, k, kind, argument) in [
        (&[2, 5][..], 0, ErrorKind::Argument, "k"),
        (&[2, 5], 6, ErrorKind::Argument, "k"),
        (&[2, 0], 1, ErrorKind::Argument, "k"),
        (&[], 1, ErrorKind::Shape, "x"),
    ] {
        let error = refused(&[TensorDesc::f32(shape)], |graph, v| Ok(top_k(graph, v[0], k)?.values));
        assert_eq!((error.kind(), error.op(), error.argument()), (kind, "index/top_k", argument));
    }
}
