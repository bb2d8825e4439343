use foveate::ops::{kl_divergence, log_softmax};
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc};

use crate::support::{assert_error, refused, run};

#[test]
fn equal_distributions_differ_by_nothing_and_others_by_more() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([2, 3])).unwrap();
    let y = graph.input("y", TensorDesc::f32([2, 3])).unwrap();
    let (q, p) = (log_softmax(&mut graph, x).unwrap(), log_softmax(&mut graph, y).unwrap());
    let loss = kl_divergence(&mut graph, q, p).unwrap();
    graph.output("loss", loss).unwrap();
    let loss = |x: [f32; 6], y: [f32; 6]| {
        let [x, y] = [x, y].map(|logits| HostTensor::f32([2, 3], logits.to_vec()).unwrap());
        run(&graph, &[("x", &x), ("y", &y)])["loss"].to_f32()[0]
    };
    let scores = [1.0, 2.0, 3.0, -5.0, 0.0, 0.5];
    assert_eq!(loss(scores, scores), 0.0);
    // Of the first row ln 3, of the second nothing: the target is certain and the student knows nothing.
    let found = loss([0.0; 6], [0.0, -1e4, -1e4, 0.0, 0.0, 0.0]);
    assert!((found - 3.0_f32.ln() / 2.0).abs() < 1e-6, "{found}");
}

#[test]
fn a_scalar_has_no_classes() {
    let scalar = TensorDesc::f32([]);
    let error = refused(&[scalar.clone(), scalar], |graph, v| kl_divergence(graph, v[0], v[1]));
    assert_error(&error, ErrorKind::Shape, "loss/kl_divergence: student");
}
