use foveate::ops::softmax_backward;
use foveate::{ErrorKind, TensorDesc};

use crate::support::{assert_error, conform_everywhere, refused};

#[test]
fn conforms() {
    conform_everywhere("softmax_backward");
}

#[test]
fn shapes_and_element_types_must_agree() {
    let refused = |y, upstream| refused(&[y, upstream], |graph, v| softmax_backward(graph, v[0], v[1]));
    let error = refused(TensorDesc::f32([2, 3]), TensorDesc::f32([2, 1]));
    assert_error(&error, ErrorKind::Shape, "softmax_backward: upstream: expected [2, 3], found [2, 1]");
    let error = refused(TensorDesc::f32([2]), TensorDesc::f16([2]));
    assert_error(&error, ErrorKind::Dtype, "softmax_backward: upstream: expected f32, found f16");
    let error = refused(TensorDesc::f32([]), TensorDesc::f32([]));
    assert_error(&error, ErrorKind::Shape, "softmax_backward: y: expected at least one axis, found a scalar");
    let error = refused(TensorDesc::i32([2]), TensorDesc::i32([2]));
    assert_error(&error, ErrorKind::Dtype, "softmax_backward: y: expected f32 or f16, found i32");
}
