use foveate::ops::l2_normalize;
use foveate::{ErrorKind, TensorDesc};

use crate::support::{assert_error, refused};

#[test]
fn eps_must_be_a_positive_normal_number() {
    for eps in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let error = refused(&[TensorDesc::f32([2])], |graph, v| l2_normalize(graph, v[0], eps));
        assert_error(&error, ErrorKind::Argument, "normalize/l2_normalize: eps");
    }
}

#[test]
fn scalars_and_integers_are_refused() {
    let error = refused(&[TensorDesc::f32([])], |graph, v| l2_normalize(graph, v[0], 1e-12));
    assert_error(&error, ErrorKind::Shape, "normalize/l2_normalize: x");
    let error = refused(&[TensorDesc::i32([2])], |graph, v| l2_normalize(graph, v[0], 1e-12));
    assert_error(&error, ErrorKind::Dtype, "normalize/l2_normalize: x");
}
