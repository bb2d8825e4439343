use foveate::ops::{CrossEntropy, cross_entropy_backward};
use foveate::{ErrorKind, TensorDesc};

use crate::support::{assert_error, conform_everywhere, refused};

#[test]
fn conforms() {
    conform_everywhere("loss/cross_entropy_backward");
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let (logits, targets) = (TensorDesc::f32([2, 3]), TensorDesc::i32([2]));
    let check = |lse: TensorDesc, upstream: TensorDesc, kind, sentence| {
        let error = refused(&[logits.clone(), targets.clone(), lse, upstream], |graph, v| {
            cross_entropy_backward(graph, v[0], v[1], v[2], v[3], None, &CrossEntropy::new())
        });
        assert_error(&error, kind, sentence);
    };
    check(
        TensorDesc::f32([3]),
        TensorDesc::f32([1]),
        ErrorKind::Shape,
        "loss/cross_entropy_backward: lse: expected [2] as of targets, found [3]",
    );
    check(
        TensorDesc::f16([2]),
        TensorDesc::f32([1]),
        ErrorKind::Dtype,
        "loss/cross_entropy_backward: lse: expected f32, found f16",
    );
    check(
        TensorDesc::f32([2]),
        TensorDesc::f32([2]),
        ErrorKind::Shape,
        "loss/cross_entropy_backward: upstream: expected [1], found [2]",
    );
}
