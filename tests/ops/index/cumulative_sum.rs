use foveate::ops::{CumulativeSum, cumulative_sum};
use foveate::{Error, ErrorKind, Graph, HostTensor, TensorDesc, cpu};

use crate::support::{refused, run};

#[test]
fn sums_by_hand() {
    let spec = CumulativeSum::new();
    let check = |spec: CumulativeSum, expected: [i32; 6]| {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorDesc::i32([6])).unwrap();
        let sums = cumulative_sum(&mut graph, x, 0, &spec).unwrap();
        graph.output("sums", sums).unwrap();
        let x = HostTensor::i32([6], vec![1, 2, 4, 8, 16, i32::MAX]).unwrap();
        let expected = HostTensor::i32([6], expected.to_vec()).unwrap();
        assert_eq!(cpu::run(&graph, &[("x", &x)]).unwrap()["sums"], expected, "{spec:?}");
        assert_eq!(run(&graph, &[("x", &x)])["sums"], expected, "{spec:?}");
    };
    let wrapped = |sum: i32| i32::MAX.wrapping_add(sum);
    check(spec, [1, 3, 7, 15, 31, wrapped(31)]);
    check(spec.exclusive(), [0, 1, 3, 7, 15, 31]);
    check(spec.reverse(), [wrapped(31), wrapped(30), wrapped(28), wrapped(24), wrapped(16), i32::MAX]);
}

#[test]
fn segments_by_hand() {
    type By = fn(CumulativeSum, foveate::Value) -> CumulativeSum;
    let ids: (By, [u32; 6]) = (CumulativeSum::by_ids, [7, 7, 0, 0, 0, 7]);
    let flags: (By, [u32; 6]) = (CumulativeSum::by_flags, [0, 0, 9, 0, 0, 1]);
    for (by, segments) in [ids, flags] {
        for (spec, expected) in [
            (CumulativeSum::new(), [1.0, 3.0, 4.0, 12.0, 28.0, 32.0]),
            (CumulativeSum::new().exclusive(), [0.0, 1.0, 0.0, 4.0, 12.0, 0.0]),
            (CumulativeSum::new().reverse(), [3.0, 2.0, 28.0, 24.0, 16.0, 32.0]),
            (CumulativeSum::new().reverse().exclusive(), [2.0, 0.0, 24.0, 16.0, 0.0, 0.0]),
        ] {
            let mut graph = Graph::new();
            let x = graph.input("x", TensorDesc::f16([6])).unwrap();
            let given = graph.input("segments", TensorDesc::u32([6])).unwrap();
            let sums = cumulative_sum(&mut graph, x, 0, &by(spec, given)).unwrap();
            graph.output("sums", sums).unwrap();
            let x =
                HostTensor::from_f32(foveate::DType::F16, [6], &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0]).unwrap();
            let segments = HostTensor::u32([6], segments.to_vec()).unwrap();
            let inputs = [("x", &x), ("segments", &segments)];
            assert_eq!(cpu::run(&graph, &inputs).unwrap()["sums"].to_f32(), expected);
            assert_eq!(run(&graph, &inputs)["sums"].to_f32(), expected);
        }
    }
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let check = |error: &Error, kind, argument| {
        assert_eq!((error.kind(), error.op(), error.argument()), (kind, "index/cumulative_sum", argument));
    };
    let x = TensorDesc::f32([2, 5, 3]);
    let along = |descs: &[TensorDesc], axis| {
        refused(descs, |graph, v| {
            let spec = CumulativeSum::new();
            let spec = if v.len() > 1 { spec.by_ids(v[1]) } else { spec };
            cumulative_sum(graph, v[0], axis, &spec)
        })
    };
    check(&along(std::slice::from_ref(&x), 3), ErrorKind::Argument, "axis");
    check(&along(&[TensorDesc::f32([])], 0), ErrorKind::Argument, "axis");
    check(&along(&[x.clone(), TensorDesc::f32([5])], 1), ErrorKind::Dtype, "segments");
    for shape in [&[2][..], &[5, 3], &[2, 5, 3], &[2, 4], &[]] {
        check(&along(&[x.clone(), TensorDesc::i32(shape)], 1), ErrorKind::Shape, "segments");
    }
}
