//! Looking for numbers that are not finite: what is refused.

use foveate::{Caps, DType, ErrorKind, Graph, Plan, TensorDesc, ops};

use crate::support::assert_refused;

#[test]
fn integers_and_f16_without_f16_are_refused() {
    for dtype in [DType::I32, DType::U32] {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorDesc::new(dtype, [3])).unwrap();
        let error = ops::finite(&mut graph, x).unwrap_err();
        assert_refused(&error, ErrorKind::Dtype, "finite", "x");
    }
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f16([3])).unwrap();
    let y = ops::finite(&mut graph, x).unwrap();
    graph.output("y", y).unwrap();
    let error = Plan::new(&graph, &Caps::webgpu_default()).unwrap_err();
    assert_refused(&error, ErrorKind::Unsupported, "finite", "x");
}
