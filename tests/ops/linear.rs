use foveate::gpu::{Parameters, Program, Session};
use foveate::ops::{Activation, Gate, Linear, linear};
use foveate::{Caps, DType, ErrorKind, Graph, HostTensor, Plan, TensorDesc, cpu};

use crate::support::{assert_error, context, own_caps, refused};

/// A layer of 100 to `out` columns with everything behind the product.
fn layer(dtype: DType, out: usize, spec: Linear) -> (Graph, Vec<(&'static str, HostTensor)>) {
    let rows = if format!("{spec:?}").contains("gate: Some") { 2 * out } else { out };
    let tensor = |shape: &[usize], step: f32| {
        let elements: usize = shape.iter().product();
        let values: Vec<f32> = (0..elements).map(|i| ((i as f32) * step).sin()).collect();
        HostTensor::from_f32(dtype, shape, &values).expect("as many as the shape has")
    };
    let tensors = vec![
        ("x", tensor(&[9, 100], 0.7)),
        ("weight", tensor(&[rows, 100], 0.3)),
        ("bias", tensor(&[rows], 1.1)),
        ("residual", tensor(&[9, out], 0.9)),
    ];
    let mut graph = Graph::new();
    let values: Vec<_> = tensors
        .iter()
        .map(|(name, tensor)| graph.input(name, tensor.desc()).expect("the names differ"))
        .collect();
    let spec = spec.bias(values[2]).residual(values[3]);
    let y = linear(&mut graph, values[0], values[1], &spec).expect("the shapes fit");
    graph.output("y", y).expect("the name is free");
    (graph, tensors)
}

#[test]
fn a_weight_larger_than_a_binding_is_multiplied_in_parts() {
    for (dtype, out) in [(DType::F32, 300), (DType::F16, 301), (DType::F32, 77)] {
        for gate in [None, Some(Gate::First), Some(Gate::Second)] {
            let spec = Linear::new().activation(Activation::Silu);
            let spec = gate.map_or(spec, |gate| spec.gated(gate));
            let (graph, tensors) = layer(dtype, out, spec);
            let inputs: Vec<(&str, &HostTensor)> =
                tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
            // Enough for the result and the factors, and for no weight.
            let caps = Caps { max_binding_bytes: 28_000, ..own_caps() };
            let plan = Plan::new(&graph, &caps).expect("the parts fit");
            let dispatches = plan.report()[0].dispatches;
            assert!(dispatches > 1, "{dtype} {out} {gate:?}: {:?}", plan.report());
            let program = Program::new(context(), &plan).expect("the program can be made");
            let found = program.run(&inputs).expect("the program runs")["y"].to_f32();
            let whole = Plan::new(&graph, &own_caps()).expect("the weight fits");
            let program = Program::new(context(), &whole).expect("the program can be made");
            assert_eq!(found, program.run(&inputs).expect("the program runs")["y"].to_f32());
            let exact = cpu::run(&graph, &inputs).expect("the reference runs")["y"].to_f32();
            let tolerance = if dtype == DType::F16 { 0.05 } else { 1e-4 };
            assert!(found.iter().zip(&exact).all(|(found, exact)| (found - exact).abs() < tolerance));
        }
    }
}

#[test]
fn a_weight_beyond_128_mib_is_multiplied() {
    let [rows, inner, out] = [2, 1024, 40_000];
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([rows, inner])).expect("a fresh graph");
    let weight = graph.parameter("weight", TensorDesc::f32([out, inner])).expect("another name");
    let y = linear(&mut graph, x, weight, &Linear::new()).expect("the shapes fit");
    graph.output("y", y).expect("the name is free");
    // Small numbers, of which every sum is exact.
    let number = |row: usize| (row % 1000) as f32;
    let weights = HostTensor::f32([out, inner], (0..out * inner).map(|i| number(i / inner)).collect());
    let weights = [Ok(("weight".to_owned(), weights.expect("as many as the shape has")))];
    let parameters = Parameters::upload(context(), weights).expect("a buffer may be that large");
    let ones =
        HostTensor::f32([rows, inner], vec![1.0 / 1024.0; rows * inner]).expect("as many as the shape has");
    let plan = Plan::new(&graph, context().caps()).expect("the parts fit");
    let program = Program::new(context(), &plan).expect("the program can be made");
    let mut session =
        Session::with_parameters(&program, &parameters, &[("x", &ones)]).expect("the buffers fit");
    session.run().expect("it runs");
    let found = session.read().expect("it reads")["y"].to_f32();
    assert!(found.iter().enumerate().all(|(i, &found)| found == number(i % out)));
}

#[test]
fn a_row_wider_than_a_binding_is_refused() {
    let (graph, _) = layer(DType::F32, 300, Linear::new());
    let caps = Caps { max_binding_bytes: 399, storage_alignment: 256, ..own_caps() };
    let error = Plan::new(&graph, &caps).unwrap_err();
    assert_error(&error, ErrorKind::Limit, "linear: weight");
}

#[test]
fn an_inner_axis_longer_than_the_loops_of_a_driver_is_taken_in_parts() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([16, 600_000])).expect("a fresh graph");
    let weight = graph.input("weight", TensorDesc::f32([3, 600_000])).expect("another name");
    let y = linear(&mut graph, x, weight, &Linear::new()).expect("the shapes fit");
    graph.output("y", y).expect("the name is free");
    let limited = Caps { max_loop_turns: Some(65_535), ..own_caps() };
    let plan = Plan::new(&graph, &limited).expect("loops are short enough");
    assert!(plan.commands().len() > 1);
    assert!(plan.memory().working >= 16 * 3 * 4, "{:?}", plan.memory());
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let f32 = |dims: &[usize]| TensorDesc::f32(dims);
    let plain = |descs: &[TensorDesc]| refused(descs, |graph, v| linear(graph, v[0], v[1], &Linear::new()));
    assert_error(&plain(&[f32(&[2, 3]), f32(&[5, 4])]), ErrorKind::Shape, "linear: weight");
    assert_error(&plain(&[f32(&[2, 3]), TensorDesc::f16([5, 3])]), ErrorKind::Dtype, "linear: weight");
    assert_error(&plain(&[f32(&[]), f32(&[5, 3])]), ErrorKind::Shape, "linear: x");
    let gated = refused(&[f32(&[2, 3]), f32(&[5, 3])], |graph, v| {
        linear(graph, v[0], v[1], &Linear::new().gated(Gate::First))
    });
    assert_error(&gated, ErrorKind::Shape, "linear: weight");
    let biased = refused(&[f32(&[2, 3]), f32(&[5, 3]), f32(&[3])], |graph, v| {
        linear(graph, v[0], v[1], &Linear::new().bias(v[2]))
    });
    assert_error(&biased, ErrorKind::Shape, "linear: bias");
    let residual = refused(&[f32(&[2, 3]), f32(&[5, 3]), f32(&[2, 3])], |graph, v| {
        linear(graph, v[0], v[1], &Linear::new().residual(v[2]))
    });
    assert_error(&residual, ErrorKind::Shape, "linear: residual");
}
