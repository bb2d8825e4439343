use foveate::ops::inverse_lists;
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc, cpu};

use crate::support::{refused, run};

#[test]
fn lists_by_hand() {
    let mut graph = Graph::new();
    let ids = graph.input("ids", TensorDesc::i32([2, 5])).unwrap();
    let lists = inverse_lists(&mut graph, ids, 3).unwrap();
    graph.output("offsets", lists.offsets).unwrap();
    graph.output("positions", lists.positions).unwrap();
    let ids = HostTensor::i32([2, 5], vec![2, 0, -1, 0, 2, 3, 1, 1, 7, 1]).unwrap();
    for found in [run(&graph, &[("ids", &ids)]), cpu::run(&graph, &[("ids", &ids)]).unwrap()] {
        assert_eq!(found["offsets"], HostTensor::u32([2, 4], vec![0, 2, 2, 4, 0, 0, 3, 3]).unwrap());
        assert_eq!(found["positions"], HostTensor::u32([2, 5], vec![1, 3, 0, 4, 2, 1, 2, 4, 0, 3]).unwrap());
    }
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    for (ids, kind) in [(TensorDesc::f32([3]), ErrorKind::Dtype), (TensorDesc::i32([]), ErrorKind::Shape)] {
        let error = refused(&[ids], |graph, v| Ok(inverse_lists(graph, v[0], 3)?.offsets));
        assert_eq!((error.kind(), error.op(), error.argument()), (kind, "index/inverse_lists", "ids"));
    }
}
