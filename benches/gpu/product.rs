//! Square matrix products.

use foveate::ops::{Matmul, matmul};
use foveate::{DType, Graph, Result, TensorDesc};

use crate::host::{Sampled, noise};
use crate::{Row, Tensors};

/// `c = a b` of matrices of `size` rows and columns.
pub(crate) fn row(size: usize, dtype: DType) -> Result<Row> {
    let mut graph = Graph::new();
    let desc = TensorDesc::new(dtype, [size, size]);
    let (a, b) = (graph.input("a", desc.clone())?, graph.input("b", desc.clone())?);
    let c = matmul(&mut graph, a, b, &Matmul::new())?;
    graph.output("c", c)?;
    let inputs = vec![("a", noise(&desc, 0)?), ("b", noise(&desc, 1)?)];
    let verify = Box::new(move |inputs: &Tensors, outputs: &Tensors| {
        let [a, b, c] = [&inputs["a"], &inputs["b"], &outputs["c"]];
        let mut sampled = Sampled::new(dtype);
        // Corners, and a walk that meets every tile's rows and columns sooner or later.
        let places = (0..512).map(|i| (i * 7919 % size, i * 104_729 % size));
        for (row, column) in places.chain([(0, 0), (size - 1, size - 1), (0, size - 1), (size - 1, 0)]) {
            let products = (0..size).map(|k| a[row * size + k] * b[k * size + column]);
            let (sum, magnitude) = products.fold((0.0, 0.0), |(sum, all), x| (sum + x, all + x.abs()));
            sampled.add(c[row * size + column], sum, magnitude);
        }
        sampled.of_bound()
    });
    Ok(Row { flops: 2.0 * (size as f64).powi(3), inputs, graph, verify })
}
