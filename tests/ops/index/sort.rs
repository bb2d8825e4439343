use foveate::ops::{Order, argsort, sort};
use foveate::{DType, ErrorKind, Graph, HostTensor, TensorDesc, cpu};

use crate::support::{refused, run};

/// Values and positions of `x` in order, on the device, where the reference gives the same positions.
fn sorted(x: &HostTensor, order: Order) -> (HostTensor, Vec<f32>) {
    let mut graph = Graph::new();
    let input = graph.input("x", x.desc()).unwrap();
    let sorted = sort(&mut graph, input, order).unwrap();
    graph.output("values", sorted.values).unwrap();
    graph.output("positions", sorted.positions).unwrap();
    let mut found = run(&graph, &[("x", x)]);
    assert_eq!(found["positions"], cpu::run(&graph, &[("x", x)]).unwrap()["positions"]);
    (found.remove("values").unwrap(), found["positions"].to_f32())
}

#[test]
fn zeros_are_equal_and_nan_is_the_greatest() {
    const NAN: f32 = f32::NAN;
    const INFINITY: f32 = f32::INFINITY;
    let values = [NAN, 0.0, -NAN, -0.0, -1.0, INFINITY, 0.0, -INFINITY, 1e-7, -6e4];
    let ascending = [7, 9, 4, 1, 3, 6, 8, 5, 0, 2];
    let descending = [0, 2, 5, 8, 1, 3, 6, 4, 9, 7];
    for dtype in [DType::F32, DType::F16] {
        let x = HostTensor::from_f32(dtype, [10], &values).unwrap();
        for (order, positions) in [(Order::Ascending, ascending), (Order::Descending, descending)] {
            let (values, found) = sorted(&x, order);
            assert_eq!(found, positions.map(|position| position as f32));
            let same = |(found, &position): (&f32, &usize)| {
                let wanted = x.to_f32()[position];
                found.is_nan() && wanted.is_nan() || found.to_bits() == wanted.to_bits()
            };
            let found = values.to_f32();
            assert!(found.iter().zip(&positions).all(same), "{found:?}");
        }
    }
}

#[test]
fn integers_are_ordered_over_their_whole_range() {
    let signed = HostTensor::i32([5], vec![0, i32::MAX, -1, i32::MIN, 1]).unwrap();
    assert_eq!(sorted(&signed, Order::Ascending).1, [3.0, 2.0, 0.0, 4.0, 1.0]);
    let unsigned = HostTensor::u32([2, 3], vec![u32::MAX, 0, 1 << 31, 7, 7, 7]).unwrap();
    assert_eq!(sorted(&unsigned, Order::Descending).1, [0.0, 2.0, 1.0, 0.0, 1.0, 2.0]);
}

#[test]
fn a_million_keys_are_in_order() {
    const COUNT: usize = 1 << 20;
    let keys: Vec<u32> = (0..COUNT as u32).map(|i| i.wrapping_mul(2_654_435_761) >> 3).collect();
    let x = HostTensor::u32([COUNT], keys.clone()).unwrap();
    let mut graph = Graph::new();
    let input = graph.input("x", x.desc()).unwrap();
    let positions = argsort(&mut graph, input, Order::Ascending).unwrap();
    graph.output("positions", positions).unwrap();
    let mut expected: Vec<u32> = (0..COUNT as u32).collect();
    expected.sort_by_key(|&position| keys[position as usize]);
    assert_eq!(run(&graph, &[("x", &x)])["positions"], HostTensor::u32([COUNT], expected).unwrap());
}

#[test]
fn a_scalar_is_refused() {
    let error = refused(&[TensorDesc::f32([])], |graph, v| Ok(sort(graph, v[0], Order::Ascending)?.values));
    assert_eq!((error.kind(), error.op(), error.argument()), (ErrorKind::Shape, "index/sort", "x"));
}

/// Rows of a million keys, of which many are equal: what LSH attention sorts.
#[test]
fn a_million_keys_are_in_stable_order() {
    const KEYS: usize = 1_000_000;
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::i32([KEYS])).unwrap();
    let order = argsort(&mut graph, x, Order::Ascending).unwrap();
    graph.output("order", order).unwrap();
    let keys: Vec<i32> = (0..KEYS as u64).map(|at| (at * 2_654_435_761 % 31_250) as i32).collect();
    let x = HostTensor::i32([KEYS], keys.clone()).unwrap();
    let found = run(&graph, &[("x", &x)])["order"].to_f64();
    let mut expected: Vec<usize> = (0..KEYS).collect();
    expected.sort_by_key(|&at| keys[at]);
    assert!(found.iter().zip(&expected).all(|(found, expected)| *found == *expected as f64));
}
