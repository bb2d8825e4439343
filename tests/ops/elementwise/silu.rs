use foveate::ops::silu;
use foveate::{ErrorKind, TensorDesc};

use super::assert_values;
use crate::support::{assert_error, conform_everywhere, refused};

#[test]
fn conforms() {
    conform_everywhere("elementwise/silu");
}

#[test]
fn the_reference_equals_known_values() {
    // x times the logistic function, from its tables.
    assert_values(silu, &[(0.0, 0.0), (1.0, 0.731_058_578_630_004_9), (-2.0, -0.238_405_844_044_235_1)]);
}

#[test]
fn integers_are_refused() {
    let error = refused(&[TensorDesc::i32([2])], |graph, v| silu(graph, v[0]));
    assert_error(&error, ErrorKind::Dtype, "elementwise/silu: x: expected f32 or f16, found i32");
}
