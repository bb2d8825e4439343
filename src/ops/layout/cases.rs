//! Conformance cases and benches of the family: an op on values of every element type, by a table of shapes and of what else it takes.

use crate::Result;
use crate::check::{Bench, Case, Work};
use crate::graph::{Graph, Value};
use crate::tensor::{DType, Shape};

/// Every element type and an amplitude that makes its elements differ.
pub(super) const DTYPES: [(DType, f32); 4] =
    [(DType::F32, 1.0), (DType::F16, 1.0), (DType::I32, 2e9), (DType::U32, 4e9)];

/// The floats among them.
pub(super) const FLOATS: &[(DType, f32)] = DTYPES.split_at(2).0;

/// The cases of `op` on one value: of every element type of `dtypes`, every problem of `problems`, which are a shape of `x` and the op's own arguments.
/// `label` tells these in words, and `append` adds the op to a graph.
pub(super) fn of_types<A: Clone + Send + Sync + 'static>(
    op: &'static str,
    dtypes: &[(DType, f32)],
    problems: &[(&'static [usize], A)],
    label: impl Fn(&A) -> String,
    append: fn(&mut Graph, Value, A) -> Result<Value>,
) -> Vec<Case> {
    let mut cases = Vec::new();
    for (dtype, amplitude) in dtypes.iter().copied() {
        for (shape, arguments) in problems.iter().cloned() {
            let label = format!("{dtype} {} {}", Shape::from(shape), label(&arguments));
            cases.push(Case::new(op, label, move |problem| {
                let x = problem.random("x", dtype, shape, amplitude)?;
                Ok(vec![append(&mut problem.graph, x, arguments.clone())?])
            }));
        }
    }
    cases
}

/// A row of benchmarks of `op` on an f32 matrix. Bytes are the least reads and writes of elements.
pub(super) fn bench(
    op: &'static str,
    label: &str,
    bytes: u64,
    shape: &'static [usize],
    append: impl Fn(&mut Graph, Value) -> Result<Value> + Send + Sync + 'static,
) -> Bench {
    Bench::new(op, label, Work::Bytes(bytes), move |problem| {
        let x = problem.random("x", DType::F32, shape, 1.0)?;
        Ok(vec![append(&mut problem.graph, x)?])
    })
}
