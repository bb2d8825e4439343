use foveate::ops::{CrossEntropy, cross_entropy};
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc, cpu};

use crate::support::{assert_error, refused, run};

/// Cross-entropy of [2, 3] logits.
fn graph_of(spec: &CrossEntropy) -> Graph {
    let mut graph = Graph::new();
    let logits = graph.input("logits", TensorDesc::f32([2, 3])).unwrap();
    let targets = graph.input("targets", TensorDesc::i32([2])).unwrap();
    let loss = cross_entropy(&mut graph, logits, targets, spec).unwrap();
    graph.output("loss", loss).unwrap();
    graph
}

#[test]
fn the_reference_equals_pytorch() {
    // torch.nn.functional.cross_entropy(tensor([[1., 2., 4.], [0.5, -1., 0.]]), tensor([2, 0]), label_smoothing=..)
    let logits = HostTensor::f32([2, 3], vec![1.0, 2.0, 4.0, 0.5, -1.0, 0.0]).unwrap();
    let loss = |smoothing: f32, targets: [i32; 2]| {
        let targets = HostTensor::i32([2], targets.to_vec()).unwrap();
        let graph = graph_of(&CrossEntropy::new().label_smoothing(smoothing));
        cpu::run(&graph, &[("logits", &logits), ("targets", &targets)]).unwrap()["loss"].to_f32()[0]
    };
    // By hand: lse = 4.169846, 1.104131.
    assert!((loss(0.0, [2, 0]) - (0.169_846 + 0.604_131) / 2.0).abs() < 1e-5);
    assert!((loss(0.0, [-100, 0]) - 0.604_131).abs() < 1e-5);
    assert_eq!(loss(0.0, [-100, 3]), 0.0);
    let spread = (4.169_846 - 7.0 / 3.0 + 1.104_131 + 0.5 / 3.0) / 2.0;
    assert!((loss(0.5, [2, 0]) - 0.5 * (0.386_988_5 + spread)).abs() < 1e-5);
}

#[test]
fn a_certain_row_keeps_what_softmax_rounds_away() {
    let logits = HostTensor::f32([2, 3], vec![0.0, -200.0, -200.0, 0.0, -200.0, -200.0]).unwrap();
    let targets = HostTensor::i32([2], vec![0, 1]).unwrap();
    let loss = run(&graph_of(&CrossEntropy::new()), &[("logits", &logits), ("targets", &targets)]);
    assert_eq!(loss["loss"].to_f32(), [100.0]);
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let check = |descs: &[TensorDesc], smoothing: f32, kind, place: &str| {
        let spec = CrossEntropy::new().label_smoothing(smoothing);
        assert_error(&refused(descs, |graph, v| cross_entropy(graph, v[0], v[1], &spec)), kind, place);
    };
    let (logits, targets) = (TensorDesc::f32([2, 3]), TensorDesc::i32([2]));
    check(&[TensorDesc::f32([]), targets.clone()], 0.0, ErrorKind::Shape, "loss/cross_entropy: logits");
    check(&[TensorDesc::f32([2, 0]), targets.clone()], 0.0, ErrorKind::Shape, "loss/cross_entropy: logits");
    check(&[logits.clone(), TensorDesc::i32([3])], 0.0, ErrorKind::Shape, "loss/cross_entropy: targets");
    check(&[logits.clone(), TensorDesc::f32([2])], 0.0, ErrorKind::Dtype, "loss/cross_entropy: targets");
    for smoothing in [-0.1, 1.5, f32::NAN] {
        check(
            &[logits.clone(), targets.clone()],
            smoothing,
            ErrorKind::Argument,
            "loss/cross_entropy: label_smoothing",
        );
    }
}
