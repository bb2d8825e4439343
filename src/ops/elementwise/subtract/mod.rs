//! Elementwise difference, `a - b`, with broadcasting.

#[cfg(feature = "check")]
mod cases;

use super::{binary, scale};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, wgsl};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "elementwise/subtract";

#[derive(Clone, Copy, Debug)]
struct Subtract;

/// Elementwise difference, `a - b`, with broadcasting.
///
/// `a` and `b` share one float type. Axes are matched from the last one; an axis that is missing or of extent 1
/// repeats. Fails when the types differ or the shapes do not broadcast.
pub fn subtract(graph: &mut Graph, a: Value, b: Value) -> Result<Value> {
    graph.push_builtin_one(Subtract, &[a, b])
}

impl Op for Subtract {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        Ok(vec![binary::contract(NAME, inputs)?])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![binary::reference(inputs[0], inputs[1], |a, b| a - b)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        binary::lower(NAME, &[wgsl!("elementwise/subtract/apply.wgsl")], step, caps)
    }

    /// `da = dy`, `db = -dy`, each summed over the axes along which its operand repeats.
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        binary::backward(graph, adjoint, |graph, operand, upstream| match operand {
            0 => Ok(upstream),
            _ => scale(graph, upstream, -1.0),
        })
    }
}
