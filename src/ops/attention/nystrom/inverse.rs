//! The iteration for the inverse of the attention between landmarks.

use super::InverseStart;
use crate::Result;
use crate::graph::{Graph, Value};
use crate::ops::{Matmul, constant, divide, fill, matmul, max, maximum, scale, subtract, sum, transpose};
use crate::tensor::{HostTensor, TensorDesc};

/// Near the inverse of each matrix of `weights: [batch, heads, count, count]`, f32, whose rows are positive and sum to 1, or are 0 together with
/// their columns: then the same rows and columns of the result are (Razavi et al. 2014, as equation 11 of arXiv 2102.03902 has it).
pub(super) fn approximate(
    graph: &mut Graph,
    weights: Value,
    iterations: usize,
    start: InverseStart,
) -> Result<Value> {
    let count = graph.desc(weights)?.shape.dims()[3];
    let multiples = [7.0, 15.0, 13.0].map(|factor| multiple_of_identity(graph, count, factor));
    let [seven, fifteen, thirteen] = multiples;
    let (seven, fifteen, thirteen) = (seven?, fifteen?, thirteen?);
    let products = Matmul::new();
    let mut inverse = first(graph, weights, start)?;
    for _ in 0..iterations {
        let product = matmul(graph, weights, inverse, &products)?;
        let mut polynomial = subtract(graph, seven, product)?;
        for multiple in [fifteen, thirteen] {
            polynomial = matmul(graph, product, polynomial, &products)?;
            polynomial = subtract(graph, multiple, polynomial)?;
        }
        inverse = matmul(graph, inverse, polynomial, &products)?;
        inverse = scale(graph, inverse, 0.25)?;
    }
    Ok(inverse)
}

/// The transpose over the largest column sum. The largest row sum, by which the paper divides, too, is 1.
fn first(graph: &mut Graph, weights: Value, start: InverseStart) -> Result<Value> {
    let columns = sum(graph, weights, &[2])?;
    let axes: &[usize] = match start {
        InverseStart::OfHead => &[3],
        InverseStart::OfBatch => &[0, 1, 3],
    };
    let largest = max(graph, columns, axes)?;
    // At least 1, as so many rows sum to 1 as there are columns, except where there are none.
    let least = fill(graph, TensorDesc::f32([1]), 0.5)?;
    let largest = maximum(graph, largest, least)?;
    let transposed = transpose(graph, weights, &[0, 1, 3, 2])?;
    divide(graph, transposed, largest)
}

fn multiple_of_identity(graph: &mut Graph, count: usize, factor: f32) -> Result<Value> {
    let elements = (0..count * count).map(|at| if at / count == at % count { factor } else { 0.0 }).collect();
    constant(graph, HostTensor::f32([count, count], elements)?)
}
