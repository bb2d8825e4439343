//! The length of all gradients as one vector, and what to multiply them with so that it stays within a bound (Pascanu et al., arXiv
//! 1211.5063, algorithm 1; in the form of `torch.nn.utils.clip_grad_norm_`).

#[cfg(feature = "check")]
mod cases;
mod kernels;

use super::check_setting;
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::contract::Contract;
use crate::tensor::{Array, DType, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "optimizer/global_norm";

/// Keeps the quotient finite where the norm is 0.
const EPSILON: f32 = 1e-6;

/// Settings of [`global_norm`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GlobalNorm {
    /// The largest norm that gradients may have; any when absent.
    pub max_norm: Option<f32>,
}

/// The Euclidean norm of all `gradients` together over `scale`, and the factor that undoes `scale` and keeps the norm within
/// [`GlobalNorm::max_norm`]: both f32 `[1]`.
///
/// `gradients` are f32 of any shapes, of a loss that was multiplied with `scale: f32 [1]`, above 0, so that small ones do not vanish
/// in f16. Where a gradient overflowed, or the sum of squares does, the factor is 0 and the norm is -1: the step is to be skipped.
pub fn global_norm(
    graph: &mut Graph,
    gradients: &[Value],
    scale: Value,
    settings: &GlobalNorm,
) -> Result<(Value, Value)> {
    let inputs: Vec<Value> = [scale].iter().chain(gradients).copied().collect();
    let outputs = graph.push_builtin(*settings, &inputs)?;
    Ok((outputs[0], outputs[1]))
}

impl Op for GlobalNorm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        if let Some(max_norm) = self.max_norm {
            check_setting(NAME, "max_norm", max_norm, f32::MIN_POSITIVE, f32::MAX)?;
        }
        let contract = Contract::new(NAME);
        if inputs.len() < 2 {
            return Err(contract.argument_error("gradients").expecting("at least one").but_found("none"));
        }
        let scalar = TensorDesc::f32([1]);
        if inputs[0] != scalar {
            return Err(contract.shape_error("scale").expecting(scalar).but_found(&inputs[0]));
        }
        for (i, gradient) in inputs[1..].iter().enumerate() {
            contract.dtype(format!("gradient {i}"), gradient, DType::F32)?;
        }
        Ok(vec![scalar; 2])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let squares: R = inputs[1..].iter().flat_map(|gradient| gradient.reals()).map(|&g| g * g).sum();
        let scale = inputs[0].reals()[0];
        let (norm, factor) = if squares.is_finite() {
            let norm = squares.sqrt() / scale;
            let clip = self
                .max_norm
                .map_or(R::one(), |most| (R::of(most.into()) / (norm + R::of(EPSILON.into()))).min(R::one()));
            (norm, clip / scale)
        } else {
            (-R::one(), R::zero())
        };
        vec![Array::real([1], vec![norm]), Array::real([1], vec![factor])]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(self, step, caps)
    }
}
