use foveate::ops::{self, Activation, Gate};
use foveate::{DType, ErrorKind, Graph, HostTensor, TensorDesc, cpu};

use crate::support::{assert_refused, refused, run};

#[test]
fn operands_must_broadcast_and_share_a_float_type() {
    let f32 = |dims: &[usize]| TensorDesc::f32(dims);
    let add = |a: TensorDesc, b: TensorDesc| refused(&[a, b], |graph, v| ops::add(graph, v[0], v[1]));
    assert_refused(&add(f32(&[2, 3]), f32(&[4, 3])), ErrorKind::Shape, "elementwise/add", "b");
    assert_refused(&add(f32(&[2]), TensorDesc::f16([2])), ErrorKind::Dtype, "elementwise/add", "b");
    assert_refused(
        &add(TensorDesc::i32([2]), TensorDesc::i32([2])),
        ErrorKind::Dtype,
        "elementwise/add",
        "a",
    );
    let less =
        refused(&[TensorDesc::i32([2]), TensorDesc::u32([2])], |graph, v| ops::less(graph, v[0], v[1]));
    assert_refused(&less, ErrorKind::Dtype, "elementwise/less", "b");
}

#[test]
fn functions_take_floats_and_finite_settings() {
    let integers = refused(&[TensorDesc::i32([2])], |graph, v| ops::gelu(graph, v[0]));
    assert_refused(&integers, ErrorKind::Dtype, "elementwise/gelu", "x");
    let endless = refused(&[TensorDesc::f32([2])], |graph, v| ops::scale(graph, v[0], f32::INFINITY));
    assert_refused(&endless, ErrorKind::Argument, "elementwise/scale", "factor");
    let crossed = refused(&[TensorDesc::f32([2])], |graph, v| ops::clamp(graph, v[0], 1.0, 0.0));
    assert_refused(&crossed, ErrorKind::Argument, "elementwise/clamp", "high");
}

#[test]
fn casts_end_in_floats() {
    let error = refused(&[TensorDesc::f32([2])], |graph, v| ops::cast(graph, v[0], DType::I32));
    assert_refused(&error, ErrorKind::Dtype, "elementwise/cast", "to");
    let error = "bf16".parse::<DType>().unwrap_err();
    assert_refused(&error, ErrorKind::Dtype, "dtype", "name");
}

#[test]
fn conditions_are_integers_and_what_is_not_chosen_may_be_anything() {
    let f32 = || TensorDesc::f32([2]);
    let error = refused(&[f32(), f32(), f32()], |graph, v| ops::select(graph, v[0], v[1], v[2]));
    assert_refused(&error, ErrorKind::Dtype, "elementwise/select", "condition");

    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([4])).unwrap();
    let zero = ops::fill(&mut graph, TensorDesc::f32([1]), 0.0).unwrap();
    let positive = ops::greater(&mut graph, x, zero).unwrap();
    let root = ops::sqrt(&mut graph, x).unwrap();
    let chosen = ops::select(&mut graph, positive, root, zero).unwrap();
    graph.output("chosen", chosen).unwrap();
    let x = HostTensor::f32([4], vec![4.0, -1.0, 0.25, -9.0]).unwrap();
    assert_eq!(run(&graph, &[("x", &x)])["chosen"].to_f32(), [2.0, 0.0, 0.5, 0.0]);
    assert_eq!(cpu::run(&graph, &[("x", &x)]).unwrap()["chosen"].to_f32(), [2.0, 0.0, 0.5, 0.0]);
}

#[test]
fn equal_operands_of_a_maximum_share_its_gradient() {
    let mut graph = Graph::new();
    let [a, b] = ["a", "b"].map(|name| graph.input(name, TensorDesc::f32([3])).unwrap());
    let largest = ops::maximum(&mut graph, a, b).unwrap();
    let loss = ops::sum(&mut graph, largest, &[0]).unwrap();
    let gradients = graph.gradients(loss, &[a, b]).unwrap();
    graph.output("da", gradients[0]).unwrap();
    graph.output("db", gradients[1]).unwrap();
    let a = HostTensor::f32([3], vec![1.0, 2.0, 3.0]).unwrap();
    let b = HostTensor::f32([3], vec![2.0, 2.0, 2.0]).unwrap();
    let found = cpu::run(&graph, &[("a", &a), ("b", &b)]).unwrap();
    assert_eq!(found["da"].to_f32(), [0.0, 0.5, 1.0]);
    assert_eq!(found["db"].to_f32(), [1.0, 0.5, 0.0]);
}

#[test]
fn whole_powers_take_numbers_below_0() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([4])).unwrap();
    for (name, exponent) in [("cube", 3.0), ("inverse", -2.0), ("one", 0.0)] {
        let y = ops::power(&mut graph, x, exponent).unwrap();
        graph.output(name, y).unwrap();
    }
    let x = HostTensor::f32([4], vec![-2.0, 0.5, 1.0, -1.0]).unwrap();
    let found = run(&graph, &[("x", &x)]);
    assert_eq!(found["cube"].to_f32(), [-8.0, 0.125, 1.0, -1.0]);
    assert_eq!(found["inverse"].to_f32(), [0.25, 4.0, 1.0, 1.0]);
    assert_eq!(found["one"].to_f32(), [1.0; 4]);
}

#[test]
fn without_an_activation_the_gradients_of_a_gate_are_the_factors_swapped() {
    for gate in [Gate::First, Gate::Second] {
        let mut graph = Graph::new();
        let z = graph.input("z", TensorDesc::f32([2, 4])).unwrap();
        let upstream = graph.input("upstream", TensorDesc::f32([2, 2])).unwrap();
        let y = ops::gated(&mut graph, z, gate, Activation::Identity).unwrap();
        let weighted = ops::multiply(&mut graph, y, upstream).unwrap();
        let loss = ops::sum(&mut graph, weighted, &[0, 1]).unwrap();
        let loss = ops::reshape(&mut graph, loss, [1]).unwrap();
        let dz = graph.gradients(loss, &[z]).unwrap()[0];
        graph.output("dz", dz).unwrap();
        let z = HostTensor::f32([2, 4], (1..=8).map(|i| i as f32).collect()).unwrap();
        let upstream = HostTensor::f32([2, 2], vec![1.0, 10.0, 100.0, 1000.0]).unwrap();
        let found = cpu::run(&graph, &[("z", &z), ("upstream", &upstream)]).unwrap();
        assert_eq!(found["dz"].to_f32(), [3.0, 40.0, 1.0, 20.0, 700.0, 8000.0, 500.0, 6000.0]);
    }
}

#[test]
fn gates_need_an_even_last_axis() {
    let gated = |desc| refused(&[desc], |graph, v| ops::gated(graph, v[0], Gate::First, Activation::Silu));
    assert_refused(&gated(TensorDesc::f32([2, 5])), ErrorKind::Shape, "elementwise/gate", "z");
    assert_refused(&gated(TensorDesc::f32([])), ErrorKind::Shape, "elementwise/gate", "z");
    assert_refused(&gated(TensorDesc::u32([2])), ErrorKind::Dtype, "elementwise/gate", "z");
}
