use foveate::ops::{Heads, Matmul, matmul};
use foveate::{ErrorKind, TensorDesc};

use crate::support::{assert_error, refused};

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let check = |kind: ErrorKind, a: &[usize], b: &[usize], spec: Matmul, place: &str| {
        let error =
            refused(&[TensorDesc::f32(a), TensorDesc::f32(b)], |graph, v| matmul(graph, v[0], v[1], &spec));
        assert_error(&error, kind, place);
    };
    let plain = Matmul::new();
    check(ErrorKind::Shape, &[2, 3], &[4, 5], plain, "matmul: b");
    check(ErrorKind::Shape, &[2, 3], &[4, 5], plain.transpose_b(), "matmul: b");
    check(ErrorKind::Shape, &[3], &[3, 5], plain, "matmul: a");
    check(ErrorKind::Shape, &[2, 2, 3], &[3, 3, 5], plain, "matmul: b");
    check(ErrorKind::Shape, &[2, 2, 2, 3], &[2, 3, 5], plain, "matmul: b");
    check(ErrorKind::Shape, &[0, 2, 3], &[0, 3, 5], plain, "matmul: a");
    check(
        ErrorKind::Shape,
        &[2, 3],
        &[3, 5],
        plain.heads(Heads::Inner, Heads::Outer, Heads::Outer),
        "matmul: a",
    );
    check(
        ErrorKind::Argument,
        &[2, 3],
        &[3, 5],
        plain.heads(Heads::Outer, Heads::Outer, Heads::Inner),
        "matmul: heads",
    );
}

#[test]
fn element_types_must_agree_and_be_floats() {
    let error = refused(&[TensorDesc::f16([2, 2]), TensorDesc::f32([2, 2])], |graph, v| {
        matmul(graph, v[0], v[1], &Matmul::new())
    });
    assert_error(&error, ErrorKind::Dtype, "matmul: b");
}
