//! The gradients: of `c = a b`, `da = dc b^T` and `db = a^T dc`, each stored as its operand is. An operand that repeats gets the sum
//! over the matrices it served.

use super::{Heads, Matmul, leading, matmul};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Value};
use crate::ops::{reshape, sum};

pub(super) fn backward(spec: &Matmul, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
    let Some(dc) = adjoint.upstream(0) else { return Ok(vec![Gradient::None; 2]) };
    let (a, b) = (adjoint.inputs()[0], adjoint.inputs()[1]);
    let da = if adjoint.wants(0) { Gradient::Whole(of_a(spec, graph, [a, b, dc])?) } else { Gradient::None };
    let db = if adjoint.wants(1) { Gradient::Whole(of_b(spec, graph, [a, b, dc])?) } else { Gradient::None };
    Ok(vec![da, db])
}

/// `dc b^T`, or `b dc^T` where `a` is stored transposed.
fn of_a(spec: &Matmul, graph: &mut Graph, [a, b, dc]: [Value; 3]) -> Result<Value> {
    let repeats = repeats(graph, spec.a, [a, dc])?;
    let result = if repeats { Heads::Outer } else { spec.a };
    let da = if spec.transpose_a {
        let product = Matmul { transpose_a: spec.transpose_b, transpose_b: true, ..Matmul::new() };
        matmul(graph, b, dc, &product.heads(spec.b, spec.result, result))?
    } else {
        let product = Matmul { transpose_b: !spec.transpose_b, ..Matmul::new() };
        matmul(graph, dc, b, &product.heads(spec.result, spec.b, result))?
    };
    if repeats { summed(graph, da, a) } else { Ok(da) }
}

/// `a^T dc`, or `dc^T a` where `b` is stored transposed.
fn of_b(spec: &Matmul, graph: &mut Graph, [a, b, dc]: [Value; 3]) -> Result<Value> {
    let repeats = repeats(graph, spec.b, [b, dc])?;
    if repeats && !spec.transpose_a && spec.a == Heads::Outer && spec.result == Heads::Outer {
        // The matrices of `a` lie one behind another: one product over all their rows.
        let [a, dc] = [one_matrix(graph, a)?, one_matrix(graph, dc)?];
        return of_b(&Matmul { transpose_b: spec.transpose_b, ..Matmul::new() }, graph, [a, b, dc]);
    }
    let result = if repeats { Heads::Outer } else { spec.b };
    let db = if spec.transpose_b {
        let product = Matmul { transpose_a: true, transpose_b: spec.transpose_a, ..Matmul::new() };
        matmul(graph, dc, a, &product.heads(spec.result, spec.a, result))?
    } else {
        let product = Matmul { transpose_a: !spec.transpose_a, ..Matmul::new() };
        matmul(graph, a, dc, &product.heads(spec.a, spec.result, result))?
    };
    if repeats { summed(graph, db, b) } else { Ok(db) }
}

/// Whether an operand has no leading axes where the result has some.
fn repeats(graph: &Graph, heads: Heads, [operand, dc]: [Value; 2]) -> Result<bool> {
    let rank = graph.desc(operand)?.shape.rank();
    Ok(leading(heads, rank) == 0 && graph.desc(dc)?.shape.rank() > 2)
}

fn one_matrix(graph: &mut Graph, x: Value) -> Result<Value> {
    let dims = graph.desc(x)?.shape.dims().to_vec();
    let (width, lines) = (dims[dims.len() - 1], dims[..dims.len() - 1].iter().product());
    reshape(graph, x, [lines, width])
}

/// The sum over all leading axes, in the shape of `operand`.
fn summed(graph: &mut Graph, gradient: Value, operand: Value) -> Result<Value> {
    let axes: Vec<usize> = (0..graph.desc(gradient)?.shape.rank() - 2).collect();
    let total = sum(graph, gradient, &axes)?;
    let shape = graph.desc(operand)?.shape.clone();
    reshape(graph, total, shape)
}
