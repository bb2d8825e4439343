use foveate::ops::relu;
use foveate::{ErrorKind, TensorDesc};

use super::assert_values;
use crate::support::{assert_error, conform_everywhere, refused};

#[test]
fn conforms() {
    conform_everywhere("elementwise/relu");
}

#[test]
fn the_reference_equals_known_values() {
    // By definition.
    assert_values(relu, &[(-2.0, 0.0), (0.0, 0.0), (3.5, 3.5)]);
}

#[test]
fn integers_are_refused() {
    let error = refused(&[TensorDesc::i32([2])], |graph, v| relu(graph, v[0]));
    assert_error(&error, ErrorKind::Dtype, "elementwise/relu: x: expected f32 or f16, found i32");
}
