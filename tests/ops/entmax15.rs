use foveate::ops::entmax15;
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc};

use crate::support::{assert_error, refused, run};

#[test]
fn a_scalar_has_no_axis_and_integers_are_no_scores() {
    let error = refused(&[TensorDesc::f32([])], |graph, v| entmax15(graph, v[0]));
    assert_error(&error, ErrorKind::Shape, "entmax15: x");
    let error = refused(&[TensorDesc::i32([2])], |graph, v| entmax15(graph, v[0]));
    assert_error(&error, ErrorKind::Dtype, "entmax15: x");
}

#[test]
fn known_rows() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([3, 2])).unwrap();
    let y = entmax15(&mut graph, x).unwrap();
    graph.output("y", y).unwrap();
    let x = HostTensor::f32([3, 2], vec![5.0, 5.0, 1.0, -2.0, 0.5, 0.0]).unwrap();
    let y = run(&graph, &[("x", &x)])["y"].to_f32();
    let expected = [0.5, 0.5, 1.0, 0.0, 0.673_992_6, 0.326_007_4];
    assert!(y.iter().zip(expected).all(|(y, expected)| (y - expected).abs() < 1e-6), "{y:?}");
}
