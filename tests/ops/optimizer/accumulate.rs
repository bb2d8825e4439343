use foveate::ops::optimizer::accumulate;
use foveate::{ErrorKind, TensorDesc};

use crate::support::{assert_error, refused};

#[test]
fn another_shape_is_refused() {
    let descs = [TensorDesc::f32([2]), TensorDesc::f32([3])];
    let error = refused(&descs, |graph, v| accumulate(graph, v[0], v[1]));
    let place = "optimizer/accumulate: gradient";
    assert_error(&error, ErrorKind::Shape, place);
}
