//! Heads whose outputs are routed to capsules in place of a dense layer over all of them (dynamic routing, Sabour et al., arXiv 1710.09829,
//! procedure 1, as Li et al., 1904.03100, and Gu and Feng, 1909.00188, use it for heads).

use crate::graph::{Graph, Value};
use crate::ops::{
    Matmul, add, converted, divide, fill, matmul, multiply, reshape, softmax, sqrt, square, sum, transpose,
};
use crate::tensor::{DType, TensorDesc};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "attention/route_heads";

/// Added to squared lengths before their root, whose slope at 0 is infinite.
const LEAST_SQUARE: f32 = 1e-20;

/// Dynamic routing from heads to capsules: `[batch, time, capsules, out]` for `heads: [batch, time, heads, size]` and `weight: [heads, capsules,
/// size, out]`.
///
/// ```text
/// V_hn = o_h weight[h, n]      b_hn = 0, and `iterations` times:
/// c_h = softmax_n(b_h)         s_n = sum_h c_hn V_hn         out_n = |s_n| / (1 + |s_n|^2) s_n         b_hn += out_n . V_hn
/// ```
///
/// Gradients go through all iterations. Routing is f32 whatever the storage. Fails when shapes or types do not fit, and without iterations.
pub fn route_heads(graph: &mut Graph, heads: Value, weight: Value, iterations: usize) -> Result<Value> {
    let (of_heads, of_weight) = (graph.desc(heads)?.clone(), graph.desc(weight)?.clone());
    let mut contract = crate::ops::contract::Contract::new(NAME).may_be_empty(&["batch", "time"]);
    contract.float("heads", &of_heads)?;
    contract.dtype("weight", &of_weight, of_heads.dtype)?;
    contract.bind("heads", &of_heads, &["batch", "time", "heads", "size"])?;
    contract.bind("weight", &of_weight, &["heads", "capsules", "size", "out"])?;
    if iterations == 0 {
        return Err(Error::new(ErrorKind::Argument, NAME, "iterations").expecting("at least 1").but_found(0));
    }
    let [batch, time, count] = ["batch", "time", "heads"].map(|axis| contract.extent(axis));
    let [capsules, size, out] = ["capsules", "size", "out"].map(|axis| contract.extent(axis));
    let rows = batch * time;
    let by_head = transpose(graph, heads, &[2, 0, 1, 3])?;
    let by_head = reshape(graph, by_head, [count, rows, size])?;
    let maps = transpose(graph, weight, &[0, 2, 1, 3])?;
    let maps = reshape(graph, maps, [count, size, capsules * out])?;
    let votes = matmul(graph, by_head, maps, &Matmul::new())?;
    let votes = converted(graph, votes, DType::F32)?;
    let votes = reshape(graph, votes, [count, rows, capsules, out])?;
    let mut logits = fill(graph, TensorDesc::f32([count, rows, capsules]), 0.0)?;
    let mut sent = votes;
    for iteration in 0..iterations {
        if iteration > 0 {
            let products = multiply(graph, votes, sent)?;
            let agreement = sum(graph, products, &[3])?;
            let agreement = reshape(graph, agreement, [count, rows, capsules])?;
            logits = add(graph, logits, agreement)?;
        }
        let shares = softmax(graph, logits)?;
        let shares = reshape(graph, shares, [count, rows, capsules, 1])?;
        let weighted = multiply(graph, votes, shares)?;
        let total = sum(graph, weighted, &[0])?;
        sent = squash(graph, total)?;
    }
    let sent = reshape(graph, sent, [batch, time, capsules, out])?;
    converted(graph, sent, of_heads.dtype)
}

/// `|s| / (1 + |s|^2) s` along the last of four axes.
fn squash(graph: &mut Graph, s: Value) -> Result<Value> {
    let squares = square(graph, s)?;
    let squares = sum(graph, squares, &[3])?;
    let [least, one] = [LEAST_SQUARE, 1.0].map(|number| fill(graph, TensorDesc::f32([1]), number));
    let least = add(graph, squares, least?)?;
    let length = sqrt(graph, least)?;
    let above = add(graph, squares, one?)?;
    let factor = divide(graph, length, above)?;
    multiply(graph, s, factor)
}
