use foveate::ops::{Activation, Gate, gate_backward};
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc, cpu};

use crate::support::{assert_error, conform_everywhere, refused};

#[test]
fn conforms() {
    conform_everywhere("elementwise/gate_backward");
}

#[test]
fn without_an_activation_the_factors_are_swapped() {
    let mut graph = Graph::new();
    let z = graph.input("z", TensorDesc::f32([2, 4])).unwrap();
    let upstream = graph.input("upstream", TensorDesc::f32([2, 2])).unwrap();
    for (name, gate) in [("first", Gate::First), ("second", Gate::Second)] {
        let dz = gate_backward(&mut graph, z, upstream, gate, Activation::Identity).unwrap();
        graph.output(name, dz).unwrap();
    }
    let z = HostTensor::f32([2, 4], (1..=8).map(|i| i as f32).collect()).unwrap();
    let upstream = HostTensor::f32([2, 2], vec![1.0, 10.0, 100.0, 1000.0]).unwrap();
    let dz = cpu::run(&graph, &[("z", &z), ("upstream", &upstream)]).unwrap();
    for name in ["first", "second"] {
        assert_eq!(dz[name].to_f32(), [3.0, 40.0, 1.0, 20.0, 700.0, 8000.0, 500.0, 6000.0]);
    }
}

#[test]
fn shapes_and_element_types_must_fit() {
    let refused = |z, upstream| {
        refused(&[z, upstream], |graph, v| gate_backward(graph, v[0], v[1], Gate::First, Activation::Silu))
    };
    let error = refused(TensorDesc::f32([2, 6]), TensorDesc::f32([2, 6]));
    assert_error(
        &error,
        ErrorKind::Shape,
        "elementwise/gate_backward: upstream: expected [2, 3], found [2, 6]",
    );
    let odd = "elementwise/gate_backward: z: expected a last axis (2 width) that is even, found";
    let error = refused(TensorDesc::f32([2, 5]), TensorDesc::f32([2, 2]));
    assert_error(&error, ErrorKind::Shape, &format!("{odd} [2, 5]"));
    let error = refused(TensorDesc::f32([]), TensorDesc::f32([]));
    assert_error(&error, ErrorKind::Shape, &format!("{odd} []"));
    let error = refused(TensorDesc::f32([2]), TensorDesc::f16([1]));
    assert_eq!((error.kind(), error.argument()), (ErrorKind::Dtype, "upstream"));
    let error = refused(TensorDesc::u32([2]), TensorDesc::u32([1]));
    assert_eq!((error.kind(), error.argument()), (ErrorKind::Dtype, "z"));
}
