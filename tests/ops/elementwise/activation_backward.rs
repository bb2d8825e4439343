use foveate::ops::{Activation, activation_backward};
use foveate::{ErrorKind, TensorDesc};

use crate::support::{assert_error, conform_everywhere, refused};

#[test]
fn conforms() {
    conform_everywhere("elementwise/activation_backward");
}

#[test]
fn shapes_and_element_types_must_agree() {
    let refused = |x, upstream| {
        refused(&[x, upstream], |graph, v| activation_backward(graph, v[0], v[1], Activation::Gelu))
    };
    let error = refused(TensorDesc::f32([2, 3]), TensorDesc::f32([1, 3]));
    assert_error(
        &error,
        ErrorKind::Shape,
        "elementwise/activation_backward: upstream: expected [2, 3], found [1, 3]",
    );
    let error = refused(TensorDesc::f32([2]), TensorDesc::f16([2]));
    assert_error(
        &error,
        ErrorKind::Dtype,
        "elementwise/activation_backward: upstream: expected f32, found f16",
    );
    let error = refused(TensorDesc::i32([2]), TensorDesc::i32([2]));
    assert_eq!((error.kind(), error.argument()), (ErrorKind::Dtype, "x"));
}
