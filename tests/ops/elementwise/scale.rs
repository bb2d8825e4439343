use foveate::ops::scale;
use foveate::{ErrorKind, TensorDesc};

use crate::support::{assert_error, conform_everywhere, refused};

#[test]
fn conforms() {
    conform_everywhere("elementwise/scale");
}

#[test]
fn the_factor_must_be_finite() {
    let error = refused(&[TensorDesc::f32([2])], |graph, v| scale(graph, v[0], f32::INFINITY));
    assert_error(
        &error,
        ErrorKind::Argument,
        "elementwise/scale: factor: expected a finite number, found inf",
    );
}

#[test]
fn integers_are_refused() {
    let error = refused(&[TensorDesc::i32([2])], |graph, v| scale(graph, v[0], 1.0));
    assert_error(&error, ErrorKind::Dtype, "elementwise/scale: x: expected f32 or f16, found i32");
}
