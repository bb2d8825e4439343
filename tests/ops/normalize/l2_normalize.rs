use foveate::ops::l2_normalize;
use foveate::{ErrorKind, TensorDesc};

use crate::support::{assert_error, refused};

#[test]
fn eps_must_be_a_positive_normal_number() {
    for (eps, shown) in [(0.0, "0"), (-1.0, "-1"), (f32::NAN, "NaN"), (f32::INFINITY, "inf")] {
        let error = refused(&[TensorDesc::f32([2])], |graph, v| l2_normalize(graph, v[0], eps));
        let sentence = format!(
            "normalize/l2_normalize: eps: expected a finite number of at least 1.1754944e-38, found {shown}"
        );
        assert_error(&error, ErrorKind::Argument, &sentence);
    }
}

#[test]
fn scalars_and_integers_are_refused() {
    let error = refused(&[TensorDesc::f32([])], |graph, v| l2_normalize(graph, v[0], 1e-12));
    assert_error(
        &error,
        ErrorKind::Shape,
        "normalize/l2_normalize: x: expected at least one axis, found a scalar",
    );
    let error = refused(&[TensorDesc::i32([2])], |graph, v| l2_normalize(graph, v[0], 1e-12));
    assert_error(&error, ErrorKind::Dtype, "normalize/l2_normalize: x: expected f32 or f16, found i32");
}
