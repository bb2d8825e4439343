use foveate::ops::l2_normalize_backward;
use foveate::{ErrorKind, TensorDesc};

use crate::support::{assert_error, conform_everywhere, refused};

#[test]
fn conforms() {
    conform_everywhere("normalize/l2_normalize_backward");
}

#[test]
fn upstream_is_of_the_shape_and_type_of_x() {
    let check = |upstream: TensorDesc, kind, sentence| {
        let error = refused(&[TensorDesc::f32([2, 3]), TensorDesc::f32([3]), upstream], |graph, v| {
            l2_normalize_backward(graph, v[0], v[2], 1e-5)
        });
        assert_error(&error, kind, sentence);
    };
    check(
        TensorDesc::f32([3]),
        ErrorKind::Shape,
        "normalize/l2_normalize_backward: upstream: expected [2, 3] as of x, found [3]",
    );
    check(
        TensorDesc::f16([2, 3]),
        ErrorKind::Dtype,
        "normalize/l2_normalize_backward: upstream: expected f32, found f16",
    );
}
