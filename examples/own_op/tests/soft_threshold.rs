//! What foveate's own ops are held to: known values, refusals, conformance of the kernel, central differences of the gradient.

use std::sync::Arc;

use foveate::check::{Case, Differences, Outcome, central_differences, conform, gradient_case};
use foveate::gpu::{AdapterRequest, Context};
use foveate::{DType, ErrorKind, Graph, HostTensor, TensorDesc, cpu};
use own_op::soft_threshold;

#[test]
fn known_values() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([5])).unwrap();
    let y = soft_threshold(&mut graph, x, 0.5).unwrap();
    graph.output("y", y).unwrap();
    let x = HostTensor::f32([5], vec![-2.0, -0.25, 0.0, 0.5, 3.0]).unwrap();
    let outputs = cpu::run(&graph, &[("x", &x)]).unwrap();
    assert_eq!(outputs["y"].to_f32(), [-1.5, 0.0, 0.0, 0.0, 2.5]);
}

#[test]
fn refusals_name_the_argument() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([5])).unwrap();
    let ids = graph.input("ids", TensorDesc::i32([5])).unwrap();
    let error = soft_threshold(&mut graph, x, -1.0).unwrap_err();
    assert_eq!(error.to_string(), "soft_threshold: threshold: expected a number of at least 0, found -1");
    let error = soft_threshold(&mut graph, ids, 1.0).unwrap_err();
    assert_eq!((error.kind(), error.argument()), (ErrorKind::Dtype, "x"));
}

/// Widths of one element and of four, sizes around a workgroup's, no elements.
fn cases() -> Vec<Arc<Case>> {
    let case = |shape: &'static [usize]| {
        let case = Case::new("soft_threshold", format!("{shape:?}"), move |problem| {
            let x = problem.random("x", DType::F32, shape, 2.0)?;
            Ok(vec![soft_threshold(&mut problem.graph, x, 0.5)?])
        });
        // Of many elements, some lie so near the threshold that a difference quotient says nothing there.
        let is_small = shape.iter().product::<usize>() < 100;
        Arc::new(if is_small { case } else { case.kinked() })
    };
    [&[0][..], &[1], &[4], &[5, 13], &[64], &[257], &[1000, 3]].map(case).into()
}

#[test]
fn kernel_and_gradient_hold_on_this_machine() {
    let context = Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}"));
    for case in cases() {
        let gradient = gradient_case(&case).unwrap();
        for case in [Some(&*case), gradient.as_ref()].into_iter().flatten() {
            let outcome = conform(case, &context, context.caps());
            assert!(matches!(outcome, Outcome::Passed(_)), "{}: {outcome:?}", case.label());
        }
    }
}

#[test]
fn gradients_are_central_differences() {
    for case in cases() {
        let told = central_differences(&case).unwrap();
        assert!(!matches!(told, Differences::Differ(_)), "{}: {told:?}", case.label());
    }
}
