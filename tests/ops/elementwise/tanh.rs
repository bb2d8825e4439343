use foveate::ops::tanh;
use foveate::{ErrorKind, TensorDesc};

use super::assert_values;
use crate::support::{assert_error, conform_everywhere, refused};

#[test]
fn conforms() {
    conform_everywhere("elementwise/tanh");
}

#[test]
fn the_reference_equals_known_values() {
    // From tables of the hyperbolic tangent.
    assert_values(tanh, &[(0.0, 0.0), (0.5, 0.462_117_157_260_009_75), (-2.0, -0.964_027_580_075_816_9)]);
}

#[test]
fn integers_are_refused() {
    let error = refused(&[TensorDesc::i32([2])], |graph, v| tanh(graph, v[0]));
    assert_error(&error, ErrorKind::Dtype, "elementwise/tanh: x: expected f32 or f16, found i32");
}
