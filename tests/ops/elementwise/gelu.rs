use foveate::ops::gelu;
use foveate::{ErrorKind, TensorDesc};

use super::assert_values;
use crate::support::{assert_error, conform_everywhere, refused};

#[test]
fn conforms() {
    conform_everywhere("elementwise/gelu");
}

#[test]
fn the_reference_equals_published_values() {
    // x times the normal distribution function, from its tables.
    let published = [
        (-2.0, -0.045_500_263_896_358_42),
        (-0.5, -0.154_268_769_362_993_44),
        (1.0, 0.841_344_746_068_542_9),
    ];
    assert_values(gelu, &published);
}

#[test]
fn integers_are_refused() {
    let error = refused(&[TensorDesc::i32([2])], |graph, v| gelu(graph, v[0]));
    assert_error(&error, ErrorKind::Dtype, "elementwise/gelu: x: expected f32 or f16, found i32");
}
