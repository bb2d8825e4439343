use foveate::ops::{Heads, Matmul, matmul};
use foveate::{ErrorKind, TensorDesc};

use crate::support::{assert_error, refused};

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let check = |a: &[usize], b: &[usize], spec: Matmul, sentence: &str| {
        let error =
            refused(&[TensorDesc::f32(a), TensorDesc::f32(b)], |graph, v| matmul(graph, v[0], v[1], &spec));
        assert_eq!(error.to_string(), sentence);
    };
    let plain = Matmul::new();
    check(&[2, 3], &[4, 5], plain, "matmul: b: expected axis 0 (inner) = 3 as bound by a, found 4");
    check(
        &[2, 3],
        &[4, 5],
        plain.transpose_b(),
        "matmul: b: expected axis 1 (inner) = 3 as bound by a, found 5",
    );
    check(&[3], &[3, 5], plain, "matmul: a: expected rank 2 [rows, inner], found rank 1 [3]");
    check(&[2, 2, 3], &[3, 3, 5], plain, "matmul: b: expected axis 0 (batch 0) = 2 as bound by a, found 3");
    check(
        &[2, 2, 2, 3],
        &[2, 3, 5],
        plain,
        "matmul: b: expected 2 leading axes as bound by a, or none, found 1 in [2, 3, 5]",
    );
    check(&[0, 2, 3], &[0, 3, 5], plain, "matmul: a: expected axis 0 (batch 0) of at least 1, found 0");
    check(
        &[2, 3],
        &[3, 5],
        plain.heads(Heads::Inner, Heads::Outer, Heads::Outer),
        "matmul: a: expected rank 4 [batch 0, rows, batch 1, inner], found rank 2 [2, 3]",
    );
    check(
        &[2, 3],
        &[3, 5],
        plain.heads(Heads::Outer, Heads::Outer, Heads::Inner),
        "matmul: heads: expected two leading axes, [batch, head], for a result with inner heads, found 0",
    );
}

#[test]
fn element_types_must_agree_and_be_floats() {
    let error = refused(&[TensorDesc::f16([2, 2]), TensorDesc::f32([2, 2])], |graph, v| {
        matmul(graph, v[0], v[1], &Matmul::new())
    });
    assert_error(&error, ErrorKind::Dtype, "matmul: b: expected f16, found f32");
}
