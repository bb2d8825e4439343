//! Ops that treat every element alike.

mod activation_backward;
mod add;
mod cast;
mod gate_backward;
mod gelu;
mod gelu_tanh;
mod multiply;
mod relu;
mod scale;
mod sigmoid;
mod silu;
mod subtract;
mod tanh;

use foveate::{Graph, HostTensor, Result, TensorDesc, Value, cpu};

/// Asserts that the reference of `op` maps each first number to the second, to a rounding in f32.
fn assert_values(op: fn(&mut Graph, Value) -> Result<Value>, known: &[(f32, f64)]) {
    for &(x, expected) in known {
        let mut graph = Graph::new();
        let value = graph.input("x", TensorDesc::f32([1])).unwrap();
        let y = op(&mut graph, value).unwrap();
        graph.output("y", y).unwrap();
        let x = HostTensor::f32([1], vec![x]).unwrap();
        let found = cpu::run(&graph, &[("x", &x)]).unwrap()["y"].to_f64()[0];
        assert!((found - expected).abs() < f64::from(f32::EPSILON), "{found} for {expected}");
    }
}
