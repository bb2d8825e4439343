use foveate::ops::optimizer::{Control, Sgd, sgd};
use foveate::{ErrorKind, TensorDesc};

use crate::support::{assert_error, refused};

#[test]
fn a_momentum_that_never_fades_is_refused() {
    let descs = [1, 1, 1, 3, 1].map(|count| TensorDesc::f32([count]));
    let error = refused(&descs, |graph, v| {
        let settings = Sgd { momentum: 1.0, ..Sgd::default() };
        Ok(sgd(graph, v[0], v[1], v[2], Control { schedule: v[3], factor: v[4] }, &settings)?.0)
    });
    let place = "optimizer/sgd: momentum";
    assert_error(&error, ErrorKind::Argument, place);
}
