//! The gradients: with `z = x W^T + bias` and `dz = f'(z) dy`, `dx = dz W`, `dW = dz^T x`, and `dbias` the sum of the rows of `dz`.

use super::{LinearOp, NAME};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Value};
use crate::ops::elementwise::{Activation, activation_gradient, gate_gradient};
use crate::ops::{Matmul, matmul, reshape, sum};

pub(super) fn backward(op: &LinearOp, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
    let mut gradients = vec![Gradient::None; adjoint.inputs().len()];
    adjoint.refuse_upstream(NAME, 1, "sums")?;
    let Some(dy) = adjoint.upstream(0) else { return Ok(gradients) };
    let (x, weight) = (adjoint.inputs()[0], adjoint.inputs()[1]);
    if let Some(residual) = op.residual_index() {
        gradients[residual] = Gradient::Whole(dy);
    }
    let bias = op.bias_index().filter(|&bias| adjoint.wants(bias));
    if ![0, 1].iter().any(|&input| adjoint.wants(input)) && bias.is_none() {
        return Ok(gradients);
    }
    let dz = before_activation(op, graph, adjoint, dy)?;
    let x_desc = graph.desc(x)?.clone();
    let [columns, inner] = [graph.desc(weight)?.shape.dims()[0], graph.desc(weight)?.shape.dims()[1]];
    let rows: usize = x_desc.shape.dims()[..x_desc.shape.rank() - 1].iter().product();
    let dz = reshape(graph, dz, [rows, columns])?;
    if adjoint.wants(0) {
        let dx = matmul(graph, dz, weight, &Matmul::new())?;
        gradients[0] = Gradient::Whole(reshape(graph, dx, x_desc.shape)?);
    }
    if adjoint.wants(1) {
        let x = reshape(graph, x, [rows, inner])?;
        gradients[1] = Gradient::Whole(matmul(graph, dz, x, &Matmul::new().transpose_a())?);
    }
    if let Some(bias) = bias {
        let dbias = sum(graph, dz, &[0])?;
        gradients[bias] = Gradient::Whole(reshape(graph, dbias, [columns])?);
    }
    Ok(gradients)
}

/// The gradient of the sums of product and bias.
fn before_activation(op: &LinearOp, graph: &mut Graph, adjoint: &Adjoint, dy: Value) -> Result<Value> {
    match (op.gate, op.activation) {
        (None, Activation::Identity) => Ok(dy),
        (None, activation) => activation_gradient(graph, adjoint.outputs()[1], dy, activation),
        (Some(gate), activation) => gate_gradient(graph, adjoint.outputs()[1], dy, gate, activation),
    }
}
