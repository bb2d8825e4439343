use foveate::ops::roll;
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc};

use crate::support::{plan, refused, run};

#[test]
fn what_leaves_at_one_end_comes_back_at_the_other() {
    let x = HostTensor::i32([5], vec![0, 1, 2, 3, 4]).unwrap();
    for (shift, expected) in [(2, [3, 4, 0, 1, 2]), (-1, [1, 2, 3, 4, 0]), (7, [3, 4, 0, 1, 2])] {
        let mut graph = Graph::new();
        let input = graph.input("x", x.desc()).unwrap();
        let y = roll(&mut graph, input, 0, shift).unwrap();
        graph.output("y", y).unwrap();
        assert_eq!(run(&graph, &[("x", &x)])["y"], HostTensor::i32([5], expected.to_vec()).unwrap());
    }
}

#[test]
fn a_whole_turn_runs_nothing() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([5, 3])).unwrap();
    let y = roll(&mut graph, x, 0, -10).unwrap();
    graph.output("y", y).unwrap();
    assert_eq!(plan(&graph).report()[0].dispatches, 0);
}

#[test]
fn the_axis_exists() {
    let error = refused(&[TensorDesc::f32([2, 3])], |graph, v| roll(graph, v[0], 2, 1));
    assert_eq!((error.kind(), error.op(), error.argument()), (ErrorKind::Argument, "layout/roll", "axis"));
}
