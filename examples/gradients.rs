//! A graph, its gradients in the same graph, and both held against a difference quotient: `foveate::guide::ops`.
//!
//! ```text
//! cargo run --example gradients
//! ```

use foveate::{Graph, HostTensor, Result, TensorDesc, Value, cpu, ops};

/// The mean of the squares of `silu(x w)`.
fn loss(graph: &mut Graph, [x, w]: [Value; 2]) -> Result<Value> {
    let y = ops::matmul(graph, x, w, &ops::Matmul::new())?;
    let y = ops::silu(graph, y)?;
    let zero = ops::scale(graph, y, 0.0)?;
    ops::mean_squared_error(graph, y, zero)
}

fn main() -> Result<()> {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([3, 4]))?;
    let w = graph.input("w", TensorDesc::f32([4, 2]))?;
    let loss = loss(&mut graph, [x, w])?;
    let gradient = graph.gradients(loss, &[w])?[0];
    graph.output("loss", loss)?;
    graph.output("gradient", gradient)?;

    let x = HostTensor::f32([3, 4], (0..12).map(|i| (i as f32).sin()).collect())?;
    let w: Vec<f32> = (0..8).map(|i| (i as f32).cos()).collect();
    let run = |w: Vec<f32>| cpu::run(&graph, &[("x", &x), ("w", &HostTensor::f32([4, 2], w)?)]);
    let gradient = run(w.clone())?["gradient"].to_f64();
    println!("element  gradient  difference quotient");
    for at in 0..w.len() {
        let at_distance = |distance: f32| -> Result<f64> {
            let mut moved = w.clone();
            moved[at] += distance;
            Ok(run(moved)?["loss"].to_f64()[0])
        };
        let slope = (at_distance(0.01)? - at_distance(-0.01)?) / 0.02;
        println!("{at:7}  {:8.4}  {slope:8.4}", gradient[at]);
        assert!((slope - gradient[at]).abs() < 1e-3);
    }
    Ok(())
}
