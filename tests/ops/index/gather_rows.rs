use foveate::check::{Outcome, conform};
use foveate::ops::{CATALOGUE, gather_rows, gather_rows_summed};
use foveate::{Caps, Error, ErrorKind, TensorDesc};

use crate::support::{context, own_caps, refused};

/// Tables in parts whose borders lie within batches.
#[test]
fn conforms_in_parts() {
    let caps = Caps { max_binding_bytes: 512, ..own_caps() };
    let entry = CATALOGUE.iter().find(|entry| entry.name == "index/gather_rows").unwrap();
    let cases: Vec<_> =
        (entry.cases)().into_iter().filter(|case| case.label().contains("[3, 2, 7, 8]")).collect();
    assert!(!cases.is_empty());
    for case in cases {
        let outcome = conform(&case, context(), &caps);
        assert!(matches!(outcome, Outcome::Passed(_) | Outcome::Unsupported(_)), "{case:?}: {outcome:?}");
    }
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
