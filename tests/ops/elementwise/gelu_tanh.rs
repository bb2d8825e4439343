use foveate::ops::gelu_tanh;
use foveate::{ErrorKind, TensorDesc};

use super::assert_values;
use crate::support::{assert_error, conform_everywhere, refused};

#[test]
fn conforms() {
    conform_everywhere("elementwise/gelu_tanh");
}

#[test]
fn the_reference_equals_known_values() {
    // Those of torch.nn.functional.gelu with approximate="tanh", in f64.
    assert_values(
        gelu_tanh,
        &[(0.0, 0.0), (1.0, 0.841_191_990_608_276_8), (-2.0, -0.045_402_305_912_224_94)],
    );
}

#[test]
fn integers_are_refused() {
    let error = refused(&[TensorDesc::i32([2])], |graph, v| gelu_tanh(graph, v[0]));
    assert_error(&error, ErrorKind::Dtype, "elementwise/gelu_tanh: x: expected f32 or f16, found i32");
}
