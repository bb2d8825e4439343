use foveate::ops::{Pool, pool_backward};
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc};

use crate::support::{assert_error, refused, run};

#[test]
fn ids_that_decrease_harm_nothing() {
    for spec in [Pool::mean(), Pool::max(), Pool::first()] {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorDesc::f32([1, 6, 4])).unwrap();
        let upstream = graph.input("upstream", TensorDesc::f32([1, 3, 4])).unwrap();
        let ids = graph.input("ids", TensorDesc::i32([1, 6])).unwrap();
        let dx = pool_backward(&mut graph, x, upstream, &spec.segments(ids, 3)).unwrap();
        graph.output("dx", dx).unwrap();
        let x = HostTensor::f32([1, 6, 4], vec![1.0; 24]).unwrap();
        let upstream = HostTensor::f32([1, 3, 4], vec![1.0; 12]).unwrap();
        let ids = HostTensor::i32([1, 6], vec![2, 0, 1, 2, 0, -5]).unwrap();
        // Whatever was given came from upstream.
        let dx = run(&graph, &[("x", &x), ("upstream", &upstream), ("ids", &ids)])["dx"].to_f32();
        assert!(dx.iter().all(|dx| (0.0..=1.0).contains(dx)), "{dx:?}");
    }
}

#[test]
fn upstream_is_of_the_shape_and_type_of_the_pooled() {
    let check = |upstream: TensorDesc, kind, sentence| {
        let error = refused(&[TensorDesc::f32([2, 3, 4]), upstream], |graph, v| {
            pool_backward(graph, v[0], v[1], &Pool::mean())
        });
        assert_error(&error, kind, sentence);
    };
    check(
        TensorDesc::f32([2, 3, 4]),
        ErrorKind::Shape,
        "pool_backward: upstream: expected [2, 4] as of the forward pass, found [2, 3, 4]",
    );
    check(TensorDesc::f16([2, 4]), ErrorKind::Dtype, "pool_backward: upstream: expected f32, found f16");
}
