//! The gradient of [`l2_normalize`](super::l2_normalize()): `dx = (g - y (y . g)) / |x|` for `y = x / |x|` and upstream `g`, and
//! `g / eps` for rows shorter than eps, which the forward pass divides by that number.

#[cfg(feature = "check")]
mod cases;
mod kernels;
mod reference;

use super::check_eps;
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::contract::Contract;
use crate::ops::rows;
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "normalize/l2_normalize_backward";

/// The gradient of [`l2_normalize`](super::l2_normalize()) with `eps` with respect to `x: [.., width]`, f32 or f16, for `upstream`
/// of its shape and type.
///
/// A row as long as eps counts as a longer one. Sums are f32 whatever the storage, and no square overflows; a result beyond the
/// storage's range is not defined. Fails when shapes or types do not fit, or `eps` is not a finite, positive, normal number.
pub fn l2_normalize_backward(graph: &mut Graph, x: Value, upstream: Value, eps: f32) -> Result<Value> {
    graph.push_builtin_one(L2NormalizeBackward { eps }, &[x, upstream])
}

#[derive(Clone, Copy, Debug)]
struct L2NormalizeBackward {
    eps: f32,
}

impl Op for L2NormalizeBackward {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        check_eps(NAME, self.eps)?;
        let contract = Contract::new(NAME);
        contract.count(inputs, &["x", "upstream"])?;
        let (x, upstream) = (&inputs[0], &inputs[1]);
        rows::check(&contract, "x", x)?;
        contract.dtype("upstream", upstream, x.dtype)?;
        if upstream.shape == x.shape {
            return Ok(vec![x.clone()]);
        }
        Err(contract
            .shape_error("upstream")
            .expecting(format!("{} as of x", x.shape))
            .but_found(&upstream.shape))
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![reference::backward(inputs[0], inputs[1], R::of(self.eps.into()))]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(self.eps, step, caps)
    }
}
