//! Elementwise sum, `a + b`, with broadcasting.

#[cfg(feature = "check")]
mod cases;

use super::binary;
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, wgsl};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "elementwise/add";

#[derive(Clone, Copy, Debug)]
struct Add;

/// Elementwise sum, `a + b`, with broadcasting.
///
/// `a` and `b` share one float type. Axes are matched from the last one; an axis that is missing or of extent 1
/// repeats. Fails when the types differ or the shapes do not broadcast.
pub fn add(graph: &mut Graph, a: Value, b: Value) -> Result<Value> {
    graph.push_builtin_one(Add, &[a, b])
}

impl Op for Add {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        Ok(vec![binary::contract(NAME, inputs)?])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![binary::reference(inputs[0], inputs[1], |a, b| a + b)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        binary::lower(NAME, &[wgsl!("elementwise/add/apply.wgsl")], step, caps)
    }

    /// `da = dy`, `db = dy`, each summed over the axes along which its operand repeats.
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        binary::backward(graph, adjoint, |_, _, upstream| Ok(upstream))
    }
}
