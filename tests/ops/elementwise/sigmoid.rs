use foveate::ops::sigmoid;
use foveate::{ErrorKind, TensorDesc};

use super::assert_values;
use crate::support::{assert_error, conform_everywhere, refused};

#[test]
fn conforms() {
    conform_everywhere("elementwise/sigmoid");
}

#[test]
fn the_reference_equals_known_values() {
    // From tables of the logistic function.
    assert_values(sigmoid, &[(0.0, 0.5), (1.0, 0.731_058_578_630_004_9), (-2.0, 0.119_202_922_022_117_56)]);
}

#[test]
fn integers_are_refused() {
    let error = refused(&[TensorDesc::i32([2])], |graph, v| sigmoid(graph, v[0]));
    assert_error(&error, ErrorKind::Dtype, "elementwise/sigmoid: x: expected f32 or f16, found i32");
}
