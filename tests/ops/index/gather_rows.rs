use foveate::ops::{gather_rows, gather_rows_summed};
use foveate::{Caps, Error, ErrorKind, TensorDesc};

use crate::support::{conform_everywhere, conform_some, context, own_caps, refused};

#[test]
fn conforms() {
    conform_everywhere("index/gather_rows");
}

/// Tables in parts whose borders lie within batches.
#[test]
fn conforms_in_parts() {
    let caps = Caps { max_binding_bytes: 512, ..own_caps() };
    conform_some("index/gather_rows", context(), &caps, |_, label| label.contains("[3, 2, 7, 8]"));
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let check = |error: &Error, kind, argument| {
        assert_eq!((error.kind(), error.op(), error.argument()), (kind, "index/gather_rows", argument));
    };
    let gathered = |x: TensorDesc, indices: TensorDesc| {
        refused(&[x, indices], |graph, v| gather_rows(graph, v[0], v[1]))
    };
    let summed = |x: TensorDesc, indices: TensorDesc| {
        refused(&[x, indices], |graph, v| gather_rows_summed(graph, v[0], v[1]))
    };
    let (x, indices) = (TensorDesc::f32([2, 9, 4]), TensorDesc::i32([2, 3]));
    check(&gathered(TensorDesc::f32([9]), indices.clone()), ErrorKind::Shape, "x");
    check(&gathered(x.clone(), TensorDesc::f32([2, 3])), ErrorKind::Dtype, "indices");
    check(&gathered(x.clone(), TensorDesc::i32([3, 2])), ErrorKind::Shape, "indices");
    check(&gathered(x.clone(), TensorDesc::i32([])), ErrorKind::Shape, "indices");
    check(&gathered(x.clone(), TensorDesc::i32([2, 1, 1, 1, 1, 1, 1, 1])), ErrorKind::Shape, "result");
    check(&summed(x, TensorDesc::i32([2])), ErrorKind::Shape, "indices");
    check(&summed(TensorDesc::u32([2, 9, 4]), indices), ErrorKind::Dtype, "x");
}
