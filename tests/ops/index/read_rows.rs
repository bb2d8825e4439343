use foveate::ops::read_rows;
use foveate::{ErrorKind, TensorDesc};

use crate::support::refused;

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let x = TensorDesc::f32([2, 9, 4]);
    for (x, at, kind, argument) in [
        (x.clone(), TensorDesc::u32([2]), ErrorKind::Dtype, "at"),
        (x.clone(), TensorDesc::i32([3]), ErrorKind::Shape, "at"),
        (x.clone(), TensorDesc::i32([2, 9, 4]), ErrorKind::Shape, "at"),
        (TensorDesc::f32([]), TensorDesc::i32([]), ErrorKind::Shape, "x"),
    ] {
        let error = refused(&[x, at], |graph, v| read_rows(graph, v[0], v[1], 3));
        assert_eq!((error.kind(), error.op(), error.argument()), (kind, "index/read_rows", argument));
    }
}
