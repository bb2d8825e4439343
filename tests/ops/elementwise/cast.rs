use foveate::ops::cast;
use foveate::{DType, ErrorKind, TensorDesc};

use crate::support::{assert_error, conform_everywhere, refused};

#[test]
fn conforms() {
    conform_everywhere("elementwise/cast");
}

#[test]
fn only_floats_are_cast() {
    let error = refused(&[TensorDesc::f32([2])], |graph, v| cast(graph, v[0], DType::I32));
    assert_error(&error, ErrorKind::Dtype, "elementwise/cast: to: expected f32 or f16, found i32");
    let error = refused(&[TensorDesc::i32([2])], |graph, v| cast(graph, v[0], DType::F32));
    assert_error(&error, ErrorKind::Dtype, "elementwise/cast: x: expected f32 or f16, found i32");
}

#[test]
fn unknown_names_of_element_types_are_refused() {
    let error = "bf16".parse::<DType>().unwrap_err();
    assert_error(&error, ErrorKind::Dtype, "dtype: name: expected f32, f16, i32, u32, found `bf16`");
}
