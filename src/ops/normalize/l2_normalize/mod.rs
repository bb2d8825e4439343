//! Rows of length 1, `y = x / max(sqrt(sum x^2), eps)` along the last axis, as `torch.nn.functional.normalize`.

mod backward;
#[cfg(feature = "check")]
mod cases;

use super::check_eps;
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, params, wgsl};
use crate::ops::contract::Contract;
use crate::ops::rows::{self, Rows};
use crate::ops::upstream;
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "normalize/l2_normalize";

params! {
    /// `width` is in packs.
    struct L2Params {
        width: u32,
        eps: f32,
    }
}

#[derive(Clone, Copy, Debug)]
struct L2Normalize {
    eps: f32,
}

/// `x: [.., width]`, f32 or f16, with every row along the last axis divided by its Euclidean norm, or by `eps` where that is
/// larger: rows of zeros stay zeros.
///
/// Sums are f32 whatever the storage, and no square overflows. Fails when `x` is a scalar or not a float, or `eps` is not a
/// finite, positive, normal number.
pub fn l2_normalize(graph: &mut Graph, x: Value, eps: f32) -> Result<Value> {
    graph.push_builtin_one(L2Normalize { eps }, &[x])
}

/// The Euclidean norm of a row, step by step, because a sum of squares leaves f32 long before the norm does.
fn norm<R: Real>(row: &[R]) -> R {
    row.iter().copied().fold(R::zero(), R::hypot)
}

impl Op for L2Normalize {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        check_eps(NAME, self.eps)?;
        let contract = Contract::new(NAME);
        contract.count(inputs, &["x"])?;
        rows::check(&contract, "x", &inputs[0])?;
        Ok(inputs.to_vec())
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (x, eps) = (inputs[0], R::of(self.eps.into()));
        let mut y = Vec::with_capacity(x.reals().len());
        for row in rows::slices(x) {
            let divisor = norm(row).max(eps);
            y.extend(row.iter().map(|&x| x / divisor));
        }
        vec![Array::real(x.shape().clone(), y)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let x = &step.inputs[0];
        let rows = Rows::of(NAME, x)?;
        let sources =
            [wgsl!("normalize/l2_normalize/forward.wgsl"), wgsl!("normalize/l2_normalize/norm.wgsl")];
        let dispatch = Kernel::new(NAME, sources)
            .lanes(rows.lanes)
            .read("x", Operand::Input(0), x.dtype)
            .write("result", Operand::Output(0), x.dtype)
            .params(L2Params { width: rows.width, eps: self.eps })
            .walks(rows.width, 3)
            .per_row(rows.rows, caps);
        let kernel = format!("{NAME} x{}, a workgroup a row", rows.lanes);
        Ok(Lowered::rows(kernel, vec![dispatch], Vec::new(), caps))
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        upstream::to_input(adjoint, |upstream| {
            backward::append(graph, adjoint.inputs()[0], upstream, self.eps)
        })
    }
}
