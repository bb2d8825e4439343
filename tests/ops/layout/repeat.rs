use foveate::ops::{repeat, repeat_each};
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc};

use crate::support::{refused, run};

#[test]
fn all_or_each_is_repeated() {
    let x = HostTensor::i32([2, 2], vec![0, 1, 2, 3]).unwrap();
    let mut graph = Graph::new();
    let input = graph.input("x", x.desc()).unwrap();
    let all = repeat(&mut graph, input, 1, 2).unwrap();
    let each = repeat_each(&mut graph, input, 1, 2).unwrap();
    graph.output("all", all).unwrap();
    graph.output("each", each).unwrap();
    let found = run(&graph, &[("x", &x)]);
    assert_eq!(found["all"], HostTensor::i32([2, 4], vec![0, 1, 0, 1, 2, 3, 2, 3]).unwrap());
    assert_eq!(found["each"], HostTensor::i32([2, 4], vec![0, 0, 1, 1, 2, 2, 3, 3]).unwrap());
}

#[test]
fn the_axis_exists_and_absurd_extents_meet_a_limit() {
    let error = refused(&[TensorDesc::f32([2, 3])], |graph, v| repeat(graph, v[0], 2, 1));
    assert_eq!((error.kind(), error.op(), error.argument()), (ErrorKind::Argument, "layout/repeat", "axis"));
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([2, 3])).unwrap();
    let y = repeat(&mut graph, x, 0, usize::MAX).unwrap();
    graph.output("y", y).unwrap();
    let error = foveate::Plan::new(&graph, &foveate::Caps::webgpu_default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
}
