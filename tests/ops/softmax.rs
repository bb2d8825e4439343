use foveate::ops::softmax;
use foveate::{ErrorKind, TensorDesc};

use crate::support::{assert_error, conform_everywhere, refused};

#[test]
fn conforms() {
    conform_everywhere("softmax");
}

#[test]
fn a_scalar_has_no_axis_to_normalise() {
    let error = refused(&[TensorDesc::f32([])], |graph, v| softmax(graph, v[0]));
    assert_error(&error, ErrorKind::Shape, "softmax: x: expected at least one axis, found a scalar");
}

#[test]
fn integers_are_refused() {
    let error = refused(&[TensorDesc::i32([2])], |graph, v| softmax(graph, v[0]));
    assert_error(&error, ErrorKind::Dtype, "softmax: x: expected f32 or f16, found i32");
}
