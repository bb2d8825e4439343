use foveate::ops::gelu;
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc, cpu};

use crate::support::{assert_error, conform_everywhere, refused};

#[test]
fn conforms() {
    conform_everywhere("elementwise/gelu");
}

#[test]
fn the_reference_equals_published_values() {
    // x times the normal distribution function, from its tables.
    let published = [
        (-2.0, -0.045_500_263_896_358_42),
        (-0.5, -0.154_268_769_362_993_44),
        (1.0, 0.841_344_746_068_542_9),
    ];
    for (x, expected) in published {
        let mut graph = Graph::new();
        let value = graph.input("x", TensorDesc::f32([1])).unwrap();
        let y = gelu(&mut graph, value).unwrap();
        graph.output("y", y).unwrap();
        let x = HostTensor::f32([1], vec![x]).unwrap();
        let found = cpu::run(&graph, &[("x", &x)]).unwrap()["y"].to_f64()[0];
        assert!((found - expected).abs() < f64::from(f32::EPSILON), "{found} for {expected}");
    }
}

#[test]
fn integers_are_refused() {
    let error = refused(&[TensorDesc::i32([2])], |graph, v| gelu(graph, v[0]));
    assert_error(&error, ErrorKind::Dtype, "elementwise/gelu: x: expected f32 or f16, found i32");
}
