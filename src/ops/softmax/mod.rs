//! Softmax along the last axis and its logarithm.
//!
//! | op | result, for `m = max x` | gradient, from the result |
//! |---|---|---|
//! | [`softmax()`] | `y_i = exp(x_i - m) / sum_j exp(x_j - m)` | `dx_i = y_i (dy_i - sum_j y_j dy_j)` |
//! | [`log_softmax()`] | `y_i = (x_i - m) - ln sum_j exp(x_j - m)` | `dx_i = dy_i - exp(y_i) sum_j dy_j` |

mod backward;
#[cfg(feature = "check")]
mod cases;

use super::contract::Contract;
use super::rows::{self, Rows};
use super::upstream;
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, wgsl};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{logarithm, plain};

/// Softmax itself, or its logarithm.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Plain,
    Logarithm,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "softmax",
            Self::Logarithm => "log_softmax",
        }
    }
}

/// Softmax of `x: [.., width]` along its last axis. Statistics are f32 whatever the storage.
/// Fails when `x` is a scalar or not a float.
pub fn softmax(graph: &mut Graph, x: Value) -> Result<Value> {
    graph.push_builtin_one(Softmax(Form::Plain), &[x])
}

/// The natural logarithm of softmax of `x: [.., width]` along its last axis, without the underflow that taking the logarithm
/// afterwards brings. Statistics are f32 whatever the storage. A result beyond the storage's range is not defined.
/// Fails when `x` is a scalar or not a float.
pub fn log_softmax(graph: &mut Graph, x: Value) -> Result<Value> {
    graph.push_builtin_one(Softmax(Form::Logarithm), &[x])
}

#[derive(Clone, Copy, Debug)]
struct Softmax(Form);

impl Op for Softmax {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(self.name());
        contract.count(inputs, &["x"])?;
        rows::check(&contract, "x", &inputs[0])?;
        Ok(inputs.to_vec())
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let x = inputs[0];
        let mut y = Vec::with_capacity(x.reals().len());
        for row in rows::slices(x) {
            let max = row.iter().copied().fold(row[0], R::max);
            let sum: R = row.iter().map(|&x| (x - max).exp()).sum();
            y.extend(row.iter().map(|&x| match self.0 {
                Form::Plain => (x - max).exp() / sum,
                Form::Logarithm => (x - max) - sum.ln(),
            }));
        }
        vec![Array::real(x.shape().clone(), y)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let (x, name) = (&step.inputs[0], self.name());
        let rows = Rows::of(name, x)?;
        let dispatch = Kernel::new(name, [wgsl!("softmax/softmax.wgsl"), wgsl!("lib/weight.wgsl")])
            .lanes(rows.lanes)
            .constant("LOGARITHM", self.0 == Form::Logarithm)
            .read("x", Operand::Input(0), x.dtype)
            .write("result", Operand::Output(0), x.dtype)
            .params(rows.params())
            .walks(rows.width, 3)
            .per_row(rows.rows, caps);
        let kernel = format!("{name} x{}, a workgroup a row", rows.lanes);
        Ok(Lowered::rows(kernel, vec![dispatch], Vec::new(), caps))
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        upstream::to_input(adjoint, |upstream| {
            backward::append(graph, self.0, adjoint.outputs()[0], upstream)
        })
    }
}
