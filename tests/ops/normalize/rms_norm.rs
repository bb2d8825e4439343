use foveate::ops::{RmsNorm, rms_norm, rms_norm_with_sum};
use foveate::{ErrorKind, TensorDesc};

use crate::support::{assert_error, refused};

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let spec = RmsNorm::new(1e-5);
    let descs = [TensorDesc::f32([2, 3]), TensorDesc::f32([4])];
    let error = refused(&descs, |graph, v| rms_norm(graph, v[0], v[1], &spec));
    assert_error(&error, ErrorKind::Shape, "normalize/rms_norm: weight");
    let descs = [TensorDesc::f32([2, 3]), TensorDesc::f32([3]), TensorDesc::f32([3, 2])];
    let error = refused(&descs, |graph, v| rms_norm(graph, v[0], v[1], &spec.residual(v[2])));
    assert_error(&error, ErrorKind::Shape, "normalize/rms_norm: residual");
}

#[test]
fn a_sum_needs_a_residual() {
    let descs = [TensorDesc::f32([2, 3]), TensorDesc::f32([3])];
    let error = refused(&descs, |graph, v| Ok(rms_norm_with_sum(graph, v[0], v[1], &RmsNorm::new(1e-5))?.0));
    assert_error(&error, ErrorKind::Argument, "normalize/rms_norm: residual");
}
