use foveate::ops::subtract;
use foveate::{DType, ErrorKind, TensorDesc};

use crate::support::{assert_error, conform_everywhere, refused};

#[test]
fn conforms() {
    conform_everywhere("elementwise/subtract");
}

#[test]
fn shapes_that_do_not_broadcast_are_refused() {
    let error =
        refused(&[TensorDesc::f32([2, 3]), TensorDesc::f32([4, 3])], |graph, v| subtract(graph, v[0], v[1]));
    assert_error(
        &error,
        ErrorKind::Shape,
        "elementwise/subtract: b: expected a shape that broadcasts with [2, 3]: axis 0 = 1 or 2, found 4 in [4, 3]",
    );
}

#[test]
fn element_types_must_agree_and_be_floats() {
    let error =
        refused(&[TensorDesc::f32([2]), TensorDesc::f16([2])], |graph, v| subtract(graph, v[0], v[1]));
    assert_error(&error, ErrorKind::Dtype, "elementwise/subtract: b: expected f32, found f16");
    let ids = TensorDesc::new(DType::I32, [2]);
    let error = refused(&[ids.clone(), ids], |graph, v| subtract(graph, v[0], v[1]));
    assert_error(&error, ErrorKind::Dtype, "elementwise/subtract: a: expected f32 or f16, found i32");
}
