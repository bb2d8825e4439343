use foveate::ops::layer_norm_backward;
use foveate::{ErrorKind, TensorDesc};

use crate::support::{assert_error, conform_everywhere, refused};

#[test]
fn conforms() {
    conform_everywhere("normalize/layer_norm_backward");
}

#[test]
fn upstream_is_of_the_shape_and_type_of_x() {
    let check = |upstream: TensorDesc, kind, sentence| {
        let error = refused(&[TensorDesc::f32([2, 3]), TensorDesc::f32([3]), upstream], |graph, v| {
            Ok(layer_norm_backward(graph, v[0], v[1], v[2], None, 1e-5)?.0)
        });
        assert_error(&error, kind, sentence);
    };
    check(
        TensorDesc::f32([3]),
        ErrorKind::Shape,
        "normalize/layer_norm_backward: upstream: expected [2, 3] as of x, found [3]",
    );
    check(
        TensorDesc::f16([2, 3]),
        ErrorKind::Dtype,
        "normalize/layer_norm_backward: upstream: expected f32, found f16",
    );
}
